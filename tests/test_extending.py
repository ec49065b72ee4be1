"""Every example of docs/extending.md, made in a copy of the project and run with the others."""

import json
import os
import re
import shutil
import subprocess
import sys
from email.utils import format_datetime
from pathlib import Path

import pytest

from components.scrape.standin.corpus import sample_corpus
from components.shared.records import Paper, Triple, read_records
from pipelines.local import Run

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/extending.md").read_text("utf-8")
BLOCK = re.compile(r"^```(python|diff)\n(?:# |--- )(\S+)\n(.*?)^```$", re.M | re.S)
SETTINGS = ("scrape.source=snapshot", "abridge.pages=2", "finetune.epochs=0.2")


def make(folder: Path, kind: str, name: str, text: str) -> None:
    """Make a block's file, or its change to one."""
    path = folder / name
    if kind == "python":
        assert not path.exists()
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip("\n"), "utf-8")
        return
    for hunk in text.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] or "\n" for line in lines if line[0] in " -")
        new = "".join(line[1:] or "\n" for line in lines if line[0] in " +")
        code = path.read_text("utf-8")
        assert code.count(old) == 1, f"{name} has not once:\n{old}"
        path.write_text(code.replace(old, new), "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extended")
    leave_out = shutil.ignore_patterns("__pycache__", ".*_cache")
    for name in ("components", "pipelines", "tests", "images"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
    for name in ("pyproject.toml", "Makefile", "README.md", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for block in BLOCK.findall(PAGE):
        make(folder, *block)
    return folder


def python(copy: Path, *arguments: str | Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "GROQ_API_KEY": ""} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def snapshot(path: Path) -> None:
    """Write the sample papers as arXiv's snapshot has its own."""
    rows = []
    for entry in sample_corpus().current():
        created = format_datetime(entry.submitted, usegmt=True)
        row = {
            "id": entry.arxiv_id,
            "title": entry.title,
            "authors_parsed": [[*reversed(name.rsplit(" ", 1)), ""] for name in entry.authors],
            "abstract": entry.abstract,
            "categories": " ".join(entry.categories),
            "comments": entry.comments,
            "license": entry.licence or None,
            "versions": [{"version": "v1", "created": created}] * entry.version,
        }
        rows.append(json.dumps(row) + "\n")
    path.write_text("".join(rows), "utf-8")


def test_each_addition_is_made_in_at_most_three_places() -> None:
    for section in PAGE.split("\n## ")[1:]:
        places = {
            Path(name).parent if kind == "python" else name
            for kind, name, _ in BLOCK.findall(section)
        }
        assert 1 <= len(places) <= 3, section[:40]


def test_the_pipeline_runs_with_all_of_them(copy: Path, tmp_path: Path) -> None:
    snapshot(tmp_path / "snapshot.jsonl")
    home, flags = tmp_path / "home", ["--max-papers=8", "--train-anyway"]
    flags += ["--teacher=cloze", *(f"--set={setting}" for setting in SETTINGS)]
    about = {"ARXIV_SNAPSHOT": str(tmp_path / "snapshot.jsonl")}
    told = python(copy, "-m", "pipelines.cli", "run", "--home", home, *flags, **about)
    (report,) = re.findall(r"report:\s+(\S+)", told)
    run = Run(Path(report).parent, 0.0)
    papers = read_records(run.folder_of("scrape") / "papers/papers.jsonl", Paper)
    triples = list(read_records(run.folder_of("generate") / "triples/triples.jsonl", Triple))
    systems = {scores["name"]: scores for scores in run.verdict["systems"]}

    assert {triple.teacher for triple in triples} == {"cloze"}
    assert {triple.page for triple in triples} == {1, 2}
    assert {paper.source for paper in papers} == {"snapshot"}
    assert systems["last words"]["metrics"]["brevity"] > 0


def test_the_project_holds_its_promises_with_all_of_them(copy: Path) -> None:
    python(copy, "-m", "ruff", "check", "--quiet", "components", "pipelines")
    python(copy, "-m", "ruff", "format", "--check", "--quiet", "components", "pipelines")
    python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_layout.py")
    terms = "from components.shared.teachers import terms; print(terms('groq', 'my-lab/my-model'))"
    assert python(copy, "-c", terms) == "Apache-2.0\n"
