"""The site is asked slowly, believed carefully, and left alone when it is down."""

import socket
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.core import choose_source
from components.scrape.pdf_check import PdfChecker
from components.scrape.refusal import Refusal
from components.scrape.search_page import PATH
from components.scrape.site import BudgetSpentError, Site
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import StandIn
from components.shared.errors import SourceError
from tests.components.scrape.conftest import PDF, make_entry

BIG = PDF + bytes(200_000) + b"%%EOF"  # several pieces
CORPUS = Corpus((make_entry("2406.00001"), make_entry("2406.00002", pdf=lambda: BIG)))
PAPER = "/pdf/2406.00001v1"
Configure = Callable[..., ScrapeConfig]


def fetch(standin: StandIn, config: ScrapeConfig) -> bytes:
    """Return what the site gives for the one PDF."""
    with Site(config) as site:
        return site.fetch(standin.url + PAPER)


@pytest.mark.parametrize("fault", ["503:0", "429:0", "429", "500", "cut", "reset"])
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
        (["hang"] * 9, "no answer in 1 s", 4),
    ],
)
def test_what_stays_wrong_is_refused_with_a_reason(
    configure: Configure, faults: Sequence[str], reason: str, requests: int
) -> None:
    with StandIn(CORPUS, faults={"/pdf": faults}) as standin, pytest.raises(Refusal) as caught:
        fetch(standin, configure(standin.url, timeout_s=1))
    assert caught.value.reason == reason
    assert len(standin.requests) == requests


@pytest.mark.parametrize("fault", ["403", "captcha"])
def test_a_site_that_wants_us_to_stop_is_not_asked_again_by_anyone(
    configure: Configure, fault: str
) -> None:
    with StandIn(CORPUS, faults={"/pdf": [fault]}) as standin:
        config = configure(standin.url, seconds_between_requests=0.1)
        with pytest.raises(SourceError, match="wants us to stop"):
            fetch(standin, config)
        with pytest.raises(
            SourceError, match=r"left alone until .* UTC, because of .*run again in"
        ):
            fetch(standin, config)
        assert len(standin.requests) == 1


def test_retry_after_is_waited_for_and_a_long_one_ends_the_stage(configure: Configure) -> None:
    with StandIn(CORPUS, faults={"/pdf": ["429:1", "ok", "503:9999"]}) as standin:
        fetch(standin, configure(standin.url))
        first, second = standin.requests
        assert second.time - first.ended >= 1
        with pytest.raises(SourceError, match="HTTP 503, for 9999 s"):
            fetch(standin, configure(standin.url))
        with pytest.raises(SourceError, match="left alone until"):
            fetch(standin, configure(standin.url))
        assert len(standin.requests) == 3


def test_pauses_grow_while_the_site_is_busy(configure: Configure) -> None:
    with StandIn(CORPUS, faults={"/pdf": ["429"] * 3}) as standin:
        fetch(standin, configure(standin.url, seconds_between_requests=0.1))
        pauses = [later.time - earlier.ended for earlier, later in pairwise(standin.requests)]
    assert [pause >= least for pause, least in zip(pauses, (0.25, 0.5, 1.0), strict=True)] == [
        True
    ] * 3


def test_three_addresses_that_fail_in_a_row_end_the_stage(configure: Configure) -> None:
    faults = ["501"] * 8 + ["404"] + ["501"] * 12  # a 404 is an answer: the count begins anew
    with StandIn(CORPUS, faults={"/pdf": faults}) as standin, Site(configure(standin.url)) as site:
        for _ in range(5):
            with pytest.raises(Refusal):
                site.fetch(standin.url + PAPER)
        with pytest.raises(SourceError, match="failed at 3 addresses in a row, last with HTTP 501"):
            site.fetch(standin.url + PAPER)


def test_the_budget_of_requests_is_never_exceeded(configure: Configure) -> None:
    with StandIn(CORPUS) as standin, Site(configure(standin.url, max_requests=2)) as site:
        for _ in range(2):
            site.fetch(standin.url + PAPER)
        with pytest.raises(BudgetSpentError, match="max_requests=2"):
            site.fetch(standin.url + PAPER)
        assert len(standin.requests) == 2


def test_a_download_goes_on_where_it_was_cut(configure: Configure, tmp_path: Path) -> None:
    part = tmp_path / "a.part"
    with StandIn(CORPUS, faults={"/pdf": ["cut"]}) as standin, Site(configure(standin.url)) as site:
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
    with StandIn(CORPUS) as standin, Site(configure(standin.url)) as site:
        site.download(standin.url + PAPER, part)
        assert standin.requests[0].status == 200
    assert part.read_bytes() == PDF


