"""The whole stage against the stand-in: a real browser, a real socket, a real store."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
from components.scrape.standin.corpus import Corpus, sample_corpus
from components.scrape.standin.server import StandIn
from components.shared.errors import DataError, SourceError
from components.shared.records import Paper, read_records
from tests.components.scrape.conftest import PDF, make_entry

Configure = Callable[..., ScrapeConfig]
SAMPLES = sample_corpus()
MATCHING = {
    entry.arxiv_id: entry
    for entry in SAMPLES.entries
    if "language model" in entry.abstract and entry.submitted.date().isoformat() >= "2024-04-18"
}


def records(folder: Path) -> list[Paper]:
    return list(read_records(folder / "papers.jsonl", Paper))


def command(site: str, folder: Path) -> list[str]:
    """Return the stage's command line, with its store beside the folder."""
    flags = {
        "papers": folder,
        "store": folder.parent / "store",
        "state": folder.parent / "state",
        "site": site,
    }
    flags |= {"seconds-between-requests": "0"}
    return [
        sys.executable,
        "-m",
        "components.scrape",
        *(f"--{name}={value}" for name, value in flags.items()),
    ]


def rejects(folder: Path) -> dict[str, dict[str, str]]:
    rows = map(json.loads, (folder / "rejects.jsonl").read_text().splitlines())
    return {row["item"]: row for row in rows}


