"""What the stand-in's lists hold: papers by the mailing that told of them, after arXiv's own
pages of /list.

All papers of the corpus are there for all of its doors, also those whose mailing is due tomorrow.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from components.scrape.standin import pages
from components.scrape.standin.corpus import Corpus, Entry
from components.scrape.standin.question import BadRequest, announced

EASTERN = ZoneInfo("America/New_York")
SHOWN = (25, 50, 100, 250, 500, 1000, 2000)
MAILINGS = 5  # that /recent shows
DEADLINE = 14  # hour: what comes later waits for the next mailing
CATEGORY = re.compile(r"[a-z-]{2,12}(\.[A-Za-z-]{2,12})?")


def mailed(entry: Entry) -> date:
    """Return the day of the mailing: submissions of a weekday until 14:00 are mailed in the
    evening, dated the next."""
    local = entry.submitted.astimezone(EASTERN)
    day = local.date() + timedelta(days=local.hour >= DEADLINE)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    day += timedelta(days=1)
    return day + timedelta(days=2) if day.weekday() == 5 else day


def answer(corpus: Corpus, category: str, period: str, parameters: Mapping[str, str]) -> str:
    """Return a page of /list; raise BadRequest with the status for what arXiv does not take."""
    skip, show = parameters.get("skip", "0"), parameters.get("show", "50")
    if not CATEGORY.fullmatch(category) or show not in map(str, SHOWN):
        raise BadRequest(400)
    within = [entry for entry in corpus.current() if _is_of(entry, category)]
    if period == "recent":
        days = sorted({mailed(entry) for entry in within}, reverse=True)[:MAILINGS]
        found = [entry for entry in within if mailed(entry) in days]
        found.sort(key=lambda entry: entry.arxiv_id)
        found.sort(key=mailed, reverse=True)
    elif re.fullmatch(r"\d{4}-\d\d", period):
        found = [entry for entry in within if f"{announced(entry):%Y-%m}" == period]
        found.sort(key=lambda entry: entry.arxiv_id)
    else:
        raise BadRequest(400)
    day_of = mailed if period == "recent" else None
    return pages.listing_page(found, int(skip), int(show), day_of, corpus.notice)


def _is_of(entry: Entry, category: str) -> bool:
    return any(f"{name}.".startswith(f"{category}.") for name in entry.categories)
