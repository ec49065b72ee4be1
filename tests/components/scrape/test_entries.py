"""One bad entry costs one entry, and what no answer may hold is told."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from components.scrape.abstract import parse_abstract
from components.scrape.api import parse_feed
from components.scrape.listing import parse_row as parse_list_row
from components.scrape.oai import parse_records
from components.scrape.search import parse_page, parse_row
from components.scrape.source import BadEntryError, Listing
from components.shared.http import FetchError, Outcome

ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:s="http://a9.com/-/spec/opensearch/1.1/">'
    "<s:totalResults>{total}</s:totalResults>{entries}</feed>"
)
ENTRY = (
    "<entry><id>{id}</id><title>{title}</title><published>{published}</published>"
    "<summary>We study.</summary><author><name>{author}</name></author></entry>"
)
SOUND = {
    "id": "http://arxiv.org/abs/2506.90001v1",
    "title": "On models",
    "published": "2025-06-01T10:00:00Z",
    "author": "A One",
}


def feed(*changes: dict[str, str], total: int = 0) -> bytes:
    entries = "".join(ENTRY.format(**SOUND | change) for change in changes)
    return ATOM.format(total=total or len(changes), entries=entries).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"title": " &#x200b; "},
        {"id": "http://arxiv.org/abs/../../etc/passwdv1"},
        {"id": "nonsense"},
        {"published": ""},
        {"published": "garbage"},
        {"published": "99999-01-01"},
    ],
)
def test_an_entry_of_the_api_that_cannot_be_read_is_a_reject(change: dict[str, str]) -> None:
    total, listings, rejects = parse_feed(feed({}, change), 0, 200)
    assert (total, len(listings), len(rejects)) == (2, 1, 1)


def test_controls_and_escapes_are_cleaned() -> None:
    _, (listing,), _ = parse_feed(feed({"title": "On \u009b31m red\u202e models"}), 0, 200)
    assert listing.title == "On red models"


@pytest.mark.parametrize(
    ("body", "outcome", "told"),
    [
        (b"", Outcome.RETRY, "not a feed"),
        (b"Rate exceeded.", Outcome.RETRY, "not a feed"),
        (b"<html></html>", Outcome.RETRY, "not a feed"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><feed>&a;</feed>', Outcome.RETRY, "not a feed"),
        (feed({}, total=38), Outcome.RETRY, "there are 1 entries, not 38"),
        (
            feed({"id": "http://arxiv.org/api/errors#x", "title": "Error"}),
            Outcome.SKIP,
            "question not taken: We study.",
        ),
    ],
)
def test_an_answer_that_is_no_list_says_why(body: bytes, outcome: Outcome, told: str) -> None:
    with pytest.raises(FetchError, match=told) as caught:
        parse_feed(body, 0, 200)
    assert caught.value.outcome is outcome


RECORD = (
    "<record><metadata><arXivRaw xmlns='http://arxiv.org/OAI/arXivRaw/'><id>{id}</id>"
    "<version version='{version}'><date>{date}</date><source_type>{kind}</source_type></version>"
    "<title>{title}</title><authors>A One, Jr., the X Team</authors><license>L</license>"
    "</arXivRaw></metadata></record>"
)
WHOLE = {
    "id": "2506.90001",
    "version": "v1",
    "date": "Sun, 1 Jun 2025 10:00:00 GMT",
    "kind": "",
    "title": "On",
}


def records(*changes: dict[str, str]) -> bytes:
    inner = "".join(RECORD.format(**WHOLE | change) for change in changes)
    return (
        f"<OAI-PMH xmlns='http://www.openarchives.org/OAI/2.0/'><ListRecords>{inner}"
        "<resumptionToken> next </resumptionToken></ListRecords></OAI-PMH>"
    ).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"date": "garbage"},
        {"date": "Sun, 31 Feb 2025 10:00:00 GMT"},
        {"version": "v\u00b2"},
        {"version": "v2"},
        {"id": "../x"},
    ],
)
def test_a_record_that_cannot_be_read_is_a_reject(change: dict[str, str]) -> None:
    changes = parse_records(records({}, change))
    assert (len(changes.listings), len(changes.rejects), changes.token) == (1, 1, "next")


def test_a_record_tells_licence_moment_suffixes_and_withdrawal() -> None:
    sound, withdrawn, html = parse_records(records({}, {"kind": "I"}, {"kind": "H"})).listings
    assert (sound.version, sound.licence, sound.day) == (1, "L", date(2025, 6, 1))
    assert sound.authors == ["A One Jr.", "the X Team"]
    assert (sound.has_pdf, withdrawn.has_pdf, html.has_pdf) == (True, False, False)
    assert (withdrawn.withdrawn, html.withdrawn) == (True, False)


def test_oai_says_when_nothing_changed_and_when_it_did_not_understand() -> None:
    error = (
        "<OAI-PMH xmlns='http://www.openarchives.org/OAI/2.0/'><error code='{}'>x</error></OAI-PMH>"
    )
    assert parse_records(error.format("noRecordsMatch").encode()).listings == []
    with pytest.raises(FetchError, match="badArgument"):
        parse_records(error.format("badArgument").encode())


def row(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"arXiv:2406.{number:05d}",
        "categories": ["cs.CL"],
        "title": "\n On $\\alpha$-stable\n Models ",
        "authors": ["Ada  One"],
        "abstract": "\n We study.\n ",
        "dates": "Submitted 18 June, 2024; \n originally announced June 2024.",
        "comments": ["\n Report number: X", "\n Comments:\n 12 pages "],
    } | fields


def page(first: int, last: int, total: int, **fields: Any) -> dict[str, Any]:
    heading = f"\n  Showing {first:,}\u2013{last:,} of {total:,} results\n"
    rows = [row(number) for number in range(first, last + 1)]
    whole = {"title": "Search", "heading": heading, "warning": "", "whole": True, "rows": rows}
    return whole | fields


def test_a_row_of_the_search_becomes_a_listing() -> None:
    listing = parse_row(row())
    assert (listing.arxiv_id, listing.title) == ("2406.00001", r"On $\alpha$-stable Models")
    assert (listing.day, listing.comments) == (date(2024, 6, 19), "12 pages")
    dates = "Submitted 2 July, 2025; v1 submitted 30 April, 2024; originally announced May 2024."
    assert parse_row(row(dates=dates, id="arXiv:hep-th/9901001v3")).day == date(2024, 5, 1)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (page(1, 25, 60, rows=[row()] * 13), "holds 13 rows"),
        (page(26, 50, 60), "announces 26 to 50"),
        (page(1, 25, 60, whole=False), "has no end"),
        (page(1, 25, 60, heading="Advanced Search", warning="\n Not a valid year "), "valid year"),
        (page(1, 25, 60, heading="Good morning", title="Hello"), "not a page of results: 'Hello'"),
    ],
)
def test_a_page_of_the_search_that_cannot_be_trusted_is_an_error(
    raw: dict[str, Any], told: str
) -> None:
    with pytest.raises(FetchError, match=told):
        parse_page(raw, 0)


LIST_ROW = {
    "id": "arXiv:2406.00001",
    "title": "Title: On",
    "authors": "",
    "comments": "",
    "subjects": "",
}


@pytest.mark.parametrize(
    ("parse", "good", "change"),
    [
        (parse_row, row(), {"id": ""}),
        (parse_row, row(), {"title": " "}),
        (parse_row, row(), {"dates": "Submitted yesterday"}),
        (parse_row, row(), {"dates": "Submitted 31 February, 2024; originally announced"}),
        (lambda raw: parse_list_row(raw, date(2024, 6, 1)), LIST_ROW, {"id": "arXiv:../x"}),
        (lambda raw: parse_list_row(raw, date(2024, 6, 1)), LIST_ROW, {"title": ""}),
    ],
)
def test_a_row_that_lacks_what_every_row_has_is_a_bad_entry(
    parse: Callable[[Any], Listing], good: dict[str, Any], change: dict[str, str]
) -> None:
    parse(good)
    with pytest.raises(BadEntryError):
        parse(good | change)


def test_an_abstract_page_with_an_impossible_date_costs_the_paper_alone() -> None:
    html = b"<div class=submission-history>[v1] Sun, 31 Feb 2025 10:00:00 UTC (1 KB)</div></html>"
    with pytest.raises(FetchError, match="broken answer"):
        parse_abstract(html, Listing(arxiv_id="2406.00001", day=date(2024, 6, 1)))
