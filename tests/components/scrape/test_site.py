"""The site is asked slowly, believed carefully, and left alone when it refuses."""

import socket
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.search import PATH
from components.scrape.site import MAX_FAILURES, BudgetSpentError, Site
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import StandIn
from components.shared.http import FetchError, Outcome
from tests.components.scrape.conftest import PDF, VirtualClock, make_entry

BIG = PDF + bytes(200_000) + b"%%EOF"  # several pieces
CORPUS = Corpus((make_entry("2406.00001"), make_entry("2406.00002", pdf=lambda: BIG)))
PAPER = "/pdf/2406.00001v1"
Configure = Callable[..., ScrapeConfig]


def open_site(config: ScrapeConfig) -> Site:
    """Return a site that may be asked for everything."""
    site = Site(config)
    site.allows = lambda path: True  # type: ignore[method-assign]
    return site


def fetch(standin: StandIn, config: ScrapeConfig) -> bytes:
    """Return what the site gives for the one PDF."""
    with open_site(config) as site:
        return site.read(standin.url + PAPER, bytes)


@pytest.mark.parametrize("fault", ["503:0", "429:0", "429", "500", "cut", "reset", "rate"])
def test_a_passing_failure_is_tried_once_more(configure: Configure, fault: str) -> None:
    with StandIn(CORPUS, faults={"/pdf": [fault]}) as standin:
        assert fetch(standin, configure(standin.url)) == PDF
        assert len(standin.requests) == 2


@pytest.mark.parametrize(
    ("faults", "reason", "requests"),
    [
        (["404"], "HTTP 404", 1),
        (["503:0"] * 9, "HTTP 503", 4),
        (["cut"] * 9, "connection lost", 4),
        (["hang"] * 9, "no whole answer in 1 s", 4),
        (["rate"] * 9, "rate exceeded", 4),
    ],
)
def test_what_stays_wrong_is_refused_with_a_reason(
    configure: Configure, faults: Sequence[str], reason: str, requests: int
) -> None:
    with StandIn(CORPUS, faults={"/pdf": faults}) as standin, pytest.raises(FetchError) as caught:
        fetch(standin, configure(standin.url, timeout_s=1))
    assert caught.value.reason == reason
    assert len(standin.requests) == requests


@pytest.mark.parametrize("fault", ["403", "captcha"])
def test_a_site_that_wants_us_to_stop_is_not_asked_again_by_anyone(
    configure: Configure, fault: str
) -> None:
    with StandIn(CORPUS, faults={"/pdf": [fault]}) as standin:
        config = configure(standin.url, seconds_between_requests=0.1)
        for told in (r"HTTP 403|captcha", r"left alone: until .* UTC, because of"):
            with pytest.raises(FetchError, match=told) as caught:
                fetch(standin, config)
            assert caught.value.outcome is Outcome.STOP
        assert len(standin.requests) == 1


@pytest.mark.parametrize(
    "told", ["9999", "9" * 400, "86400000", "Fri, 31 Dec 9999 23:59:59 GMT", "\u00b2", "-5", "nan"]
)
def test_no_retry_after_breaks_a_later_run(
    configure: Configure, virtual: VirtualClock, told: str
) -> None:
    with StandIn(CORPUS, faults={"/pdf": [f"429:{told}"]}) as standin:
        config = configure(standin.url)
        if told in ("\u00b2", "-5", "nan"):
            assert fetch(standin, config) == PDF
            return
        for _ in range(2):
            with pytest.raises(FetchError) as caught:
                fetch(standin, config)
            assert caught.value.outcome is Outcome.LATER
        assert len(standin.requests) == 1
        virtual.sleep(25 * 3600)
        assert fetch(standin, config) == PDF


def test_retry_after_is_waited_for_but_zero_is_no_permission(
    configure: Configure, virtual: VirtualClock
) -> None:
    with StandIn(CORPUS, faults={"/pdf": ["429:200", "503:0"]}) as standin:
        fetch(standin, configure(standin.url, seconds_between_requests=3))
        pauses = [later.time - earlier.ended for earlier, later in pairwise(standin.requests)]
    assert [pause >= least for pause, least in zip(pauses, (200, 15), strict=True)] == [True] * 2


