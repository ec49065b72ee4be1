"""Read arXiv's advanced search: Selenium fetches a page, one script call takes its rows out, pure code parses them.

Next is never clicked: on the last page its target resolves to the page itself, and some last pages are linked
from nowhere. The start goes on by what the page says it shows, until the total it announces is reached.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from components.scrape.browser import navigate, open_browser
from components.scrape.config import ScrapeConfig
from components.scrape.site import Pace
from components.shared.errors import DataError, SourceError
from components.shared.progress import say

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PATH = "/search/advanced"
ONE_DAY = timedelta(days=1)
Raw = dict[str, Any]

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
  warning: all(document, '.help.is-warning').map(text).join(' '),
  rows: all(document, 'ol.breathe-horizontal > li.arxiv-result').map(row => ({
    id: text(row.querySelector('p.list-title > a')),
    pdf: row.querySelector('p.list-title > span a[href*="/pdf/"]') !== null,
    categories: all(row, 'div.tags > span.tag.tooltip').map(text),
    title: text(row.querySelector(':scope > p.title.is-5')),
    authors: all(row, 'p.authors > a').map(text),
    byline: text(row.querySelector('p.authors')),
    abstract: abstract(row),
    dates: text(row.querySelector(':scope > p.is-size-7:not(.comments)')),
    comments: all(row, 'p.comments.is-size-7').map(text),
  })),
};
"""