def test_the_papers_that_match_are_fetched_once_and_told_truly(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(SAMPLES) as site:
        config = configure(site.url, page_size=25, max_papers=100)
        summary = scrape(config, tmp_path / "first")
        papers = records(tmp_path / "first")
        assert [paper.arxiv_id for paper in papers] == sorted(MATCHING)
        assert len(MATCHING) < len(SAMPLES.entries)
        for paper in papers:
            entry = MATCHING[paper.arxiv_id]
            assert (paper.title, tuple(paper.authors), paper.abstract) == (
                entry.title,
                entry.authors,
                entry.abstract,
            )
            assert (paper.version, paper.licence) == (entry.version, entry.licence)
            assert (paper.submitted, tuple(paper.categories)) == (
                f"{entry.submitted:%Y-%m-%d}",
                entry.categories,
            )
            assert (tmp_path / "first" / paper.pdf).read_bytes() == entry.pdf()
        asked = {
            kind: len(site.asked(kind)) for kind in ("/robots.txt", "/search", "/abs/", "/pdf/")
        }
        assert asked == {
            "/robots.txt": 1,
            "/search": 2,
            "/abs/": len(MATCHING),
            "/pdf/": len(MATCHING),
        }
        assert len(site.requests) == sum(asked.values()) == summary["facts"]["requests"]

        again = scrape(config, tmp_path / "second")
        assert len(site.asked("/abs/")) == len(site.asked("/pdf/")) == len(MATCHING)
        assert again["facts"]["from_store"] == len(MATCHING)
        assert again["facts"]["requests"] == 2, "robots.txt and one page of the latest revisions"
    names = sorted(
        path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.[pj][ds]*")
    )
    for name in names:
        if name.name != "lineage.jsonl":
            assert (tmp_path / "first" / name).read_bytes() == (
                tmp_path / "second" / name
            ).read_bytes()


BORDERS = Corpus(
    (
        make_entry("2404.00001", submitted="2024-04-17T23:59:59Z"),
        make_entry(
            "2404.00002", submitted="2024-04-18T00:00:00Z"
        ),  # still the 17th where arXiv shows it
        make_entry("2404.00003", authors=tuple(f"Author {number}" for number in range(30))),
        make_entry("2404.00004", title="Withdrawn language models", withdrawn=True),
        make_entry(
            "2405.00001", title="Old news of language models", submitted="2023-05-01T00:00:00Z"
        ),
        make_entry("2405.00002", version=3),
        make_entry("2405.00003"),
        make_entry("2405.00004"),
        make_entry("2405.00005", comments="Local file mine.pdf"),
        make_entry("2405.00006"),
        make_entry("2405.00007"),
    )
)
FAULTS = {
    "/abs/2405.00003": ["404"],
    "/pdf/2405.00004": ["html"] * 2,
    "/pdf/2405.00005": ["truncate"] * 2,
    "/pdf/2405.00006": ["empty"] * 2,
    "/pdf/2405.00007": ["truncate"],
}


def test_what_fails_is_a_reject_with_a_reason_and_stops_nothing(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(BORDERS, faults=FAULTS) as site:
        summary = scrape(configure(site.url), tmp_path / "papers")
    dropped = rejects(tmp_path / "papers")
    assert {item: row["reason"] for item, row in dropped.items()} == {
        "2404.00004": "no PDF offered",
        "2405.00003": "HTTP 404",
        "2405.00004": "not a PDF",
        "2405.00005": "truncated PDF",
        "2405.00006": "empty file",
    }
    assert "Local file mine.pdf" in dropped["2405.00005"]["detail"]
    papers = {paper.arxiv_id: paper for paper in records(tmp_path / "papers")}
    assert sorted(papers) == ["2404.00002", "2404.00003", "2405.00002", "2405.00007"]
    assert papers["2404.00002"].submitted == "2024-04-18"
    assert len(papers["2404.00003"].authors) == 30
    assert (papers["2405.00002"].version, papers["2405.00002"].licence) == (3, "unknown")
    assert (summary["seen"], summary["kept"], summary["facts"]["found"]) == (9, 4, 9)


def test_only_the_newest_are_taken_and_the_cut_is_told(
    configure: Configure, tmp_path: Path
) -> None:
    corpus = Corpus(tuple(make_entry(f"24{month:02d}.00001") for month in range(5, 13)))
    with StandIn(corpus) as site:
        summary = scrape(configure(site.url, max_papers=3, source="api"), tmp_path)
    assert [paper.arxiv_id for paper in records(tmp_path)] == [
        "2410.00001",
        "2411.00001",
        "2412.00001",
    ]
    assert (summary["facts"]["found"], summary["facts"]["taken"]) == (8, 3)
    assert summary["facts"]["cut_off"] == "found 8, took 3, max_papers 3"


def test_a_site_that_goes_down_ends_the_stage(configure: Configure, tmp_path: Path) -> None:
    with StandIn(BORDERS, faults={"/oai": ["500"] * 99}) as site:
        with pytest.raises(SourceError, match="failed at 3 addresses in a row"):
            scrape(configure(site.url, source="api"), tmp_path)
        assert len(site.asked("/oai")) == 12


def test_search_pages_that_fail_are_asked_again_and_retry_after_is_heard_in_the_browser(
    configure: Configure, tmp_path: Path
) -> None:
    faults = ["503:1", "ok", "truncate", "html"]
    with StandIn(BORDERS, faults={"/search": faults}) as site:
        assert scrape(configure(site.url, max_papers=1), tmp_path)["kept"] == 1
        first, second, *_ = [
            request for request in site.requests if request.path.startswith("/search")
        ]
        assert second.time - first.ended >= 1


def test_a_list_that_stays_incomplete_is_an_error(configure: Configure, tmp_path: Path) -> None:
    with (
        StandIn(SAMPLES, faults={"/api": ["truncate"] * 9}) as site,
        pytest.raises(SourceError, match=r"gave no list of papers: broken answer"),
    ):
        scrape(configure(site.url, source="api"), tmp_path)


def test_a_question_that_nothing_matches_says_what_to_change(
    configure: Configure, tmp_path: Path
) -> None:
    with (
        StandIn(BORDERS) as site,
        pytest.raises(DataError, match=r"found no papers.*widen scrape.query"),
    ):
        scrape(configure(site.url, query="zebras", source="api"), tmp_path)


def test_a_stage_killed_while_it_downloads_goes_on_where_it_was(tmp_path: Path) -> None:
    corpus = Corpus(tuple(make_entry(f"2405.{number:05d}") for number in range(1, 9)))
    with StandIn(corpus, faults={"/pdf/2405.00004": ["hang"]}) as site:
        with subprocess.Popen(
            command(site.url, tmp_path / "papers"), stdout=subprocess.DEVNULL
        ) as stage:
            wait_until(
                lambda: len(site.asked("/pdf/")) == 5
            )  # newest first: 8, 7, 6, 5, and now 4 is on its way
            stage.kill()
        assert not (tmp_path / "papers" / "papers.jsonl").exists()
        subprocess.run(
            command(site.url, tmp_path / "papers"),
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=600,
        )
        pdfs = [path for path in site.asked("/pdf/") if "00004" not in path]
        assert sorted(pdfs) == sorted(
            f"/pdf/2405.{number:05d}v1" for number in (1, 2, 3, 5, 6, 7, 8)
        )
    papers = records(tmp_path / "papers")
    assert [paper.arxiv_id for paper in papers] == [entry.arxiv_id for entry in corpus.entries]
    assert all((tmp_path / "papers" / paper.pdf).read_bytes() == PDF for paper in papers)


@pytest.mark.soak
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_browser_outlives_the_stage(tmp_path: Path, sent: signal.Signals) -> None:
    short = tempfile.TemporaryDirectory()  # Chromium's sockets need short paths
    folder = Path(short.name)
    environment = {
        **os.environ,
        "TMPDIR": short.name,
    }  # the browser's folder lies there and names its processes
    with short, StandIn(BORDERS, faults={"/search": ["hang"]}) as site:
        with subprocess.Popen(
            command(site.url, tmp_path / "papers"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as stage:
            wait_until(lambda: browser_processes(folder) and site.asked("/search"))
            stage.send_signal(sent)
        wait_until(
            lambda: not browser_processes(folder) and not list(folder.glob("arxtune-browser-*")), 5
        )


def browser_processes(folder: Path) -> list[str]:
    """Return the command lines of the Chromium processes whose profile lies below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if f"--user-data-dir={folder}" in line:
            found.append(line)
    return found


def wait_until(condition: Callable[[], Any], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {seconds} s")
        time.sleep(0.05)