def test_what_refuses_for_ever_is_closed_and_opened_by_patience(
    configure: Configure, virtual: VirtualClock
) -> None:
    """Growing pauses, one request each, and other kinds of path are asked meanwhile."""
    with StandIn(CORPUS, faults={"/pdf": ["429!"]}) as standin:
        config = configure(standin.url, seconds_between_requests=3, patience_hours=3)
        with open_site(config) as site:
            rests = 0
            while True:
                with pytest.raises(FetchError) as caught:
                    site.read(standin.url + PAPER, bytes)
                assert caught.value.outcome is Outcome.LATER
                assert site.is_closed(config.pdf_root)
                site.read(f"{standin.url}/abs/2406.00001", bytes)
                if not site.rest():
                    break
                rests += 1
        asked = standin.asked("/pdf")
    assert rests <= 10
    assert len(asked) == 4 + rests


def test_a_few_addresses_that_fail_do_not_close_their_kind(configure: Configure) -> None:
    faults = ["501"] * 4 * (MAX_FAILURES - 1) + ["404"] + ["501"] * 4 * MAX_FAILURES
    with (
        StandIn(CORPUS, faults={"/pdf": faults}) as standin,
        open_site(configure(standin.url)) as site,
    ):
        closed = []
        for _ in range(2 * MAX_FAILURES):
            with pytest.raises(FetchError):
                site.read(standin.url + PAPER, bytes)
            closed.append(site.is_closed(standin.url + PAPER))
    assert closed == [False] * (2 * MAX_FAILURES - 1) + [True]


def test_pauses_grow_while_the_site_is_busy(configure: Configure) -> None:
    with StandIn(CORPUS, faults={"/pdf": ["429"] * 3}) as standin:
        fetch(standin, configure(standin.url, seconds_between_requests=0.1))
        pauses = [later.time - earlier.ended for earlier, later in pairwise(standin.requests)]
    assert [pause >= least for pause, least in zip(pauses, (0.25, 0.5, 1.0), strict=True)] == [
        True
    ] * 3


def test_the_budget_of_requests_is_never_exceeded(configure: Configure) -> None:
    with StandIn(CORPUS) as standin, open_site(configure(standin.url, max_requests=2)) as site:
        for _ in range(2):
            site.read(standin.url + PAPER, bytes)
        with pytest.raises(BudgetSpentError, match="max_requests=2"):
            site.read(standin.url + PAPER, bytes)
        assert len(standin.requests) == 2


def test_a_download_goes_on_where_it_was_cut(configure: Configure, tmp_path: Path) -> None:
    part = tmp_path / "a.part"
    with (
        StandIn(CORPUS, faults={"/pdf": ["cut"]}) as standin,
        open_site(configure(standin.url)) as site,
    ):
        site.download(f"{standin.url}/pdf/2406.00002v1", part)
        first, second = standin.requests
        assert (first.status, second.status) == (200, 206)
        assert first.sent + second.sent == len(BIG)
        assert part.read_bytes() == BIG

        site.download(f"{standin.url}/pdf/2406.00002v1", part)  # as after a crash when it was whole
        assert (standin.requests[-1].status, standin.requests[-1].sent) == (416, 0)
        assert part.read_bytes() == BIG


def test_a_download_begins_anew_when_the_file_has_changed(
    configure: Configure, tmp_path: Path
) -> None:
    part = tmp_path / "a.part"
    part.write_bytes(b"the beginning of something else")
    part.with_suffix(".tag").write_text('"its tag"')
    with StandIn(CORPUS) as standin, open_site(configure(standin.url)) as site:
        site.download(standin.url + PAPER, part)
        assert standin.requests[0].status == 200
    assert part.read_bytes() == PDF