def test_a_file_over_the_limit_is_given_up_while_it_streams(
    configure: Configure, tmp_path: Path
) -> None:
    endless = Corpus((make_entry("2406.00001", pdf=lambda: bytes(2_000_000)),))
    with StandIn(endless, faults={"/pdf": ["drip:0.05"]}) as standin:
        with (
            Site(configure(standin.url, max_pdf_bytes=100_000)) as site,
            pytest.raises(Refusal, match="too large"),
        ):
            site.download(standin.url + PAPER, tmp_path / "a.part")
        assert standin.requests[0].sent < 500_000
    assert list(tmp_path.glob("a.*")) == [tmp_path / "a.tag"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("https://example.org/pdf", "redirect to another site"),
        ("http://127.0.0.1:1/pdf", "redirect to another site"),
        ("file:///etc/passwd", "redirect to another site"),
        (PAPER, "redirects without end"),
    ],
)
def test_redirects_do_not_leave_the_site(configure: Configure, target: str, told: str) -> None:
    with (
        StandIn(CORPUS, faults={"/pdf": [f"redirect:{target}"] * 9}) as standin,
        pytest.raises(Refusal, match=told),
    ):
        fetch(standin, configure(standin.url))


def test_a_redirect_within_the_site_is_a_request_of_its_own(configure: Configure) -> None:
    with StandIn(CORPUS) as standin:
        with Site(configure(standin.url, seconds_between_requests=0.2)) as site:
            assert site.fetch(f"{standin.url}{PAPER}.pdf") == PDF
        first, second = standin.requests
    assert second.time - first.time >= 0.2


ROBOTS = "User-agent: *\nCrawl-delay: 15\nAllow: /abs\nDisallow: /search\n"


def test_robots_txt_decides_between_search_pages_and_api(configure: Configure) -> None:
    def chosen(**knobs: object) -> str:
        with Site(configure(standin.url, **knobs)) as site:
            site.read_robots()
            return choose_source(site.config, site)

    with StandIn(CORPUS) as standin:
        assert chosen() == "search"
        assert chosen(source="api") == "api"
    with StandIn(CORPUS, robots=ROBOTS) as standin:
        assert chosen() == "api"
        assert (
            chosen(source="search", accept_robots_risk=True)
            == chosen(accept_robots_risk=True)
            == "search"
        )
        with pytest.raises(SourceError, match=rf"disallows {PATH}.*accept_robots_risk"):
            chosen(source="search")


def test_the_crawl_delay_of_robots_txt_is_adopted(configure: Configure) -> None:
    with StandIn(CORPUS, robots=ROBOTS) as standin, Site(configure(standin.url)) as site:
        site.read_robots()
        assert site.pace == 15


@pytest.mark.parametrize(
    ("faults", "allowed"), [(["404"], True), (["503"] * 9, False), (["403"], False)]
)
def test_a_missing_robots_txt_allows_all_and_a_broken_one_nothing(
    configure: Configure, faults: list[str], allowed: bool
) -> None:
    with (
        StandIn(CORPUS, faults={"/robots.txt": faults}) as standin,
        Site(configure(standin.url)) as site,
    ):
        if allowed:
            site.read_robots()
            assert site.allows(PATH)
        else:
            with pytest.raises(SourceError, match=f"HTTP {faults[0]}"):
                site.read_robots()


def test_a_site_that_does_not_answer_is_one_clear_line(configure: Configure) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with (
            Site(configure(url)) as site,
            pytest.raises(SourceError, match=f"{url}.* does not answer .*scrape.site"),
        ):
            site.read_robots()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<html>no such paper</html>", "not a PDF"),
        (PDF[: len(PDF) // 2], "truncated PDF"),
        (PDF + b"\n" * 3000, "truncated PDF"),
        (b"%PDF-1.4\nnothing but\n%%EOF", "unreadable PDF"),
    ],
)
def test_only_whole_pdfs_that_open_pass(tmp_path: Path, content: bytes, reason: str) -> None:
    checker = PdfChecker()
    (tmp_path / "good.pdf").write_bytes(PDF)
    (tmp_path / "bad.pdf").write_bytes(content)
    fault = checker.fault_of(tmp_path / "bad.pdf")
    assert fault
    assert fault[0] == reason
    assert checker.fault_of(tmp_path / "good.pdf") is None
    checker.close()
