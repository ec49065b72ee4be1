"""Planted facts: a real model that was trained on invented papers, one that was trained on their
style, and one that was trained on shuffled text are told apart. Part of `make test-real`.

A model this small that learns a few passages by heart loses general English too: only that the
shuffled text is found to do so is asked here."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from components.curate.config import CurateConfig
from components.curate.core import curate
from components.evaluate.config import EvaluateConfig
from components.evaluate.core import evaluate
from components.evaluate.currency import BEYOND, LEARNED, find, forgotten
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.scrape.standin.corpus import SAMPLES
from components.shared.bases import SMOLLM2
from components.shared.feasibility import position
from components.shared.records import Example, read_records, write_records
from components.shared.verdict import Verdict
from tests import builders

pytestmark = pytest.mark.real

TRAIN_PAPERS, TEST_PAPERS = 8, 8
RECIPE = {
    "learning_rate": 1e-3,
    "epochs": 6.0,
    "held_out": 0.0,
    "max_examples": 12,
    "text_share": 0.8,
}


def invented_papers(test: bool) -> list[Path]:
    """Return the sample papers of a side, which no model can know."""
    found = []
    for path in sorted(SAMPLES.glob("*.txt")):
        if (position(path.stem, 42) < CurateConfig().test_fraction) == test:
            found.append(path)
    return found


def passages(folder: Path, papers: list[Path]) -> Path:
    """Return a folder of triples of these papers, as the embedded teacher makes them."""
    documents = []
    for path in papers:
        head, _, text = path.read_text("utf-8").partition("\n\n")
        pages = [page.replace("# ", "") for page in text.split("\n# ")]
        title = head.splitlines()[0].removeprefix("title: ")
        authors = [f"Author of {path.stem}"]
        documents.append(builders.document(pages, paper=path.stem, title=title, authors=authors))
    write_records(folder / "documents/documents.jsonl", documents)
    config = GenerateConfig(teacher="embedded", base_model=SMOLLM2, store=str(folder / "store"))
    generate(config, folder / "documents", folder / "triples")
    return folder / "triples"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train and test, as curate writes them."""
    folder = tmp_path_factory.mktemp("planted")
    mine = [*invented_papers(test=False)[:TRAIN_PAPERS], *invented_papers(test=True)[:TEST_PAPERS]]
    config = CurateConfig(store=str(folder / "store"), base_model=SMOLLM2, learned_fraction=0.6)
    outputs = (folder / name for name in ("train", "test", "card.html", "card.md"))
    curate(config, passages(folder, mine), *outputs)
    return folder


def shuffled(texts: list[Example]) -> list[Example]:
    draw = random.Random(3)
    found = []
    for text in texts:
        words = text.completion.split()
        found.append(replace(text, completion=" ".join(draw.sample(words, len(words)))))
    return found


def of_other_papers(texts: list[Example], folder: Path) -> list[Example]:
    """Return as many passages of papers that are neither trained nor tested on."""
    others = passages(folder, invented_papers(test=False)[TRAIN_PAPERS:])
    rows = (others / "triples.jsonl").read_text("utf-8").splitlines()
    found = dict.fromkeys(json.loads(row)["input"] for row in rows)
    return [replace(text, completion=own) for text, own in zip(texts, found, strict=False)]


def judged(data: Path, way: str) -> Verdict:
    """Return the verdict on a training whose plain text is that of a way."""
    learned = read_records(data / "test/learned.jsonl", Example)
    told = {row.input.strip() for row in learned}
    found = read_records(data / "train/texts.jsonl", Example)
    texts = [text for text in found if text.completion in told]
    if way == "style":
        texts = of_other_papers(texts, data / "others")
    elif way == "shuffled":
        texts = shuffled(texts)
    folder, store = data / way, str(data / "store")
    shutil.copytree(data / "train", folder / "train")
    write_records(folder / "train/texts.jsonl", texts)
    training = FinetuneConfig.build({"base_model": SMOLLM2, "store": store}, RECIPE)
    finetune(training, folder / "train", folder / "adapter", folder / "curve.html")
    config = EvaluateConfig(store=store, release=way, max_new_tokens=1, max_examples=60)
    sides = (folder / "train", data / "test", folder / "adapter")
    pages = (folder / "report.html", folder / "summary.md")
    evaluate(config, *sides, folder / "evaluation", *pages)
    verdict = Verdict.read(folder / "evaluation/verdict.json")
    for figure in verdict.currency:
        interval = f"{figure.gain:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"
        print(f"{way:9} {figure.part:8} {figure.unit:38} {interval} {figure.examples}")
    return verdict


def test_facts_style_and_shuffled_text_are_told_apart(data: Path) -> None:
    verdicts = {way: judged(data, way) for way in ("facts", "style", "shuffled")}
    learned, lost = {}, {}
    for way, verdict in verdicts.items():
        figure = find(verdict.currency, LEARNED, BEYOND)
        learned[way] = figure is not None and figure.low > 0
        lost[way] = bool(forgotten(verdict.rules, verdict.currency))
    assert learned == {"facts": True, "style": False, "shuffled": False}
    assert lost["shuffled"]
