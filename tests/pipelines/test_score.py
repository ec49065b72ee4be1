import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer

from components.evaluate.baselines import baseline_answers
from components.evaluate.budget import Look
from components.evaluate.generation import Generation
from components.evaluate.rouge import METRICS
from components.evaluate.scoring import scored
from components.evaluate.statistics import CAUTIOUS
from components.evaluate.verdict import Case, judge, known_before
from components.scrape.standin.corpus import SAMPLES
from components.shared.records import Example
from components.shared.verdict import BETTER, COPYING, Verdict
from pipelines.score import read_dataset
from tests.verdicts import CASE, RULES

ROWS = 400


@pytest.fixture(scope="module")
def data() -> list[dict[str, str]]:
    """Return a dataset in the reference project's shape: most outputs repeat much of their
    inputs."""
    draw = random.Random(4)
    words = " ".join(path.read_text("utf-8") for path in sorted(SAMPLES.glob("*.txt"))).split()

    def some(most: int) -> list[str]:
        start = draw.randrange(len(words) - most)
        return words[start : start + draw.randrange(3, most)]

    def joined(text: list[str]) -> str:
        return draw.choice([" ", "\n"]).join(text) + draw.choice(["", " α≤β "])

    rows = []
    for _ in range(ROWS):
        given = some(60)
        kept = [word for word in given if draw.random() < 0.7]
        row = {"Instruction": some(12), "Input": given, "Output": kept[:40] + some(6)}
        rows.append({name: joined(text) for name, text in row.items()})
    return rows


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", "score", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_copying_scores_what_rouge_score_says_on_a_dataset_of_the_reference_projects_shape(
    tmp_path: Path, data: list[dict[str, str]]
) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    found = run(file, "--json")
    assert found.returncode == 0, found.stderr
    tables = json.loads(found.stdout)
    scorer = RougeScorer(list(METRICS), use_stemmer=True)
    for system, field in (("echo input", "Input"), ("echo instruction", "Instruction")):
        (ours,) = (row for row in tables["rouge-score"] if row["system"] == system)
        theirs = [scorer.score(row["Output"], row[field]) for row in data]
        for metric in METRICS:
            for part in ("precision", "recall", "fmeasure"):
                wanted = sum(getattr(score[metric], part) for score in theirs) / ROWS
                assert ours[metric][part] == pytest.approx(wanted, abs=1e-9), (system, metric, part)
        if system == "echo input":
            assert ours["rougeL"]["fmeasure"] > 0.5, "outputs overlap their inputs"


def verdict_on(examples: list[Example], tuned: list[str]) -> Verdict:
    """Judge these answers of a tuned model whose base says nothing of use."""
    texts = {"base": ["nothing of use"] * len(examples), "tuned": tuned}
    texts |= baseline_answers(examples, ["a few words"], seed=1)
    answers = {}
    for name, system in texts.items():
        pairs = zip(examples, system, strict=True)
        answers[name] = [scored(name, each, Generation(text, 9, True)) for each, text in pairs]
    known: dict[str, Any] = known_before(examples, Look(0.05, 10), CAUTIOUS)
    return judge(RULES, Case(**{**CASE, **known}), answers, {})


def test_a_tuned_model_below_copying_is_never_better(
    tmp_path: Path, data: list[dict[str, str]]
) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    examples, _ = read_dataset(file)
    assert len(examples) == ROWS
    draw = random.Random(5)
    words: dict[float, str] = {}
    for lost in (0.02, 0.1, 0.3, 0.5):  # share of the input's words that a copying model loses
        tuned = []
        for example in examples:
            kept = [word for word in example.input.split() if draw.random() >= lost]
            tuned.append(" ".join(kept))
        verdict = verdict_on(examples, tuned)
        mine, copied = verdict.system("tuned"), verdict.system("echo input")
        assert mine
        assert copied
        assert mine.rougeL < copied.rougeL
        words[lost] = verdict.word
    assert set(words.values()) == {COPYING}
    assert verdict_on(examples, [example.completion for example in examples]).word == BETTER


def test_answers_made_elsewhere_stand_beside_the_baselines(
    tmp_path: Path, data: list[dict[str, str]]
) -> None:
    data, file, answers = data[:20], tmp_path / "data.jsonl", tmp_path / "answers.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in data), "utf-8")
    answers.write_text(json.dumps([row["Output"] for row in data]), "utf-8")
    found = run(file, "--answers", f"perfect={answers}")
    assert "20 rows" in found.stdout
    perfect = [
        line.split()[1:4]
        for line in found.stdout.splitlines()
        if line.strip().startswith("perfect")
    ]
    assert perfect[0][0] == perfect[0][2] == "1.0000"


def test_a_file_that_is_no_dataset_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('[{"Instruction": "a", "Input": "b"}]', "utf-8")
    found = run(tmp_path / "data.json")
    assert found.returncode == 1
    assert "data.json, line 1: malformed: lacks output; it has Instruction, Input" in found.stderr
    assert len(found.stderr.splitlines()) == 1