def test_a_file_over_the_limit_is_given_up_while_it_streams(
    configure: Configure, tmp_path: Path
) -> None:
    endless = Corpus((make_entry("2406.00001", pdf=lambda: bytes(2_000_000)),))
    with StandIn(endless, faults={"/pdf": ["drip:0.05"]}) as standin:
        with (
            open_site(configure(standin.url, max_pdf_bytes=100_000)) as site,
            pytest.raises(FetchError, match="too large"),
        ):
            site.download(standin.url + PAPER, tmp_path / "a.part")
        assert standin.requests[0].sent < 500_000
    assert list(tmp_path.glob("a.*")) == [tmp_path / "a.tag"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("https://example.org/pdf", "redirect to another site"),
        ("http://127.0.0.1:1/pdf", "redirect to another site"),
        ("file:///etc/passwd", "not a valid address"),
        ("http://127.0.0.1:999999/x", "not a valid address"),
        (PAPER, "redirects without end"),
    ],
)
def test_redirects_do_not_leave_the_site(configure: Configure, target: str, told: str) -> None:
    with (
        StandIn(CORPUS, faults={"/pdf": [f"redirect:{target}"] * 9}) as standin,
        pytest.raises(FetchError, match=told),
    ):
        fetch(standin, configure(standin.url))


def test_a_redirect_within_the_site_is_a_request_of_its_own(configure: Configure) -> None:
    with StandIn(CORPUS) as standin:
        with open_site(configure(standin.url, seconds_between_requests=0.2)) as site:
            assert site.read(f"{standin.url}{PAPER}.pdf", bytes) == PDF
        first, second = standin.requests
    assert second.time - first.time >= 0.2


ROBOTS = "User-agent: *\nCrawl-delay: 15\nAllow: /abs\nDisallow: /search\nDisallow: /api\n"


def test_robots_txt_binds_pages_for_people_and_sets_their_pace(
    configure: Configure, virtual: VirtualClock
) -> None:
    with StandIn(CORPUS, robots=ROBOTS) as standin:
        config = configure(standin.url)
        with Site(config) as site:
            site.read_robots()
            assert site.pace == 15
            with pytest.raises(FetchError, match=r"disallowed by robots\.txt"):
                site.read(f"{standin.url}/search/advanced", bytes)
            site.read(f"{standin.url}/abs/2406.00001", bytes)
            site.read(f"{config.api_root}?search_query=all:x", bytes)
            first, second, third = standin.requests
            assert min(second.time - first.ended, third.time - second.ended) > 10
        with Site(configure(standin.url, accept_robots_risk=True)) as site:
            site.read_robots()
            site.read(f"{standin.url}/search/advanced", bytes)


@pytest.mark.parametrize(
    "line", ["Crawl-delay: \u00b2", "Disallow: http://[", "Crawl-delay: 99999999999999999999", "\0"]
)
def test_a_malformed_line_of_robots_txt_is_passed_over(configure: Configure, line: str) -> None:
    with (
        StandIn(CORPUS, robots=f"User-agent: *\n{line}\nDisallow: /search\n") as standin,
        Site(configure(standin.url)) as site,
    ):
        site.read_robots()
        assert not site.allows(PATH)
        assert site.pace <= 300


def test_a_crawl_delay_without_measure_is_capped(
    configure: Configure, virtual: VirtualClock
) -> None:
    with (
        StandIn(CORPUS, robots="User-agent: *\nCrawl-delay: 999999999\n") as standin,
        Site(configure(standin.url)) as site,
    ):
        site.read_robots()
        assert site.pace == 300


@pytest.mark.parametrize(
    ("faults", "pages", "programs"), [(["404"], True, True), (["503"] * 9, False, True)]
)
def test_a_missing_robots_txt_allows_all_and_a_broken_one_only_what_is_for_programs(
    configure: Configure, faults: list[str], pages: bool, programs: bool
) -> None:
    with (
        StandIn(CORPUS, faults={"/robots.txt": faults}) as standin,
        Site(configure(standin.url)) as site,
    ):
        site.read_robots()
        assert site.allows(PATH) == pages
        assert bool(site.read(standin.url + PAPER, bytes)) == programs


def test_a_site_that_is_not_there_is_noticed_at_once(configure: Configure) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with Site(configure(url)) as site, pytest.raises(FetchError, match="no connection"):
            site.read_robots()
