"""The site is asked slowly, believed carefully, and left alone when it is down."""

import io
import socket
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.download import check_pdf
from components.scrape.search_page import PATH
from components.scrape.site import Refusal, Site
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import StandIn
from components.shared.errors import SourceError
from tests.components.scrape.conftest import PDF, make_entry

CORPUS = Corpus((make_entry("2406.00001"),))
PAPER = "/pdf/2406.00001v1"


def fetch(standin: StandIn, config: ScrapeConfig, limit: int = 10**6) -> bytes:
    """Return what the site gives for the one PDF."""
    sink = io.BytesIO()
    with Site(config) as site:
        site.fetch(PAPER, sink, limit)
    return sink.getvalue()


@pytest.mark.parametrize("fault", ["503:0", "429:0", "cut", "reset"])
def test_a_passing_failure_is_tried_once_more(configure: Callable[..., ScrapeConfig], fault: str) -> None:
    with StandIn(CORPUS, faults={"/pdf": [fault]}) as standin:
        assert fetch(standin, configure(standin.url)) == PDF
        assert len(standin.requests) == 2


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (["404"], "HTTP 404"),
        (["403", "403"], "HTTP 403"),
        (["503:0", "503:0"], "HTTP 503"),
        (["429:9999"], "HTTP 429"),
        (["cut", "cut"], "connection lost"),
        (["slow:3", "slow:3"], "no answer in 1 s"),
    ],
)
def test_what_stays_wrong_is_refused_with_a_reason(
    configure: Callable[..., ScrapeConfig], faults: Sequence[str], reason: str
) -> None:
    with StandIn(CORPUS, faults={"/pdf": faults}) as standin, pytest.raises(Refusal) as caught:
        fetch(standin, configure(standin.url, timeout_s=1))
    assert caught.value.reason == reason


def test_retry_after_is_waited_for(configure: Callable[..., ScrapeConfig]) -> None:
    with StandIn(CORPUS, faults={"/pdf": ["429:1"]}) as standin:
        fetch(standin, configure(standin.url))
        first, second = standin.requests
    assert second.time - first.time >= 1


def test_a_file_over_the_limit_is_given_up_while_it_streams(configure: Callable[..., ScrapeConfig]) -> None:
    with StandIn(CORPUS) as standin, pytest.raises(Refusal, match="too large"):
        fetch(standin, configure(standin.url), limit=len(PDF) - 1)


def test_three_failures_of_the_site_in_a_row_end_the_stage(configure: Callable[..., ScrapeConfig]) -> None:
    faults = ["500", "500", "404", "500", "500", "500"]  # a 404 is an answer: the count begins anew
    with StandIn(CORPUS, faults={"/pdf": faults}) as standin, Site(configure(standin.url)) as site:
        for _ in range(5):
            with pytest.raises(Refusal):
                site.fetch(PAPER, io.BytesIO(), 10**6)
        with pytest.raises(SourceError, match="failed 3 times in a row, last with HTTP 500"):
            site.fetch(PAPER, io.BytesIO(), 10**6)


def test_requests_keep_their_distance(configure: Callable[..., ScrapeConfig]) -> None:
    with StandIn(CORPUS) as standin:
        with Site(configure(standin.url, seconds_between_requests=0.2)) as site:
            for _ in range(4):
                site.fetch(PAPER, io.BytesIO(), 10**6)
        times = [request.time for request in standin.requests]
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.15


def test_robots_txt_is_obeyed_unless_the_risk_is_taken(configure: Callable[..., ScrapeConfig]) -> None:
    robots = "User-agent: *\nCrawl-delay: 15\nAllow: /abs\nDisallow: /search\n"
    with StandIn(CORPUS, robots=robots) as standin:
        with (
            Site(configure(standin.url)) as site,
            pytest.raises(SourceError, match=r"disallows /search/advanced.*accept_robots_risk"),
        ):
            site.respect_robots(PATH)
        with Site(configure(standin.url, accept_robots_risk=True)) as site:
            site.respect_robots(PATH)
            assert site.pace.seconds == 15


@pytest.mark.parametrize(("fault", "allowed"), [("404", True), ("503", False), ("403", False)])
def test_a_missing_robots_txt_allows_all_and_a_broken_one_nothing(
    configure: Callable[..., ScrapeConfig], fault: str, allowed: bool
) -> None:
    with StandIn(CORPUS, faults={"/robots.txt": [fault]}) as standin, Site(configure(standin.url)) as site:
        if allowed:
            site.respect_robots(PATH)
        else:
            with pytest.raises(SourceError, match=f"HTTP {fault}"):
                site.respect_robots(PATH)


def test_a_site_that_does_not_answer_is_one_clear_line(configure: Callable[..., ScrapeConfig]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with Site(configure(url)) as site, pytest.raises(SourceError, match=f"{url} does not answer .*scrape.site"):
            site.respect_robots(PATH)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<html>no such paper</html>", "not a PDF"),
        (PDF[: len(PDF) // 2], "truncated PDF"),
        (PDF + b"\n" * 3000, "truncated PDF"),
    ],
)
def test_only_whole_pdfs_pass(content: bytes, reason: str) -> None:
    check_pdf(io.BytesIO(PDF))
    with pytest.raises(Refusal) as caught:
        check_pdf(io.BytesIO(content))
    assert caught.value.reason == reason
