"""Currency: what the tuned model has learned, whether it generalises, what it has forgotten.

Base and tuned meet five kinds of probes; a gain is base - tuned in nats a token, or tuned - base
in ROUGE-L, so that more is always better:

    learned   closed-book rows of papers that were trained on, about facts that no row told
    closed    closed-book rows of test papers: what is gained there is manner, not knowledge
    open      the test examples that the verdict is about
    text      passages of test papers, as plain text
    kept      a fixed general text that has nothing to do with papers

A fact is learned where the gain on `learned` is larger than the gain on `closed`: both sets are
asked and answered in the same manner, and only the papers differ.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from components.evaluate.scoring import mean
from components.evaluate.statistics import Interval, interval
from components.shared import subset
from components.shared.records import CLOSED, Answer, Example, Source, digest, read_records
from components.shared.verdict import BASE, TUNED, Figure, Rules, Verdict

LEARNED, OPEN, TEXT, KEPT = "learned", "open", "text", "kept"
LOSS, SCORE = "nats a token", "ROUGE-L"
BEYOND = "nats a token beyond papers never read"  # the difference that tells what was learned
TITLES = {
    LEARNED: "held-out facts of training papers",
    CLOSED: "closed-book questions on test papers",
    OPEN: "open-book answers on test papers",
    TEXT: "plain text of test papers",
    KEPT: "general English",
}
GENERAL = Path(__file__).with_name("general.txt")

Answers = Mapping[str, Sequence[Answer]]  # by system, in the order of the examples


@cache
def general_text() -> tuple[str, ...]:
    """Return the passages of the general text, in their order."""
    return tuple(GENERAL.read_text("utf-8").strip().split("\n\n"))


def candidates(test: Path) -> list[Example]:
    """Return all probes that a test folder allows, each with its kind: those of test papers are
    told apart from the test examples by it."""
    bank = list(read_records(test / "examples.jsonl", Example))
    found = []
    if (test / "learned.jsonl").exists():
        for example in read_records(test / "learned.jsonl", Example):
            found.append(replace(example, kind=LEARNED))
    found += [example for example in bank if example.kind == CLOSED]
    passages = dict.fromkeys((row.paper, row.input.strip()) for row in bank if row.input.strip())
    for paper, text in passages:
        found.append(_plain(TEXT, paper, text))
    for number, text in enumerate(general_text(), 1):
        found.append(_plain(KEPT, f"general-{number:02}", text))
    return found


def choose(
    probes: Sequence[Example], tested: Collection[str], trained: Collection[str], limit: int
) -> list[Example]:
    """Return the probes of the papers tested on and trained on, at most `limit` of a kind (of
    plain text half as many); 0 is all. The general text is always whole."""
    papers = {LEARNED: trained, CLOSED: tested, TEXT: tested}
    found: list[Example] = []
    for kind, allowed in papers.items():
        of_kind = [probe for probe in probes if probe.kind == kind and probe.paper in allowed]
        found += subset.spread(of_kind, limit // 2 if kind == TEXT else limit)
    return found + [probe for probe in probes if probe.kind == KEPT]


def older_papers(cutoff: str, examples: Sequence[Example], sources: Sequence[Source]) -> list[str]:
    """Return the papers that a base with this cutoff may have read: of that day or before, or of
    no known day. Versions of a paper count from the first."""
    if not cutoff:
        return []
    days = {source.paper: source.submitted[:10] for source in sources}
    papers = sorted({example.paper for example in examples})
    return [paper for paper in papers if days.get(paper, "") <= cutoff]


def _plain(kind: str, paper: str, text: str) -> Example:
    return Example(
        triple=f"{kind}-{digest([paper, text])[:16]}",
        paper=paper,
        kind=kind,
        instruction="",
        input="",
        prompt="",
        completion=text,
    )


def figures(rules: Rules, answers: Answers, probes: Answers) -> list[Figure]:
    """Return what base and tuned make of each kind of probe, and of the test examples."""
    sides = {OPEN: _pairs(answers)}
    for pair in _pairs(probes):
        sides.setdefault(pair[0].kind, []).append(pair)
    found: list[Figure] = []
    gains: dict[str, Interval] = {}
    for part in (LEARNED, CLOSED, OPEN, TEXT, KEPT):
        pairs = [pair for pair in sides.get(part, []) if pair[0].loss is not None]
        if len({base.paper for base, _ in pairs}) < 2:
            continue
        base, tuned = ([_nats(answer) for answer in side] for side in zip(*pairs, strict=True))
        figure, gains[part] = _figure(rules, part, LOSS, pairs, base, tuned)
        found.append(figure)
        if part in (LEARNED, CLOSED):
            scores = ([a.scores[rules.metric] for a in side] for side in zip(*pairs, strict=True))
            found.append(_figure(rules, part, SCORE, pairs, *scores)[0])
    if LEARNED in gains and CLOSED in gains:
        found.append(_beyond(found, gains[LEARNED], gains[CLOSED]))
    return found


def _pairs(answers: Answers) -> list[tuple[Answer, Answer]]:
    return list(zip(answers.get(BASE, ()), answers.get(TUNED, ()), strict=True))


def _nats(answer: Answer) -> float:
    return (answer.loss or 0.0) / max(answer.reference_tokens, 1)


def _figure(
    rules: Rules,
    part: str,
    unit: str,
    pairs: Sequence[tuple[Answer, Answer]],
    base: Sequence[float],
    tuned: Sequence[float],
) -> tuple[Figure, Interval]:
    sign = -1 if unit == LOSS else 1
    gained = [sign * (mine - theirs) for theirs, mine in zip(base, tuned, strict=True)]
    papers = [answer.paper for answer, _ in pairs]
    found = interval(gained, papers, rules.confidence)
    figure = Figure(
        part=part,
        unit=unit,
        base=mean(base),
        tuned=mean(tuned),
        gain=found.mean,
        low=found.low,
        high=found.high,
        examples=len(pairs),
        papers=len(set(papers)),
    )
    return figure, found


def _beyond(known: Sequence[Figure], learned: Interval, closed: Interval) -> Figure:
    """Return the difference of two independent gains; its interval from theirs (MOVER: Zou and
    Donner 2008)."""
    both = {figure.part: figure for figure in known if figure.unit == LOSS}
    below = math.hypot(learned.mean - learned.low, closed.high - closed.mean)
    above = math.hypot(learned.high - learned.mean, closed.mean - closed.low)
    gain = learned.mean - closed.mean
    return Figure(
        part=LEARNED,
        unit=BEYOND,
        base=closed.mean,
        tuned=learned.mean,
        gain=gain,
        low=gain - below,
        high=gain + above,
        examples=both[LEARNED].examples + both[CLOSED].examples,
        papers=both[LEARNED].papers + both[CLOSED].papers,
    )


def find(found: Sequence[Figure], part: str, unit: str = LOSS) -> Figure | None:
    """Return a figure, or None where it was not measured."""
    return next((one for one in found if (one.part, one.unit) == (part, unit)), None)


def forgotten(rules: Rules, found: Sequence[Figure]) -> str:
    """Say what a model has lost for its gains, or nothing."""
    if (loss := find(found, OPEN)) and loss.high < 0:
        return f"its loss on the references is worse than the base's: {shown(loss)}"
    if (kept := find(found, KEPT)) and kept.low <= -rules.kept_margin:
        margin = f"it may lose {rules.kept_margin:g} of them at most"
        return f"it has forgotten too much of general text: {shown(kept)}, and {margin}"
    return ""


def shown(figure: Figure) -> str:
    """Return a gain with its interval, for a sentence."""
    return f"{figure.gain:+.3f} {figure.unit} [{figure.low:+.3f}, {figure.high:+.3f}]"


@dataclass(frozen=True)
class Finding:
    """One of the three questions, answered in words before numbers."""

    title: str
    word: str  # yes, no, not shown, not measured
    sentence: str
    numbers: Sequence[str] = ()


def findings(verdict: Verdict) -> list[Finding]:
    """Return what the figures say: did it learn, does it generalise, what did it forget."""
    return [_learned(verdict), _generalises(verdict), _kept(verdict)]


def _learned(verdict: Verdict) -> Finding:
    beyond, title = find(verdict.currency, LEARNED, BEYOND), "Learned the papers"
    if not beyond:
        why = "The data hold no closed-book questions about papers of both sides."
        return Finding(title, "not measured", why)
    word, gives = "not shown", "is not shown to give"
    if beyond.low > 0:
        word, gives = "yes", "gives"
    sentence = (
        f"Asked without the passage, it {gives} facts of the papers that it was trained on more "
        "readily than facts of papers that it never read."
    )
    loss, score = (find(verdict.currency, LEARNED, unit) for unit in (LOSS, SCORE))
    return Finding(title, word, sentence, [shown(beyond), *_both(loss, score)])


def _generalises(verdict: Verdict) -> Finding:
    pair, title = verdict.against(BASE), "Generalises to new papers"
    if not pair:
        return Finding(title, "not measured", "Too few papers were tested on.")
    word = "not shown"
    if pair.low > 0:
        word = "yes"
    elif pair.high < 0:
        word = "no"
    than = {"yes": "better than the base", "no": "worse than the base"}
    about = "groups of rows kept from training" if verdict.unnamed else "papers nobody trained on"
    sentence = (
        f"With the passage at hand, it answers questions about {about} "
        f"{than.get(word, 'about as well as the base')}."
    )
    figures = [find(verdict.currency, part) for part in (OPEN, CLOSED, TEXT)]
    gain = f"{pair.difference:+.3f} ROUGE-L [{pair.low:+.3f}, {pair.high:+.3f}]"
    return Finding(title, word, sentence, [gain, *_both(*figures)])


def _kept(verdict: Verdict) -> Finding:
    kept, margin = find(verdict.currency, KEPT), verdict.rules.kept_margin
    title = "Kept its general English"
    if not kept:
        return Finding(title, "not measured", "No model was tested.")
    word, sentence = "not shown", "Ordinary English may have become too hard for it."
    if kept.low > -margin:
        how = "better than" if kept.low > 0 else "about as well as"
        word, sentence = "yes", f"It reads ordinary English {how} the base."
    elif kept.high <= -margin:
        word, sentence = "no", "It reads ordinary English worse than the base: it has forgotten."
    if not verdict.knows:
        sentence += " The base is a toy that knew none: this decides nothing."
    allowed = f"above 0 is better, and -{margin:g} or less would be too much, as settled beforehand"
    return Finding(title, word, sentence, [shown(kept), allowed, *_both(kept)])


def _both(*figures: Figure | None) -> list[str]:
    """Return base and tuned of the figures that there are."""
    found = []
    for figure in filter(None, figures):
        values = f"{figure.base:.3f} to {figure.tuned:.3f} {figure.unit}"
        found.append(f"{TITLES[figure.part]}: {values}")
    return found
