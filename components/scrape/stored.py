"""The papers that the store holds of a question, and what is known of them today."""

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

from components.scrape import clock
from components.scrape.config import ScrapeConfig
from components.scrape.source import Listing, Question
from components.shared.errors import ArxtuneError
from components.shared.progress import say
from components.shared.records import Paper
from components.shared.store import Store

RECORD = re.compile(r"papers/(.+)/v(\d+)\.json")


def stored_papers(store: Store, question: Question) -> list[tuple[Listing, date]]:
    """Return the papers of a question that the store has, the newest first, with the day each
    was fetched."""
    found: dict[str, tuple[Listing, date]] = {}
    for key, row in _records(store, question.config):
        try:
            paper = Paper.from_dict(row, key)
            listing = _listing(paper)
            fetched = datetime.fromisoformat(paper.fetched_at).date()
        except (ArxtuneError, ValueError, TypeError) as error:
            say("scrape", f"{key} in the store is damaged ({error}): left out")
            continue
        held = found.get(paper.arxiv_id)
        newer = held is None or held[0].version < paper.version
        if newer and question.in_days(listing) and question.matches(listing):
            found[paper.arxiv_id] = (listing, fetched)
    return sorted(found.values(), key=lambda pair: pair[0].order, reverse=True)


def age_of(papers: list[tuple[Listing, date]]) -> int:
    """Return the days since the last of these papers was fetched."""
    return max(0, (clock.today() - max(fetched for _, fetched in papers)).days)


def update_stored(store: Store, config: ScrapeConfig, listings: Iterable[Listing]) -> int:
    """Write today's licence and withdrawal into the records of stored papers; return how many
    changed."""
    changed = 0
    listed = {listing.arxiv_id: listing for listing in listings}
    if not listed:
        return 0
    for key, row in _records(store, config, set(listed)):
        listing = listed[row["arxiv_id"]]
        today = {"licence": listing.licence, "withdrawn": listing.withdrawn}
        if {name: row.get(name) for name in today} != today:
            store.put_json(key, row | today)
            changed += 1
    return changed


def _records(
    store: Store, config: ScrapeConfig, wanted: set[str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in list(store.list("papers")):
        match = RECORD.fullmatch(key)
        if not match or (wanted is not None and match[1] not in wanted):
            continue
        try:
            row = store.get_json(key)
        except (ArxtuneError, ValueError) as error:
            say("scrape", f"{key} in the store is damaged ({error}): left out")
            continue
        known = isinstance(row, dict) and row.get("arxiv_id") == match[1]
        if known and row.get("site") == config.site_kind:
            yield key, row


def _listing(paper: Paper) -> Listing:
    day = date.fromisoformat(paper.submitted)
    withdrawn = bool(paper.extra.get("withdrawn"))
    return Listing(
        arxiv_id=paper.arxiv_id,
        day=day,
        title=paper.title,
        authors=paper.authors,
        abstract=paper.abstract,
        categories=paper.categories,
        comments=str(paper.extra.get("comments", "")),
        version=paper.version,
        submitted=paper.submitted,
        licence=paper.licence,
        has_pdf=not withdrawn,
        withdrawn=withdrawn,
    )
