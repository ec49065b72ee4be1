"""arXiv's advanced search as a source: Selenium fetches a page, one script call takes its rows
out, pure code parses them.

Next is never clicked: on the last page its target resolves to the page itself, and some last
pages are linked from nowhere. Whoever reads goes on by what the page says it shows, until the
total it announces is reached."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from components.scrape.browser import Browser
from components.scrape.bylines import untex
from components.scrape.config import ScrapeConfig
from components.scrape.query import parse
from components.scrape.site import Site, retry
from components.scrape.source import (
    ONE_DAY,
    BadEntryError,
    Batch,
    Listing,
    Reject,
    Window,
    read_entries,
    valid_id,
)
from components.shared.http import FetchError, Outcome
from components.shared.text import clean_line

Raw = dict[str, Any]
PATH = "/search/advanced"
FIRST_ARXIV_DAY = date(1991, 1, 1)  # an earlier date is answered with the form
ROOM = 1.5  # windows are cut for so many times the papers that are needed
# arXiv's search knows groups of archives; the categories themselves are told apart by the rows.
GROUPS = {
    "cs": "computer_science",
    "econ": "economics",
    "eess": "eess",
    "math": "mathematics",
    "q-bio": "q_biology",
    "q-fin": "q_finance",
    "stat": "statistics",
}

SCRIPT = """
const text = node => node ? node.textContent : '';
const all = (node, selector) => Array.from(node.querySelectorAll(selector));
const abstract = row => {
  const node = row.querySelector('span.abstract-full');
  if (!node) return '';
  const copy = node.cloneNode(true);
  all(copy, 'a').filter(a => a.textContent.includes('\\u25b3')).forEach(a => a.remove());
  return copy.textContent;
};
return {
  title: document.title,
  heading: text(document.querySelector('main h1.title')),
  whole: (main => Boolean(main && main.nextElementSibling))(document.querySelector('main')),
  warning: all(document, '.help.is-warning').map(text).join(' '),
  rows: all(document, 'ol.breathe-horizontal > li.arxiv-result').map(row => ({
    id: text(row.querySelector('p.list-title > a')),
    categories: all(row, 'div.tags > span.tag.tooltip').map(text),
    title: text(row.querySelector(':scope > p.title.is-5')),
    authors: all(row, 'p.authors > a').map(text),
    abstract: abstract(row),
    dates: text(row.querySelector(':scope > p.is-size-7:not(.comments)')),
    comments: all(row, 'p.comments.is-size-7').map(text),
  })),
};
"""

SHOWING = re.compile(r"Showing ([\d,]{1,12})\s*[-\u2013]\s*([\d,]{1,12}) of ([\d,]{1,12}) results")
ROW_ID = re.compile(r"arXiv:(\S+?)(?:v\d+)?")
DAY = r"(\d{1,2} [A-Z][a-z]+, \d{4})"
ROW_DATES = re.compile(rf"Submitted {DAY}; (?:v1 submitted {DAY}; )?originally announced")


class SearchSource:
    """Lists papers by the search pages, window by window."""

    name = "search"

    def __init__(self, config: ScrapeConfig, site: Site, browser: Browser) -> None:
        self.config, self.site, self.browser = config, site, browser

    def batches(self, window: Window) -> Iterator[Batch]:
        """Yield a window whole, or where it holds more than is needed or shown its newer part
        first.

        The days of a window begin at 04:56 UTC, so it begins a day early and ends a day late.
        """
        most = min(self.config.result_limit, max(self.config.page_size, 2 * self.config.max_papers))
        first = max(window.first - ONE_DAY, FIRST_ARXIV_DAY)
        waiting = [Window(first, window.end + ONE_DAY)]
        while waiting:
            part = waiting.pop()
            page = self._page(part, 0)
            if page.total > most and part.days > 1:
                waiting += _split(part, most / page.total / ROOM)
                continue
            listings, rejects = self._rows(part, page)
            reached = part.first + ONE_DAY if part.first > first else window.first
            yield Batch(max(reached, window.first), listings, rejects)

    def _rows(self, window: Window, page: "Page") -> tuple[list[Listing], list[Reject]]:
        if page.total > self.config.result_limit:
            told = f"{window.first} alone has {page.total:,}"
            raise FetchError("too many papers", Outcome.SKIP, told)
        listings = {listing.arxiv_id: listing for listing in page.listings}
        rejects = list(page.rejects)
        while page.last < page.total:
            page = self._page(window, page.last)
            listings |= {listing.arxiv_id: listing for listing in page.listings}
            rejects += page.rejects
        return list(listings.values()), rejects

    def _page(self, window: Window, start: int) -> "Page":
        url = search_url(self.config, window, start)
        return self.site.ask(url, partial(self._load, start=start))

    def _load(self, url: str, start: int) -> "Page":
        return parse_page(self.browser.read(url, SCRIPT), start)


class Page:
    """One page of results: the last one of `total` that it shows, counted from 1, and its rows."""

    def __init__(self, last: int, total: int, rows: list[Raw]) -> None:
        self.last, self.total = last, total
        self.listings, self.rejects = read_entries(rows, parse_row)


def _split(window: Window, share: float) -> tuple[Window, Window]:
    """Return the older part and the newer one, which gets about that share of the days and at
    least one."""
    days = min(window.days - 1, max(1, round(window.days * share)))
    middle = window.end - days * ONE_DAY
    return Window(window.first, middle), Window(middle, window.end)


def search_url(config: ScrapeConfig, window: Window, start: int) -> str:
    """Return the address of the results from `start` on, of papers first submitted in a window.

    All four settings that the site would else take from its cookie are named: order, size,
    abstracts and the kind of date. The oldest come first, so that what is announced meanwhile
    comes last."""
    groups = {GROUPS.get(name.split(".")[0], "physics") for name in config.asked_categories}
    parameters = {
        "advanced": "",
        "terms-0-operator": "AND",
        "terms-0-term": parse(config.query).broad(str),
        "terms-0-field": config.field,
        **{f"classification-{group}": "y" for group in sorted(groups)},
        "classification-include_cross_list": "include" if config.cross_lists else "exclude",
        "date-filter_by": "date_range",
        "date-from_date": window.first.isoformat(),
        "date-to_date": window.end.isoformat(),
        "date-date_type": "submitted_date_first",
        "abstracts": "show",
        "size": config.page_size,
        "order": "announced_date_first",
        "start": start,
    }
    return f"{config.root}{PATH}?{urlencode(parameters)}"


def parse_page(raw: Raw, start: int) -> Page:
    """Parse what the script returned; raise FetchError unless every row announced is there."""
    heading, told = clean_line(raw["heading"]), clean_line(raw["warning"])
    if "returned no results" in heading:
        return Page(0, 0, [])
    if told:
        raise FetchError("question not taken", Outcome.SKIP, told[:300])
    match = SHOWING.match(heading)
    if not match:
        title = clean_line(raw["title"])[:100]
        problem = f"not a page of results: {title!r}; has the site changed its pages?"
        raise retry("incomplete page", problem)
    first, last, total = (int(number.replace(",", "")) for number in match.groups())
    rows = len(raw["rows"])
    right = first == start + 1 and rows == last - first + 1 and last <= total
    problem = f"the page from result {start + 1} announces {first} to {last} of {total}"
    if not right:
        raise retry("incomplete page", f"{problem} and holds {rows} rows")
    if not raw["whole"]:
        raise retry("incomplete page", f"{problem} and has no end")
    return Page(last, total, raw["rows"])


def parse_row(row: Raw) -> Listing:
    """Parse one row; raise BadEntryError when it lacks what every row has."""
    told, title = clean_line(row["id"]), untex(clean_line(row["title"]))
    ident, dates = ROW_ID.fullmatch(told), ROW_DATES.match(clean_line(row["dates"]))
    if not ident or not dates or not title:
        problem = (
            f"id {told[:100]!r}, title {title[:40]!r}, dates {clean_line(row['dates'])[:80]!r}"
        )
        raise BadEntryError(ident[1] if ident else told, problem)
    labels = [clean_line(text).partition("Comments:") for text in row["comments"]]
    comments = [text for before, label, text in labels if label and not before]
    try:
        eastern_day = datetime.strptime(dates[2] or dates[1], "%d %B, %Y").date()
    except ValueError:
        raise BadEntryError(ident[1], f"dates {dates[0]!r}") from None
    return Listing(
        arxiv_id=valid_id(ident[1]),
        day=eastern_day + ONE_DAY,  # the UTC day is this one or the one before
        title=title,
        authors=list(map(clean_line, row["authors"])),
        abstract=untex(clean_line(row["abstract"])),
        categories=list(map(clean_line, row["categories"])),
        comments=clean_line("".join(comments[:1])),
    )
