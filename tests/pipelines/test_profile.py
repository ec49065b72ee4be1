"""Layers of settings: for each two of them the upper one wins, and each value knows where it comes
from."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from components.shared.errors import ConfigError
from pipelines.profile import find_profile, make_profile

# Each knob with its default, and the values that the layers give it, bottom up.
KNOBS = {
    "pipeline.max_papers": (60, 11, 12, 13, 14),
    "pipeline.release": ("arxtune", "a", "b", "c", "d"),
    "finetune.epochs": (3.0, 1.5, 2.5, 3.5, 4.5),
    "finetune.packing": (True, False, True, False, True),
    "scrape.categories": ((), ("cs.AI",), ("cs.CL",), ("cs.LG",), ("hep-th",)),
}
LAYERS = ("default", "profile", "file", "flags", "--set")


def toml(name: str, value: Any) -> str:
    table, knob = name.split(".")
    shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else repr(value)
    return f"[{table}]\n{knob} = {list(value) if isinstance(value, tuple) else shown}\n"


def merged(folder: Path, name: str, given: dict[str, Any]) -> tuple[Any, str]:
    """Return the value and origin of a knob to which some layers give a value."""
    (folder / "profile.toml").write_text(toml(name, given["profile"]) if "profile" in given else "")
    (folder / "my.toml").write_text(toml(name, given["file"]) if "file" in given else "")
    flags = {name.split(".")[1]: given["flags"]} if "flags" in given else {}
    text = ",".join(given["--set"]) if isinstance(given.get("--set"), tuple) else given.get("--set")
    assignments = [f"{name}={text}"] if "--set" in given else []
    profile = make_profile(folder / "my.toml", flags, assignments, folder / "profile.toml")
    return next((value, origin) for knob, value, origin in profile.rows() if knob == name)


PAIRS = [
    (name, lower, upper)
    for name, (lower, upper) in itertools.product(KNOBS, itertools.combinations(LAYERS, 2))
    if name.startswith("pipeline.") or "flags" not in (lower, upper)  # parameters alone have flags
]


@pytest.mark.parametrize(("name", "lower", "upper"), PAIRS)
def test_the_upper_of_two_layers_wins(name: str, lower: str, upper: str, tmp_path: Path) -> None:
    values = dict(zip(LAYERS, KNOBS[name], strict=True))
    given = {layer: values[layer] for layer in (lower, upper) if layer != "default"}
    origin = {"file": "my.toml"}.get(upper, upper)
    assert merged(tmp_path, name, given) == (values[upper], origin)


def test_a_profiles_conditional_table_lies_below_the_user(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[finetune]\nbatch_size = 64\n")
    tiny = make_profile(tmp_path / "my.toml", {}, [])
    other = make_profile(tmp_path / "my.toml", {"base_model": "some/model"}, [])
    assert tiny.settings["finetune"] | {"batch_size": 64} == tiny.settings["finetune"]
    assert tiny.settings["finetune"]["lora_r"] == 16
    assert other.settings["finetune"] == {"batch_size": 64}


def test_the_order_of_tables_in_a_file_decides_nothing(tmp_path: Path) -> None:
    tables = ["[finetune]\nepochs = 7\n", "[pipeline]\nbase_model = 'some/model'\n"]
    for order in (tables, tables[::-1]):
        (tmp_path / "my.toml").write_text("".join(order))
        assert make_profile(tmp_path / "my.toml", {}, []).settings["finetune"] == {"epochs": 7.0}


def test_the_stand_ins_pace_is_for_the_stand_in() -> None:
    live = make_profile(None, {"site": "https://arxiv.org"}, [])
    assert "scrape" not in live.settings
    assert make_profile(None, {}, []).settings["scrape"]["seconds_between_requests"] == 0


def test_a_stages_seed_is_that_stages_alone() -> None:
    profile = make_profile(None, {}, ["finetune.seed=7"])
    assert profile.settings["finetune"]["seed"] == 7
    assert profile.parameters.get("seed", 42) == 42


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("evaluate.store=elsewhere", "set it for the whole pipeline: --store"),
        ("curate.teacher_url=x", r"curate\.teacher_url: there is no such setting"),
        ("pipeline.querry=x", r"no such parameter; did you mean 'query'"),
        ("bake.x=1", "there is no such stage; known: curate"),
        ("finetun.epochs=1", "did you mean 'finetune'"),
        ("finetune.epochs", "not an assignment"),
        ("finetune.epochs=nan", "must be a finite number"),
        ("finetune.epochs=-1", "must be at least 0"),
    ],
)
def test_a_wrong_assignment_is_one_line(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_profile(None, {}, [assignment])


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        make_profile(None, {"max_papers": "many"}, ["finetune.epochs=x", "scrape.page_size=7"])
    for name in ("scrape.max_papers='many'", "finetune.epochs='x'", "scrape.page_size='7'"):
        assert name in str(raised.value)


def test_an_unknown_profile_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'embedded'"):
        find_profile("embeded")


@pytest.mark.parametrize(
    ("flags", "implied", "release"),
    [
        ({}, {}, "arxtune"),
        ({"base_model": "smollm2"}, {}, "smollm2"),
        ({"base_model": "smollm2"}, {"release": "own-papers"}, "own-papers"),
    ],
)
def test_no_model_is_the_champion_of_another_kind(
    flags: dict[str, str], implied: dict[str, str], release: str
) -> None:
    profile = make_profile(None, flags, [], implied=implied)
    assert profile.config("promote").release == release
