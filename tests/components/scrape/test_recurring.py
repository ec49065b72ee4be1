"""Once: a recurring run asks for what is new, a crash or a fault costs nothing that was
complete."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import StandIn
from components.shared.errors import SourceError
from components.shared.records import Paper, read_records
from tests.components.scrape.conftest import PDF, VirtualClock, make_entry

Configure = Callable[..., ScrapeConfig]
PAPERS = tuple(
    make_entry(
        f"2406.{number:05d}",
        submitted=f"2024-06-{number:02d}T12:00:00Z",
        pdf=lambda n=number: PDF + b"%" * n,
    )
    for number in range(1, 9)
)
KILLS = int(os.environ.get("ARXTUNE_KILLS", "20"))


def ids(folder: Path) -> list[str]:
    return [paper.key for paper in read_records(folder / "papers.jsonl", Paper)]


def state_of(folder: Path) -> str:
    """Return a digest of the records, but for the time of fetching, and of every PDF."""
    rows = [json.loads(line) for line in (folder / "papers.jsonl").read_text().splitlines()]
    whole = hashlib.sha256(
        json.dumps([{**row, "fetched_at": ""} for row in rows], sort_keys=True).encode()
    )
    for path in sorted((folder / "pdf").iterdir()):
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


def test_an_unchanged_site_is_asked_for_one_page_and_no_pdf(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(Corpus(PAPERS)) as site:
        config = configure(site.url, source="api", page_size=25)
        scrape(config, tmp_path / "first")
        before = len(site.requests)
        scrape(config, tmp_path / "second")
        assert [request.path.split("?")[0] for request in site.requests[before:]] == [
            "/robots.txt",
            "/oai",
            "/api/query",
        ]
    assert state_of(tmp_path / "first") == state_of(tmp_path / "second")


def test_five_new_papers_and_two_new_versions_are_seven_pdfs(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(Corpus(PAPERS)) as site:
        config = configure(site.url, source="api")
        scrape(config, tmp_path / "first")
        later = datetime.now(UTC)
        site.publish(*(replace(entry, version=2, revised=later) for entry in PAPERS[2:4]))
        site.publish(
            *(
                make_entry(f"2407.{number:05d}", submitted=f"{later:%Y-%m-%dT%H:%M:%SZ}")
                for number in range(1, 6)
            )
        )
        before = len(site.asked("/pdf/"))
        summary = scrape(config, tmp_path / "second")
        assert len(site.asked("/pdf/")) - before == summary["facts"]["fetched"] == 7
    assert len(ids(tmp_path / "second")) == 13
    assert {"2406.00003v2", "2406.00004v2"} < set(ids(tmp_path / "second"))


def test_a_paper_announced_late_is_found_by_its_day_of_change(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(Corpus(PAPERS)) as site:
        config = configure(site.url, source="api", overlap_days=1)
        scrape(config, tmp_path / "first")
        today = datetime.now(UTC).date()
        site.publish(make_entry("2406.00099", submitted="2024-06-02T12:00:00Z", modified=today))
        scrape(config, tmp_path / "second")
    assert "2406.00099v1" in ids(tmp_path / "second")


def test_a_site_with_other_papers_is_not_answered_from_memory(
    configure: Configure, tmp_path: Path
) -> None:
    other = tuple(make_entry(f"2405.{number:05d}") for number in range(1, 13))
    for papers in (PAPERS, other):
        with StandIn(Corpus(papers)) as site:
            scrape(configure(site.url, source="api"), tmp_path / "papers")
            assert ids(tmp_path / "papers") == [f"{entry.arxiv_id}v1" for entry in papers]


def test_a_backfill_reaches_further_back_with_each_run(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(Corpus(PAPERS)) as site:
        for expected in (4, 6, 8, 8):
            scrape(configure(site.url, source="api", max_papers=2, backfill=2), tmp_path / "papers")
            assert len(ids(tmp_path / "papers")) == expected
        assert max(Counter(site.asked("/pdf/")).values()) == 1
        assert ids(tmp_path / "papers")[0] == "2406.00001v1"


def test_a_later_run_may_want_more_papers(configure: Configure, tmp_path: Path) -> None:
    many = tuple(
        make_entry(
            f"24{1 + n // 25:02d}.{n:05d}",
            submitted=f"2024-{1 + n // 25:02d}-{1 + n % 25:02d}T12:00:00Z",
        )
        for n in range(250)
    )
    with StandIn(Corpus(many)) as site:
        for count in (3, 40, 3):
            config = configure(
                site.url, source="api", max_papers=count, page_size=25, published_after="2024-01-01"
            )
            scrape(config, tmp_path / "papers")
            assert ids(tmp_path / "papers") == [f"{entry.arxiv_id}v1" for entry in many[-count:]]


def test_a_hopeless_paper_is_not_asked_for_every_week_but_is_not_forgotten(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(Corpus(PAPERS[:2]), faults={"/pdf/2406.00001": ["404"] * 99}) as site:
        for _ in range(5):
            summary = scrape(configure(site.url, source="api"), tmp_path / "papers")
            assert summary["dropped"] == {"HTTP 404": 1}
        assert len(site.asked("/pdf/2406.00001")) == 3


def test_when_the_budget_ends_the_rest_are_rejects_that_the_next_run_takes(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(Corpus(PAPERS)) as site:
        summary = scrape(configure(site.url, source="api", max_requests=15), tmp_path / "papers")
        assert len(site.requests) == 15
        assert summary["dropped"] == {"no request left": 3}
        summary = scrape(configure(site.url, source="api"), tmp_path / "papers")
        assert (summary["kept"], summary["facts"]["fetched"]) == (8, 3)


# Met at each kind of request of a crawl in turn: robots.txt, the list, details, and PDFs early,
# midway and last.
FAULTS = (
    "429",
    "429:0",
    "500",
    "503",
    "503:0",
    "reset",
    "cut",
    "truncate",
    "html",
    "empty",
    "403",
    "captcha",
    "slow:0.05",
)
POINTS = ("/robots.txt", "/api", "/oai", "/pdf/2406.00008", "/pdf/2406.00005", "/pdf/2406.00001")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    with StandIn(Corpus(PAPERS)) as site:
        store, state = str(folder / "store"), str(folder / "state")
        config = ScrapeConfig(
            site=site.url,
            store=store,
            state=state,
            seconds_between_requests=0,
            source="api",
            teacher="embedded",
            base_model="tiny",
        )
        scrape(config, folder / "papers")
    return state_of(folder / "papers")


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_point_changes_nothing_in_the_end(
    configure: Configure, tmp_path: Path, undisturbed: str, virtual: VirtualClock, fault: str
) -> None:
    wants_us_to_stop = fault in ("403", "captcha")
    for number, point in enumerate(POINTS):
        if fault in ("empty", "truncate", "html") and point == "/robots.txt":
            continue  # any text is a robots.txt
        knobs = {"source": "api", "store": str(tmp_path / f"store{number}"), "page_size": 25}
        with StandIn(Corpus(PAPERS), faults={point: [fault]}) as site:
            config = configure(site.url, **knobs)
            try:
                scrape(config, tmp_path / f"papers{number}")
            except SourceError:
                assert wants_us_to_stop
            if wants_us_to_stop:  # and is left alone for a while
                virtual.sleep(3600)
                scrape(config, tmp_path / f"papers{number}")
            assert state_of(tmp_path / f"papers{number}") == undisturbed, point
            whole = [
                r
                for r in site.requests
                if r.path.startswith("/pdf/") and r.status == 200 and r.sent >= len(PDF)
            ]
            twice = [path for path, count in Counter(r.path for r in whole).items() if count > 1]
            assert twice == [], point


RUN = """
import sys
from pathlib import Path
from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
url, folder = sys.argv[1:]
folders = {"store": f"{folder}/store", "state": f"{folder}/state"}
free = {"seconds_between_requests": 0.02, "teacher": "embedded", "base_model": "tiny"}
config = ScrapeConfig(site=url, source="api", **free, **folders)
print("go", flush=True)
scrape(config, Path(folder) / "papers")
"""


def completed(folder: Path) -> set[str]:
    """Return the PDFs that are whole on disk: in the store, or in the spool."""
    stored = {f"{p.parent.name}{p.stem}" for p in folder.glob("store/papers/*/v*.pdf")}
    return stored | {path.stem for path in folder.glob("state/spool/*/*.pdf")}


def crawl(url: str, folder: Path, seconds: float | None = None) -> float:
    """Run a crawl in a process of its own, killed after so many seconds; return how long it
    took, or 0."""
    command = [sys.executable, "-c", RUN, url, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        started = time.monotonic()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return 0.0
        assert process.returncode == 0
        return time.monotonic() - started


def kill_points() -> Iterator[Any]:
    yield from random.Random(4).sample(range(100), KILLS)


@pytest.mark.soak
def test_killed_at_random_points_and_run_again_it_ends_the_same_and_fetches_nothing_twice(
    tmp_path: Path, undisturbed: str
) -> None:
    with StandIn(Corpus(PAPERS)) as site:
        span = crawl(site.url, tmp_path / "whole")
        assert state_of(tmp_path / "whole" / "papers") == undisturbed
        for point in kill_points():
            folder = tmp_path / f"killed{point}"
            crawl(site.url, folder, span * point / 100)
            had, before = completed(folder), len(site.asked("/pdf/"))
            assert crawl(site.url, folder)
            assert state_of(folder / "papers") == undisturbed, point
            again = {path.removeprefix("/pdf/") for path in site.asked("/pdf/")[before:]}
            assert again & had == set(), point
