"""The corpus: every paper of a question that the store holds, with its triples.

    corpus/<question>/<day of first submission>/<paper>/<n>-<hash>    source and triples

Only curate writes and joins it; of a paper the latest entry counts.

The names of the keys alone tell the papers and their days, so that what is not joined is not read.
What happened to a paper since, a withdrawal or another licence, scrape writes into
papers/<id>/v<version>.json; it counts here.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.errors import ArxtuneError
from components.shared.feasibility import require_verdict
from components.shared.ledger import read_lineage
from components.shared.names import safe_name
from components.shared.progress import say
from components.shared.records import Source, Triple, digest
from components.shared.store import Store, open_store

WINDOW = ("published_after", "published_before")  # of a question; it moves from run to run


@dataclass(frozen=True)
class Question:
    """What a recurring run asks: words and site name the corpus, days bound what is taken of it."""

    name: str
    first_day: str = ""
    end_day: str = ""

    @classmethod
    def of(cls, folder: Path) -> "Question | None":
        """Return the question that an artifact's lineage tells; rows of one's own ask none."""
        for summary in read_lineage(folder):
            asked = summary.get("facts", {}).get("question")
            if summary.get("stage") == "scrape" and asked and asked.get("query"):
                return cls.asked(asked)
        return None

    @classmethod
    def asked(cls, facts: Mapping[str, Any]) -> "Question":
        """Return the question by the facts that scrape tells of it."""
        words = {name: value for name, value in facts.items() if name not in WINDOW}
        first, end = facts.get("published_after"), facts.get("published_before")
        return cls(digest(words)[:16], str(first or ""), str(end or ""))

    def covers(self, day: str) -> bool:
        """Tell whether a day of first submission, YYYY-MM-DD, lies in the question's days."""
        return self.first_day <= day and (not self.end_day or day < self.end_day)


@dataclass(frozen=True)
class Held:
    """A paper of the corpus, by what its keys tell."""

    paper: str
    day: str
    key: str  # of its latest entry


def held_papers(store: Store, question: Question) -> list[Held]:
    """Return the papers of a question that the store holds, the newest first."""
    latest: dict[tuple[str, str], str] = {}
    prefix = f"corpus/{question.name}"
    for key in store.list(prefix):
        day, name = key.removeprefix(f"{prefix}/").split("/")[:2]
        if question.covers(day):
            latest[day, name] = max(key, latest.get((day, name), ""))
    found = []
    for day, name in sorted(latest, reverse=True):
        found.append(Held(name.replace("_", "/", 1), day, latest[day, name]))
    return found


def forecast(config: Any, folder: Path, papers: Collection[str]) -> str:
    """Return the line that says what a verdict on these papers and their corpus will rest on.

    `config` is a stage's with a store, a seed and the switches of a forecast. Raises TooLittleData
    where no verdict can come of it. Who works on documents by hand is told nothing.
    """
    if Question.of(folder) is None:
        return ""
    in_sight = set(papers)
    if not config.own_papers:
        in_sight = papers_in_sight(open_store(config.store), folder, papers)
    return require_verdict(
        in_sight, config.seed, own=config.own_papers, train_anyway=config.train_anyway
    )


def papers_in_sight(store: Store, folder: Path, papers: Collection[str]) -> set[str]:
    """Return some papers and those of the corpus that a run on them, by its artifact, will add."""
    in_sight = set(papers)
    if question := Question.of(folder):
        in_sight.update(held.paper for held in held_papers(store, question))
    return in_sight


def keep(
    store: Store, question: Question, sources: Collection[Source], triples: Sequence[Triple]
) -> int:
    """Write what a run knows of its papers into the corpus; return how many are new or changed."""
    of_paper: dict[tuple[str, int], list[Triple]] = {}
    for triple in triples:
        of_paper.setdefault((triple.paper, triple.version), []).append(triple)
    changed = 0
    for source in sources:
        rows = sorted(of_paper.get((source.paper, source.version), []), key=lambda t: t.id)
        if rows:
            changed += _keep_paper(store, question, source, rows)
    return changed


def read_paper(store: Store, held: Held) -> tuple[Source, list[Triple]] | None:
    """Return a paper, with its licence of today, and its triples; None where it left the corpus."""
    row = store.get_json(held.key)
    try:
        source = Source.from_dict(row["source"], held.key)
        triples = [Triple.from_dict(triple, held.key) for triple in row["triples"]]
    except (ArxtuneError, TypeError, KeyError):
        say("curate", f"{held.key} is damaged: left out")
        return None
    today = store.get_json(f"papers/{source.paper}/v{source.version}.json") or {}
    if today.get("withdrawn"):
        say("curate", f"{source.paper} was withdrawn: it left the corpus")
        return None
    source.licence = str(today.get("licence") or source.licence)
    return source, triples


def _keep_paper(
    store: Store, question: Question, source: Source, triples: Sequence[Triple]
) -> bool:
    day = source.submitted[:10] or "0000-00-00"
    # Not what else a source carries: it may be the text of all pages.
    about = dataclasses.replace(source, extra={}).to_dict()
    entry = {"source": about, "triples": [triple.to_dict() for triple in triples]}
    name = safe_name(source.paper.replace("/", "_"), "paper")
    log = f"corpus/{question.name}/{safe_name(day, 'day')}/{name}"
    if store.latest(log) == entry:
        return False
    store.append(log, entry)
    return True
