"""What was released can be got, loaded and asked."""

from pathlib import Path

import pytest

from pipelines import cli
from tests.pipelines.conftest import Finished
from tests.release_use import answered, answers_of_card


@pytest.fixture(scope="module")
def folder(embedded_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("got") / "release"
    arxtune("releases", "get", "arxtune@1", folder, "--home", embedded_run.home)
    return folder


def arxtune(*words: str | Path) -> None:
    arguments = cli.parser().parse_args(list(map(str, words)))
    arguments.command(arguments)


def test_the_lines_of_the_card_answer_as_evaluate_did(embedded_run: Finished, folder: Path) -> None:
    asked = answered(embedded_run.run, 20)
    stored = [text for _, text in asked]
    assert len(stored) == 20
    assert answers_of_card(folder, asked) == (stored, stored)


def test_ask_shows_the_base_and_the_release_side_by_side(
    embedded_run: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    ((example, stored),) = answered(embedded_run.run, 1)
    arxtune("ask", example.instruction, "--input", example.input, "--home", embedded_run.home)
    base, release = capsys.readouterr().out.split("\nbase:\n")[1].split("\n\nrelease:\n")
    assert release.strip() == stored
    assert base.strip() not in ("", stored)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["get"], "get NAME[@VERSION] FOLDER"),
        (["get", "arxtune", "."], "is not empty"),
        (["get", "nobody", "new"], "no release named 'nobody' yet"),
        (["get", "arxtune@7", "new"], "7"),
    ],
)
def test_what_cannot_be_got_is_one_line(
    embedded_run: Finished,
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from components.shared.errors import ArxtuneError

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ArxtuneError) as caught:
        arxtune("releases", *words, "--home", embedded_run.home)
    assert told in str(caught.value)
