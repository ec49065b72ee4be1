"""Settings: validated in one place, by messages that name the setting, the value and what is
allowed."""

from typing import Any, ClassVar, Literal

import pytest

from components.shared.config import WithSeed, knob
from components.shared.errors import ConfigError
from components.shared.stage import parse_settings


class Config(WithSeed):
    stage: ClassVar[str] = "demo"
    count: int = knob(3, "how many", exposed=True, low=1, high=9)
    rate: float = knob(0.5, "how fast")
    careful: bool = knob(False, "whether to look twice")
    colour: Literal["red", "blue"] = knob("red", "which colour")
    page: Literal[25, 50] = knob(25, "how long a page")
    names: tuple[str, ...] = knob(("a", "b"), "which names")
    name: str = knob("", "which name")


def test_later_layers_win_and_text_is_converted() -> None:
    given = {"count": "5", "careful": "yes", "names": "x, y", "page": "50", "name": " z\n"}
    config = Config.build({"count": 4, "rate": 1}, given)
    assert (config.count, config.rate, config.careful) == (5, 1.0, True)
    assert (config.names, config.page, config.name) == (("x", "y"), 50, "z")


def test_whole_floats_are_whole_numbers_because_kfp_turns_them_so() -> None:
    assert Config.build({"count": 4.0}).count == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 1}, r"demo\.cuont: there is no such setting; did you mean 'count'\?"),
        ({"zzz": 1}, r"demo\.zzz: there is no such setting; known: careful"),
        ({"count": "many"}, r"demo\.count='many': must be a whole number"),
        ({"count": 2.5}, r"demo\.count=2.5: must be a whole number"),
        ({"count": True}, r"demo\.count=True: must be a whole number"),
        ({"count": None}, r"demo\.count=None: must be a whole number"),
        ({"count": 0}, r"demo\.count=0: must be at least 1"),
        ({"count": 10}, r"demo\.count=10: must be at most 9"),
        ({"rate": "fast"}, r"demo\.rate='fast': must be a number"),
        ({"rate": "nan"}, r"demo\.rate='nan': must be a finite number"),
        ({"rate": float("inf")}, r"demo\.rate=inf: must be a finite number"),
        ({"careful": "perhaps"}, r"demo\.careful='perhaps': must be true or false"),
        ({"colour": "green"}, r"demo\.colour='green': must be one of red, blue"),
        ({"names": 3}, r"demo\.names=3: must be a list"),
        ({"name": []}, r"demo\.name=\[\]: must be text"),
        ({"seed": -1}, r"demo\.seed=-1: must be at least 0"),
        ({"count": 0, "rate": "x"}, r"demo\.count=0: .*; demo\.rate='x': "),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.build(values)


@pytest.mark.parametrize("text", ["{", "[]", '{"finetune": 1}'])
def test_settings_must_be_an_object_of_objects(text: str) -> None:
    with pytest.raises(ConfigError, match="settings"):
        parse_settings(text)
