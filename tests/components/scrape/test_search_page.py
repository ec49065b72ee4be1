"""Rows and pages are parsed without a browser, and every count is checked."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.search_page import Page, Raw, parse_page, parse_row, read_pages, search_url, take
from components.shared.errors import DataError, SourceError


def raw_row(number: int = 1, **fields: Any) -> Raw:
    """Return a row as the script returns it, with the white space of the real markup."""
    row = {
        "id": f"arXiv:2406.{number:05d}",
        "pdf": True,
        "categories": ["cs.CL", "cs.LG"],
        "title": "\n      On $\\alpha$-stable\n Language Models  ",
        "authors": ["Ada  One", "Bob Two"],
        "byline": "\n Authors:\n Ada One, \n Bob Two\n",
        "abstract": "\n We study things.\n ",
        "dates": "Submitted 18 June, 2024; \n      originally announced June 2024.\n    ",
        "comments": ["\n Report number: X", "\n Comments:\n 12 pages "],
    }
    return row | fields


def raw_page(first: int, last: int, total: int, **fields: Any) -> Raw:
    """Return a page of results as the script returns it."""
    heading = f"\n  Showing {first:,}\u2013{last:,} of {total:,} results\n"
    rows = [raw_row(number) for number in range(first, last + 1)]
    return {"title": "Search", "heading": heading, "warning": "", "rows": rows} | fields


def test_a_row_becomes_a_listing() -> None:
    listing = parse_row(raw_row())
    assert (listing.arxiv_id, listing.version) == ("2406.00001", 1)
    assert listing.title == r"On $\alpha$-stable Language Models"
    assert listing.authors == ["Ada One", "Bob Two"]
    assert listing.abstract == "We study things."
    assert (listing.first_day, listing.revised) == (date(2024, 6, 18), date(2024, 6, 18))
    assert listing.comments == "12 pages"
    assert not listing.more_authors


def test_a_revised_paper_keeps_its_first_day_and_does_not_tell_its_version() -> None:
    dates = "Submitted 2 July, 2025; v1 submitted 30 April, 2024; originally announced May 2024."
    listing = parse_row(raw_row(dates=dates))
    assert (listing.first_day, listing.revised, listing.version) == (date(2024, 4, 30), date(2025, 7, 2), None)


def test_an_id_may_name_its_version_and_be_of_the_old_kind() -> None:
    assert parse_row(raw_row(id="arXiv:2404.00916v3")).version == 3
    assert parse_row(raw_row(id="arXiv:hep-th/9901001")).arxiv_id == "hep-th/9901001"


def test_a_list_of_authors_that_was_cut_is_noticed() -> None:
    assert parse_row(raw_row(byline="Authors: A, B , et al. (3 additional authors not shown)")).more_authors


@pytest.mark.parametrize("fields", [{"id": ""}, {"title": " "}, {"dates": "Submitted yesterday"}])
def test_a_row_that_lacks_what_every_row_has_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        parse_row(raw_row(**fields))


def test_numbers_of_a_page_may_hold_commas() -> None:
    page = parse_page(raw_page(1_001, 1_025, 12_345), 1_000)
    assert (page.first, page.last, page.total, len(page.listings)) == (1_001, 1_025, 12_345, 25)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (raw_page(1, 25, 60, rows=[raw_row()] * 13), "holds 13 rows"),
        (raw_page(26, 50, 60), "announces 26 to 50"),
        (raw_page(1, 25, 60, title="arXiv reCAPTCHA", heading=""), "captcha"),
        (raw_page(1, 25, 60, heading="Advanced Search", warning="\n Not a valid year "), "Not a valid year"),
        (raw_page(1, 25, 60, heading="Good morning", title="Hello"), "not a page of results: 'Hello'"),
    ],
)
def test_a_page_that_cannot_be_trusted_is_an_error(raw: Raw, told: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_page(raw, 0)
    assert told in str(caught.value)


@pytest.mark.parametrize("total", [1, 24, 25, 26, 50, 63])
def test_pages_are_read_up_to_the_total_and_not_beyond(total: int, configure: Callable[..., ScrapeConfig]) -> None:
    starts = []

    def load(url: str) -> Raw:
        starts.append(int(parse_qs(urlsplit(url).query)["start"][0]))
        return raw_page(starts[-1] + 1, min(starts[-1] + 25, total), total)

    config = configure("http://127.0.0.1:1", page_size=25)
    found = take(read_pages(config, load), config)
    assert starts == list(range(0, total, 25))
    assert (found.announced, len(found.listings)) == (total, min(total, config.max_papers))


def numbered(first: int, last: int, total: int) -> Page:
    """Return a parsed page."""
    return parse_page(raw_page(first, last, total), first - 1)


def test_a_paper_announced_meanwhile_shifts_rows_but_none_is_lost_or_doubled(
    configure: Callable[..., ScrapeConfig],
) -> None:
    def pages() -> Iterator[Page]:
        yield numbered(1, 25, 30)
        shifted = raw_page(26, 31, 31)
        shifted["rows"] = [raw_row(number) for number in range(25, 31)]
        yield parse_page(shifted, 25)

    listings = take(pages(), configure("http://127.0.0.1:1")).listings
    assert [listing.arxiv_id for listing in listings] == [f"2406.{number:05d}" for number in range(1, 31)]


def test_fewer_papers_than_announced_are_an_error(configure: Callable[..., ScrapeConfig]) -> None:
    with pytest.raises(SourceError, match="announced 30 papers and listed 25"):
        take(iter([numbered(1, 25, 30)]), configure("http://127.0.0.1:1"))


def test_nothing_found_says_what_to_change(configure: Callable[..., ScrapeConfig]) -> None:
    with pytest.raises(DataError, match=r"found no papers.*widen scrape.query"):
        take(iter([]), configure("http://127.0.0.1:1"))


def test_the_question_names_every_setting_that_the_site_would_take_from_its_cookie() -> None:
    asked = parse_qs(urlsplit(search_url(ScrapeConfig(query="*"), 200)).query, keep_blank_values=True)
    assert asked["terms-0-term"] == [""]
    assert asked["date-from_date"] == ["2024-04-17"]
    assert (asked["size"], asked["start"], asked["abstracts"]) == (["200"], ["200"], ["show"])
    assert asked["date-date_type"] == ["submitted_date_first"]
    assert "advanced" in asked
