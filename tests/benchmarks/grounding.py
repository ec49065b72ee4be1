"""Planted inventions found, and faithful answers let through: the share of known words against the
grounding check.

Evidence is a paragraph of a sample paper. Faithful answers are the embedded teacher's and
paraphrases written by hand; from each of them inventions are made by changing a number, swapping
two names, or adding a sentence of another paper.
"""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from components.generate.embedded import EmbeddedTeacher
from components.generate.teacher import Request
from components.generate.triples import parse
from components.scrape.standin.corpus import SAMPLES, parse_sections
from components.shared.grounding import GROUNDED, grounding, sentences
from tests.benchmarks.ratio import Ratio

PARAPHRASES = Path(__file__).parents[1] / "fixtures" / "paraphrases.txt"
_NUMBER = re.compile(r"(?<![\w.,-])\d+(?:[.,]\d+)*(?![\w-])")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w-]+(?: [A-Z][\w-]+)*")


class Case(NamedTuple):
    """An answer, the paragraph it claims to rest on, and what was planted in it ("" for
    nothing)."""

    planted: str
    output: str
    evidence: str


def measure() -> Iterator[Ratio]:
    """Judge all cases both ways."""
    cases = [*faithful(), *planted(random.Random(0))]
    for kind in ("number changed", "name swapped", "foreign sentence", "any"):
        chosen = [case for case in cases if case.planted and kind in (case.planted, "any")]
        yield Ratio(
            f"inventions found, % ({kind})", _rejected(chosen, _plain), _rejected(chosen, _ours)
        )
    clean = [case for case in cases if not case.planted]
    yield Ratio(
        "faithful answers rejected, %",
        _rejected(clean, _plain),
        _rejected(clean, _ours),
        less_is_better=True,
    )


def faithful() -> Iterator[Case]:
    """Yield the embedded teacher's answers and the paraphrases."""
    known = paragraphs()
    teacher = EmbeddedTeacher()
    for paper, texts in known.items():
        for number, text in enumerate(texts):
            answer = teacher.ask(
                teacher.payload(Request(paper=paper, version=1, page=number, text=text, seed=0))
            ).text
            yield from (Case("", draft.output, text) for draft in parse(answer) or [])
    yield from paraphrases(known)


def paraphrases(known: dict[str, list[str]]) -> Iterator[Case]:
    """Yield the faithful answers in other words."""
    for line in PARAPHRASES.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            paper, start, output = line.split(" | ")
            (evidence,) = (text for text in known[paper] if text.startswith(start))
            yield Case("", output, evidence)


def planted(choose: random.Random) -> Iterator[Case]:
    """Yield inventions made from the faithful answers."""
    known = paragraphs()
    foreign = [
        (paper, sentence)
        for paper, texts in known.items()
        for text in texts
        for sentence in sentences(text)
    ]
    everywhere = sorted(
        {name for texts in known.values() for text in texts for name in _NAME.findall(text)}
    )
    for case in faithful():
        for number in _NUMBER.findall(case.output)[:2]:
            yield case._replace(planted="number changed", output=_changed(case, number, choose))
        for name in _NAME.findall(case.output)[:1]:
            others = [
                other
                for other in _NAME.findall(case.evidence)
                if other not in (name, *name.split())
            ]
            other = choose.choice(others or [n for n in everywhere if n not in case.evidence])
            yield case._replace(planted="name swapped", output=case.output.replace(name, other))
        sentence = choose.choice([text for paper, text in foreign if text not in case.evidence])
        text = choose.choice([sentence, f"{case.output} {sentence}"])
        yield case._replace(planted="foreign sentence", output=text)


def _changed(case: Case, number: str, choose: random.Random) -> str:
    """Return the answer with a number changed a little, a lot, or to another number of the
    paragraph."""
    others = [other for other in _NUMBER.findall(case.evidence) if other != number]
    digits = [c for c in number if c.isdigit()]
    digits[choose.randrange(len(digits))] = choose.choice("123456789")
    fresh = iter(digits)
    new = choose.choice(
        ["".join(next(fresh) if c.isdigit() else c for c in number), *others[:1], f"{number}7"]
    )
    return case.output.replace(number, f"{number}5" if new == number else new, 1)


def paragraphs() -> dict[str, list[str]]:
    """Return the paragraphs of each sample paper."""
    return {
        path.stem: [p for _, texts in parse_sections(path.read_text("utf-8")) for p in texts]
        for path in sorted(SAMPLES.glob("*.txt"))
    }


def _rejected(cases: list[Case], judge: Callable[[Case], bool]) -> float:
    return 100 * sum(not judge(case) for case in cases) / len(cases)


def _ours(case: Case) -> bool:
    return grounding(case.output, case.evidence).score >= GROUNDED


def _plain(case: Case) -> bool:
    words = re.findall(r"\w{3,}", case.output.lower())
    known = set(re.findall(r"\w{3,}", case.evidence.lower()))
    return sum(word in known for word in words) >= GROUNDED * len(words)