SHOWING = re.compile(r"Showing ([\d,]+)\s*[-\u2013]\s*([\d,]+) of ([\d,]+) results")
ROW_ID = re.compile(r"arXiv:(\S+?)(?:v(\d+))?")
DAY = r"(\d{1,2} [A-Z][a-z]+, \d{4})"
ROW_DATES = re.compile(rf"Submitted {DAY}; (?:v1 submitted {DAY}; )?originally announced")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One row of the results."""

    arxiv_id: str
    version: int | None  # None: later than the first, and the row does not say which
    title: str
    authors: list[str]
    more_authors: bool  # the row shows 25 at most
    abstract: str
    categories: list[str]
    first_day: date  # of the first submission, in Eastern time as the site shows it
    revised: date  # of this version, likewise
    has_pdf: bool  # withdrawn papers have none
    comments: str


@dataclass(frozen=True)
class Page:
    """One page of results: rows `first` to `last` of `total`, counted from 1."""

    first: int
    last: int
    total: int
    listings: list[Listing]


@dataclass(frozen=True)
class Found:
    """What a search gave: the listings wanted, newest first, and how many the site announced."""

    announced: int
    listings: list[Listing]


def search(config: ScrapeConfig, pace: Pace) -> Found:
    """Open a browser and return the newest papers of the question; raise SourceError for pages we cannot trust."""
    with open_browser(config) as browser:

        def load(url: str) -> Raw:
            return _load(browser, url, pace)

        return take(read_pages(config, load), config)


def _load(browser: "Chrome", url: str, pace: Pace) -> Raw:
    """Load a page, with one more try, and take its rows out in one script call."""
    pace.wait()
    try:
        navigate(browser, url)
    except SourceError:
        time.sleep(pace.backoff)
        pace.wait()
        navigate(browser, url)
    raw: Raw = browser.execute_script(SCRIPT)
    return raw


def read_pages(config: ScrapeConfig, load: Callable[[str], Raw]) -> Iterator[Page]:
    """Yield the pages of a search until the total that the latest of them announces is reached."""
    start, total = 0, 1
    while start < total:
        page = parse_page(load(search_url(config, start)), start)
        total = page.total
        if page.listings:
            yield page
        start = page.last


def take(pages: Iterator[Page], config: ScrapeConfig) -> Found:
    """Collect the newest listings up to max_papers; raise when the site gave fewer than it announced."""
    seen: dict[str, Listing] = {}
    first_total = 0
    earliest = config.first_day - ONE_DAY  # the site shows Eastern days: the last hours of UTC's day before
    for page in pages:
        first_total = first_total or page.total
        for listing in page.listings:
            seen.setdefault(listing.arxiv_id, listing)  # papers announced meanwhile push others onto the next page
        wanted = [listing for listing in seen.values() if listing.first_day >= earliest]
        say("scrape", f"results {page.first:,}-{page.last:,} of {page.total:,} read")
        if len(wanted) >= config.max_papers:
            return Found(page.total, wanted[: config.max_papers])
    if len(seen) < first_total:
        problem = f"{config.root} announced {first_total:,} papers and listed {len(seen):,}"
        raise SourceError(problem, "its index changed meanwhile: run again")
    wanted = [listing for listing in seen.values() if listing.first_day >= earliest]
    if not wanted:
        problem = f"{config.query!r} since {config.published_after} found no papers at {config.root}"
        raise DataError(problem, "widen scrape.query or move scrape.published_after back")
    return Found(len(wanted), wanted)


def search_url(config: ScrapeConfig, start: int) -> str:
    """Return the address of the results from `start` on, newest announced first.

    The site's own order by submission goes by the latest version, so a revision would lift an old paper to the
    top; its order by announcement goes by the first version, which is what published_after speaks of. The lower
    bound begins at 04:56 UTC and the upper one is exclusive, hence a day more on either side. All four settings
    that the site would else take from its cookie are named.
    """
    words = config.query.strip()
    parameters = {
        "advanced": "",
        "terms-0-operator": "AND",
        "terms-0-term": "" if words == "*" else words,
        "terms-0-field": "all",
        "classification-include_cross_list": "include",
        "date-filter_by": "date_range",
        "date-from_date": max(config.first_day - ONE_DAY, date(1991, 1, 1)).isoformat(),
        "date-to_date": (datetime.now(UTC).date() + 2 * ONE_DAY).isoformat(),
        "date-date_type": "submitted_date_first",
        "abstracts": "show",
        "size": config.page_size,
        "order": "-announced_date_first",
        "start": start,
    }
    return f"{config.root}{PATH}?{urlencode(parameters)}"


def parse_page(raw: Raw, start: int) -> Page:
    """Parse what the script returned; raise SourceError unless every row announced is there."""
    heading = _line(raw["heading"])
    if "returned no results" in heading:
        return Page(0, 0, 0, [])
    if "recaptcha" in raw["title"].lower():
        raise SourceError("the site asks for a captcha", "stop for some hours, then ask more slowly")
    if raw["warning"] or heading == "Advanced Search":
        raise SourceError(f"the site did not take the question: {_line(raw['warning']) or 'it shows its form'}")
    match = SHOWING.match(heading)
    if not match:
        raise SourceError(f"not a page of results: {_line(raw['title'])!r}", "has the site changed its pages?")
    first, last, total = (int(number.replace(",", "")) for number in match.groups())
    if first != start + 1 or len(raw["rows"]) != last - first + 1 or last > total:
        problem = f"the page from result {start + 1} announces {first} to {last} of {total} and holds"
        raise SourceError(f"{problem} {len(raw['rows'])} rows", "it came incomplete: run again")
    return Page(first, last, total, [parse_row(row) for row in raw["rows"]])


def parse_row(row: Raw) -> Listing:
    """Parse one row; raise SourceError when it lacks what every row has."""
    ident, dates = ROW_ID.fullmatch(_line(row["id"])), ROW_DATES.match(_line(row["dates"]))
    title = _line(row["title"])
    if not ident or not dates or not title:
        told = f"id {_line(row['id'])!r}, title {title[:40]!r}, dates {_line(row['dates'])!r}"
        raise SourceError(f"a result cannot be read: {told}", "has the site changed its pages?")
    revised, first = dates[1], dates[2]
    version = int(ident[2]) if ident[2] else None if first else 1
    comments = [_line(text) for text in row["comments"]]
    return Listing(
        arxiv_id=ident[1],
        version=version,
        title=title,
        authors=[_line(author) for author in row["authors"]],
        more_authors="additional authors not shown" in row["byline"],
        abstract=_line(row["abstract"]),
        categories=[_line(category) for category in row["categories"]],
        first_day=_day(first or revised),
        revised=_day(revised),
        has_pdf=bool(row["pdf"]),
        comments=next((text.removeprefix("Comments:").strip() for text in comments if text[:9] == "Comments:"), ""),
    )


def _day(text: str) -> date:
    return datetime.strptime(text, "%d %B, %Y").date()


def _line(text: str) -> str:
    return " ".join(text.split())
