"""What README and docs tell to type is typed: every command is taken by the program that it
names."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import parser
from pipelines.profile import find_profile
from pipelines.run import profile_of

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(
    r"^ {4}((?:[A-Z_]+=\S+ )*)(arxtune|\.venv/bin/arxtune|make|(?:\.venv/bin/)?python) (.*)"
)


def commands() -> list[tuple[str, str]]:
    """Return (place, command line) for each indented line that begins with a program of ours."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if match := COMMAND.match(line):
                program = match[2].removeprefix(".venv/bin/")
                typed = f"{program} {match[3]}".replace("...", "x")
                found.append((page.name, re.sub(r"\[([A-Z]+)\]", r"\1", typed)))
    return found


COMMANDS = commands()


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


@pytest.mark.parametrize(("page", "line"), [c for c in COMMANDS if c[1].startswith("arxtune")])
def test_arxtune_takes_it(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "my.toml").write_text("[finetune]\nepochs = 1\n")
    given = parser().parse_args(words(line)[1:])
    if hasattr(given, "profile"):
        profile_of(given)  # raises for a setting that is none
        assert find_profile(given.profile).is_file()


@pytest.mark.parametrize(("page", "line"), [c for c in COMMANDS if c[1].startswith("make")])
def test_make_knows_it(page: str, line: str) -> None:
    for part in line.split("&&"):
        asked = [word for word in words(part) if word != "x"]
        done = subprocess.run(
            [*asked, "--dry-run", "--no-print-directory", "--old-file=.venv/ready"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "line"), [c for c in COMMANDS if c[1].startswith("python")])
def test_python_finds_it(page: str, line: str) -> None:
    _, dash_m, module, *flags = words(line)
    assert dash_m == "-m"
    if module == "pytest":
        assert all((ROOT / flag).exists() for flag in flags if flag.startswith("tests/"))
        return
    if module == "tests.benchmarks":
        assert all((ROOT / "tests/benchmarks" / f"{name}.py").is_file() for name in flags)
        return
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(flag in done.stdout for flag in flags if flag.startswith("--"))


def test_the_pages_have_commands_and_no_page_links_to_nowhere() -> None:
    assert len(COMMANDS) > 40
    for page in PAGES:
        for link in re.findall(r"\]\(([\w./-]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
