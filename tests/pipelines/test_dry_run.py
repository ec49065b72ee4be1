"""`--dry-run` tells what the run then does, and does nothing itself."""

import json
import re
from pathlib import Path

import pytest

from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.generate.standin import KEY, StandIn
from components.shared.records import Paper, read_records
from pipelines.dry_run import dry_run
from pipelines.profile import make_profile
from tests.pipelines.conftest import Finished


def test_papers_tokens_and_dollars_are_those_of_the_run(
    embedded_run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARXTUNE_TEACHER_KEY", KEY)
    home, run = tmp_path / "home", embedded_run.run
    with StandIn() as teacher:
        of_teacher = f"generate.teacher_url={teacher.url}"
        profile = make_profile(None, {"teacher": "groq"}, [of_teacher])
        lines = "\n".join(dry_run(profile, home, None))
        assert not teacher.bill
        config = GenerateConfig(
            store=str(tmp_path / "store"), teacher_url=teacher.url, base_model="tiny"
        )
        generate(config, run.folder_of("extract") / "documents", tmp_path / "triples")
        bill = sum(tokens for _, tokens in teacher.bill)
        (tokens,) = re.findall(r"about ([\d,]+) tokens", lines)
        assert int(tokens.replace(",", "")) == pytest.approx(bill, rel=0.15)
        (dollars,) = re.findall(r"tokens, \$([\d.]+)", lines)
        assert float(dollars) == pytest.approx(teacher.dollars, abs=0.15 * teacher.dollars + 0.005)
    taken = read_records(run.folder_of("scrape") / "papers/papers.jsonl", Paper)
    assert {line.split("v")[0] for line in re.findall(r"^  (\S+)", lines, re.MULTILINE)} == {
        paper.arxiv_id for paper in taken
    }
    assert "3 licence not allowed: arxiv-nonexclusive" in lines
    examples = len((run.folder_of("curate") / "train/examples.jsonl").read_text().splitlines())
    (forecast,) = re.findall(r"^training .* (\d+) examples", lines, re.MULTILINE)
    assert int(forecast) == pytest.approx(examples, rel=0.5)
    verdict = run.verdict
    assert f"examples of {verdict['papers']} papers: a true gain of" in lines
    asked = [json.loads(line)["path"] for line in (home / "logs/requests.jsonl").open()]
    assert asked
    assert not [path for path in asked if path.startswith("/pdf/")]
    assert not list(home.glob("runs/*"))
