"""Rows and pages are parsed without a browser, and every count is checked."""

from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.refusal import Refusal
from components.scrape.search_page import Raw, parse_page, parse_row, search_url
from components.scrape.source import Window


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
    return {
        "title": "Search",
        "heading": heading,
        "warning": "",
        "whole": True,
        "rows": rows,
    } | fields


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
    assert (listing.first_day, listing.revised, listing.version) == (
        date(2024, 4, 30),
        date(2025, 7, 2),
        None,
    )


def test_an_id_may_name_its_version_and_be_of_the_old_kind() -> None:
    assert parse_row(raw_row(id="arXiv:2404.00916v3")).version == 3
    assert parse_row(raw_row(id="arXiv:hep-th/9901001")).arxiv_id == "hep-th/9901001"


def test_a_list_of_authors_that_was_cut_is_noticed() -> None:
    assert parse_row(
        raw_row(byline="Authors: A, B , et al. (3 additional authors not shown)")
    ).more_authors


@pytest.mark.parametrize("fields", [{"id": ""}, {"title": " "}, {"dates": "Submitted yesterday"}])
def test_a_row_that_lacks_what_every_row_has_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="cannot be read"):
        parse_row(raw_row(**fields))


def test_numbers_of_a_page_may_hold_commas() -> None:
    page = parse_page(raw_page(1_001, 1_025, 12_345), 1_000)
    assert (page.first, page.last, page.total, len(page.listings)) == (1_001, 1_025, 12_345, 25)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (raw_page(1, 25, 60, rows=[raw_row()] * 13), "holds 13 rows"),
        (raw_page(26, 50, 60), "announces 26 to 50"),
        (raw_page(1, 25, 60, whole=False), "has no end"),
        (
            raw_page(1, 25, 60, heading="Advanced Search", warning="\n Not a valid year "),
            "Not a valid year",
        ),
        (
            raw_page(1, 25, 60, heading="Good morning", title="Hello"),
            "not a page of results: 'Hello'",
        ),
    ],
)
def test_a_page_that_cannot_be_trusted_is_an_error(raw: Raw, told: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_page(raw, 0)
    assert told in str(caught.value)


def test_the_question_names_every_setting_that_the_site_would_take_from_its_cookie() -> None:
    window = Window(date(2024, 4, 17), date(2024, 6, 1))
    config = ScrapeConfig(
        query="*", field="title", categories=("cs.CL", "hep-th"), cross_lists=False
    )
    asked = parse_qs(
        urlsplit(search_url(config, window, 200, "-submitted_date")).query, keep_blank_values=True
    )
    assert (asked["terms-0-term"], asked["terms-0-field"]) == ([""], ["title"])
    assert (asked["date-from_date"], asked["date-to_date"]) == (["2024-04-17"], ["2024-06-01"])
    assert (asked["size"], asked["start"], asked["abstracts"]) == (["200"], ["200"], ["show"])
    assert (asked["date-date_type"], asked["order"]) == (
        ["submitted_date_first"],
        ["-submitted_date"],
    )
    assert asked["classification-computer_science"] == asked["classification-physics"] == ["y"]
    assert asked["classification-include_cross_list"] == ["exclude"]
    assert "advanced" in asked
