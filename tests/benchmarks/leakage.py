"""Share of test rows that share an 8-gram with training: a random split by row against the split by paper."""

import random
from collections.abc import Iterator

from components.curate.split import choose_test_papers
from components.generate.embedded import EmbeddedTeacher
from components.generate.teacher import Request
from components.generate.triples import parse
from components.scrape.standin.corpus import SAMPLES, parse_sections
from tests.benchmarks.ratio import Ratio

N = 8


def measure() -> Iterator[Ratio]:
    """Split the embedded teacher's triples both ways."""
    teacher, rows = EmbeddedTeacher(), []
    for path in sorted(SAMPLES.glob("*.txt")):
        sections = parse_sections(path.read_text("utf-8"))
        text = "\n\n".join(paragraph for _heading, paragraphs in sections for paragraph in paragraphs)
        for seed in range(3):  # three tasks a passage, as the seed asks for three a page
            answer = teacher.ask(Request(paper=path.stem, version=1, page=1, text=text, seed=seed))
            rows += [(path.stem, f"{draft.input} {draft.output}") for draft in parse(answer) or []]
    shuffled = random.Random(0).sample(rows, len(rows))
    cut = len(rows) // 5
    held_out = choose_test_papers((name for name, _ in rows), 0.2, seed=0)
    by_paper = [row for row in rows if row[0] in held_out], [row for row in rows if row[0] not in held_out]
    yield Ratio(
        "leakage, % of test rows sharing an 8-gram",
        _leaking(shuffled[:cut], shuffled[cut:]),
        _leaking(*by_paper),
        less_is_better=True,
    )


def _leaking(test: list[tuple[str, str]], train: list[tuple[str, str]]) -> float:
    known = {gram for _, text in train for gram in _grams(text)}
    return 100 * sum(bool(_grams(text) & known) for _, text in test) / len(test)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[start : start + N]) for start in range(len(words) - N + 1)}
