"""arXiv's lists as a source, read with Selenium: what robots.txt allows a browser, and the
newest that there is.

/list/cs.CL/recent shows the last five mailings, /list/cs.CL/2026-11 those of a month, 2,000 rows
a page: no licence, no abstract and no day of submission, but every id."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from typing import Any

from components.scrape import clock
from components.scrape.browser import Browser
from components.scrape.bylines import parse_authors
from components.scrape.config import ScrapeConfig
from components.scrape.site import Site, retry
from components.scrape.source import (
    ONE_DAY,
    BadEntryError,
    Batch,
    Listing,
    Window,
    categories_of,
    read_entries,
    valid_id,
)
from components.shared.http import FetchError, Outcome
from components.shared.text import clean_line

Row = dict[str, Any]

SHOW = 2000  # rows on a page; only certain numbers are taken
SCRIPT = """
const content = node => node ? node.textContent : '';
const text = (node, selector) => content(node.querySelector(selector));
const rows = Array.from(document.querySelectorAll('dl#articles dt')).map(dt => {
  const dd = dt.nextElementSibling, heading = dt.parentNode.querySelector('h3');
  return {
    heading: heading ? heading.textContent : '',
    id: text(dt, 'a[title=Abstract]'),
    title: text(dd, '.list-title'),
    authors: text(dd, '.list-authors'),
    comments: text(dd, '.list-comments'),
    subjects: text(dd, '.list-subjects'),
  };
});
return {
  title: document.title,
  paging: text(document, '.paging'),
  list: document.querySelector('dl#articles') !== null,
  rows: rows,
};
"""
TOTAL = re.compile(r"Total of (\d+) entries")
HEADING = re.compile(r"[A-Z][a-z]{2}, (\d{1,2} [A-Z][a-z]{2} \d{4})")


class ListSource:
    """Lists papers by the lists of the question's categories; `recent_only` leaves what is older
    to others."""

    name = "list"

    def __init__(
        self, config: ScrapeConfig, site: Site, browser: Browser, *, recent_only: bool = False
    ) -> None:
        self.config, self.site, self.browser = config, site, browser
        self.recent_only = recent_only

    def batches(self, window: Window) -> Iterator[Batch]:
        """Yield the last mailings, then month by month: a paper is mailed after it was
        submitted, never before."""
        if window.end > clock.today():
            yield self._recent()
        if self.recent_only:
            return
        month = min(window.end, clock.today()).replace(day=1)
        while True:
            yield self._month(month, window)
            if month <= window.first:
                return
            month = (month - ONE_DAY).replace(day=1)

    def _recent(self) -> Batch:
        rows: list[Row] = []
        days = []
        for name in self.config.asked_categories:
            part = self._pages(name, "recent")
            if not part:  # lists were empty for ten hours in June 2026
                raise FetchError("empty list", Outcome.LATER, f"/list/{name}/recent")
            days.append(min(_mailed(row) for row in part))
            rows += part
        return _batch(rows, max(days))

    def _month(self, month: date, window: Window) -> Batch:
        following = (month + 31 * ONE_DAY).replace(day=1)
        rows: list[Row] = []
        for name in self.config.asked_categories:
            rows += self._pages(name, f"{month:%Y-%m}")
        for row in rows:
            row["day"] = following - ONE_DAY
        return _batch(rows, max(month, window.first))

    def _pages(self, category: str, period: str) -> list[Row]:
        rows: list[Row] = []
        while True:
            url = f"{self.config.root}/list/{category}/{period}?skip={len(rows)}&show={SHOW}"
            total, part = self.site.ask(url, partial(self._page, start=len(rows)))
            rows += part
            if len(rows) >= total or not part:
                return rows

    def _page(self, url: str, start: int) -> tuple[int, list[Row]]:
        raw = self.browser.read(url, SCRIPT)
        found = TOTAL.search(raw["paging"])
        if not found and (raw["rows"] or not raw["list"]):
            told = (
                f"not a list: {clean_line(raw['title'])[:100]!r}; has the site changed its pages?"
            )
            raise retry("incomplete page", told)
        total = int(found[1]) if found else 0
        if len(raw["rows"]) != min(SHOW, max(0, total - start)):
            told = f"{len(raw['rows'])} rows after the first {start} of {total}"
            raise retry("incomplete page", told)
        return total, raw["rows"]


def _mailed(row: Row) -> date:
    """Return the day of the mailing that a row stands under."""
    if "day" not in row:
        found = HEADING.match(clean_line(row["heading"]))
        if not found:
            told = f"heading {clean_line(row['heading'])[:50]!r}; has the site changed its pages?"
            raise FetchError("broken answer", Outcome.LATER, told)
        row["day"] = datetime.strptime(found[1], "%d %b %Y").date()
    day: date = row["day"]
    return day


def _batch(rows: list[Row], reached: date) -> Batch:
    listings, rejects = read_entries(rows, lambda row: parse_row(row, _mailed(row)))
    first = {listing.arxiv_id: listing for listing in reversed(listings)}
    return Batch(reached, list(first.values()), rejects)


def parse_row(row: Row, day: date) -> Listing:
    """Parse one row; `day` is no earlier than that of its submission."""
    told, title = clean_line(row["id"]), _value(row["title"], "Title")
    if not told.startswith("arXiv:") or not title:
        raise BadEntryError(told, f"id {told[:100]!r}, title {title[:100]!r}")
    return Listing(
        arxiv_id=valid_id(told.removeprefix("arXiv:")),
        day=day,
        title=title,
        authors=parse_authors(_value(row["authors"], "Authors")),
        categories=categories_of(row["subjects"]),
        comments=_value(row["comments"], "Comments"),
    )


def _value(text: str, label: str) -> str:
    return clean_line(clean_line(text).removeprefix(f"{label}:"))
