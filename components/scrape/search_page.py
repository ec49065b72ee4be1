"""arXiv's advanced search as a source of listings: Selenium fetches a page, one script call takes its rows out, pure
code parses them.

Next is never clicked: on the last page its target resolves to the page itself, and some last pages are linked
from nowhere. Whoever reads goes on by what the page says it shows, until the total it announces is reached.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from components.scrape.browser import navigate
from components.scrape.config import ScrapeConfig
from components.scrape.refusal import Refusal
from components.scrape.site import Site
from components.scrape.source import Listing, Page, Window

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PATH = "/search/advanced"
Raw = dict[str, Any]
Load = Callable[[str], Raw]
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


class SearchSource:
    """Lists papers by the search pages."""

    name = "search"

    def __init__(self, config: ScrapeConfig, site: Site, load: Load) -> None:
        self.config, self.site, self.load = config, site, load

    def page(self, window: Window, start: int) -> Page:
        """Return the results from `start` on, the oldest first: what is announced meanwhile comes last."""
        return self._ask(window, start, "announced_date_first")

    def latest(self, window: Window, start: int) -> Page:
        """Return the results from `start` on, the latest revised first."""
        return self._ask(window, start, "-submitted_date")

    def _ask(self, window: Window, start: int, order: str) -> Page:
        url = search_url(self.config, window, start, order)
        return self.site.patiently(lambda: parse_page(self._load(url), start))

    def _load(self, url: str) -> Raw:
        with self.site.turn():
            raw = self.load(url)
            if "captcha" in raw["title"].lower():
                raise Refusal("captcha", "the site asks whether we are human", stop=True)
            return raw


def load_with(browser: "Chrome") -> Load:
    """Return what loads a page and takes its rows out, in one script call."""

    def load(url: str) -> Raw:
        navigate(browser, url)
        raw: Raw = browser.execute_script(SCRIPT)
        return raw

    return load


def search_url(config: ScrapeConfig, window: Window, start: int, order: str) -> str:
    """Return the address of the results from `start` on, of papers first submitted in a window.

    The days of a window begin at 04:56 UTC. All four settings that the site would else take from its cookie are
    named: order, size, abstracts and the kind of date.
    """
    words = config.query.strip()
    parameters = {
        "advanced": "",
        "terms-0-operator": "AND",
        "terms-0-term": "" if words == "*" else words,
        "terms-0-field": config.field,
        **{f"classification-{group}": "y" for group in _groups(config)},
        "classification-include_cross_list": "include" if config.cross_lists else "exclude",
        "date-filter_by": "date_range",
        "date-from_date": window.first.isoformat(),
        "date-to_date": window.end.isoformat(),
        "date-date_type": "submitted_date_first",
        "abstracts": "show",
        "size": config.page_size,
        "order": order,
        "start": start,
    }
    return f"{config.root}{PATH}?{urlencode(parameters)}"


def _groups(config: ScrapeConfig) -> list[str]:
    return sorted({GROUPS.get(name.split(".")[0], "physics") for name in config.categories})


def parse_page(raw: Raw, start: int) -> Page:
    """Parse what the script returned; raise Refusal unless every row announced is there."""
    heading = _line(raw["heading"])
    if "returned no results" in heading:
        return Page(0, 0, 0, [])
    if raw["warning"] or heading == "Advanced Search":
        told = _line(raw["warning"])
        raise Refusal("question not taken", told or "the site shows its form", again=not told)
    match = SHOWING.match(heading)
    if not match:
        problem = f"not a page of results: {_line(raw['title'])!r}; has the site changed its pages?"
        raise Refusal("incomplete page", problem, again=True)
    first, last, total = (int(number.replace(",", "")) for number in match.groups())
    if (
        first != start + 1
        or len(raw["rows"]) != last - first + 1
        or last > total
        or not raw["whole"]
    ):
        problem = (
            f"the page from result {start + 1} announces {first} to {last} of {total} and holds"
        )
        ending = "" if raw["whole"] else ", and has no end"
        raise Refusal("incomplete page", f"{problem} {len(raw['rows'])} rows{ending}", again=True)
    return Page(first, last, total, [parse_row(row) for row in raw["rows"]])


def parse_row(row: Raw) -> Listing:
    """Parse one row; raise Refusal when it lacks what every row has."""
    ident, dates = ROW_ID.fullmatch(_line(row["id"])), ROW_DATES.match(_line(row["dates"]))
    title = _line(row["title"])
    if not ident or not dates or not title:
        told = f"id {_line(row['id'])!r}, title {title[:40]!r}, dates {_line(row['dates'])!r}"
        raise Refusal(
            "incomplete page",
            f"a result cannot be read: {told}; has the site changed its pages?",
            again=True,
        )
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
        comments=next(
            (
                text.removeprefix("Comments:").strip()
                for text in comments
                if text[:9] == "Comments:"
            ),
            "",
        ),
    )


def _day(text: str) -> date:
    return datetime.strptime(text, "%d %B, %Y").date()


def _line(text: str) -> str:
    return " ".join(text.split())
