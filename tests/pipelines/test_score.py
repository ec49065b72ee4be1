import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from components.evaluate.rouge import METRICS
from components.scrape.standin.corpus import SAMPLES


def rows(count: int) -> list[dict[str, str]]:
    """Return a dataset in the reference project's shape from the sample papers' words."""
    draw = random.Random(4)
    words = " ".join(path.read_text("utf-8") for path in sorted(SAMPLES.glob("*.txt"))).split()

    def text(most: int) -> str:
        start = draw.randrange(len(words) - most)
        return draw.choice([" ", "\n"]).join(
            words[start : start + draw.randrange(1, most)]
        ) + draw.choice(["", " α≤β "])

    return [
        {"Instruction": text(12), "Input": f"{text(60)}", "Output": text(25)} for _ in range(count)
    ]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", "score", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_echo_rows_equal_rouge_scores_own_figures_on_a_dataset_of_the_seeds_shape(
    tmp_path: Path,
) -> None:
    data, file = rows(150), tmp_path / "data.json"
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
                wanted = sum(getattr(score[metric], part) for score in theirs) / len(data)
                assert ours[metric][part] == pytest.approx(wanted, abs=1e-9), (system, metric, part)


def test_answers_made_elsewhere_stand_beside_the_baselines(tmp_path: Path) -> None:
    data, file, answers = rows(20), tmp_path / "data.jsonl", tmp_path / "answers.json"
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
