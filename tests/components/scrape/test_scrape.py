"""The whole stage against the stand-in: a real browser, a real socket, a real store."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
from components.scrape.standin.corpus import Corpus, Entry
from components.scrape.standin.server import StandIn
from components.shared.errors import DataError, SourceError
from components.shared.records import Paper, read_records
from components.shared.store import FolderStore
from tests.components.scrape.conftest import PDF, make_entry

Configure = Callable[..., ScrapeConfig]
CLOSED = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"
ARXIV_ROBOTS = (
    "User-agent: *\nAllow: /list\nAllow: /abs\nAllow: /pdf\nDisallow: /search\nDisallow: /api\n"
)


def records(folder: Path) -> list[Paper]:
    return list(read_records(folder / "papers.jsonl", Paper))


def ids(folder: Path) -> list[str]:
    return [paper.arxiv_id for paper in records(folder)]


def command(site: str, folder: Path) -> list[str]:
    """Return the stage's command line, with its store beside the folder."""
    flags = {
        "papers": folder,
        "store": folder.parent / "store",
        "state": folder.parent / "state",
        "site": site,
        "seconds-between-requests": 0,
        "teacher": "embedded",
        "base-model": "tiny",
    }
    arguments = (f"--{name}={value}" for name, value in flags.items())
    return [sys.executable, "-m", "components.scrape", *arguments]


def rejects(folder: Path) -> dict[str, dict[str, str]]:
    rows = map(json.loads, (folder / "rejects.jsonl").read_text().splitlines())
    return {row["item"]: row for row in rows}


def awkward(count: int) -> list[Entry]:
    """Return papers as awkward as arXiv's own, whose truth every source has to tell."""
    entries = []
    for number in range(count):
        month, day = 5 + number // 28 % 6, 1 + number % 28
        hour = (number * 5) % 24
        moment = f"2024-{month:02d}-{day:02d}T{hour:02d}:59:59Z"
        names = [f"Ada Ñame {part}" for part in range(130 if number % 40 == 3 else 30)]
        authors = {
            0: ("Ada One", "Bob Two Jr.", "Cy Three III"),
            1: ("the OpenModel Team", "D. Vier"),
            2: ("José Großmann", "Paul Erdős"),
            3: tuple(names),
        }[number % 4]
        typed = r"Jos\'e Gro{\ss}mann (MIT), Paul Erd\H{o}s" if number % 4 == 2 else ""
        version = 1 + (number % 9 == 0) * 2
        entry = make_entry(
            f"24{month:02d}.{number:05d}",
            submitted=moment,
            title=rf"$SU({number})$ Models of <language> & “things”, \textbf{{{number}}}",
            authors=authors,
            raw_authors=typed,
            abstract=f"Of language models: x < y, n{number}.",
            categories=(("cs.CL",), ("cs.LG", "cs.CL"), ("cs.CL", "math-ph"))[number % 3],
            version=version,
            comments="12 pages" if number % 5 else "",
            licence=CLOSED if number % 7 == 6 else "http://creativecommons.org/licenses/by/4.0/",
            withdrawn=number % 50 == 49,
        )
        if version > 1:
            entry = replace(entry, revised=entry.submitted + timedelta(days=9))
        entries.append(entry)
    return sorted(entries, key=lambda entry: entry.arxiv_id)


def told(paper: Paper) -> tuple[Any, ...]:
    return (
        paper.key,
        paper.title,
        tuple(paper.authors),
        paper.abstract,
        tuple(paper.categories),
        paper.submitted,
        paper.licence,
        paper.extra["comments"],
    )


def truth(entry: Entry) -> tuple[Any, ...]:
    key = f"{entry.arxiv_id}v{entry.version}"
    day = f"{entry.submitted:%Y-%m-%d}"
    names = (entry.title, entry.authors, entry.abstract, entry.categories)
    return (key, *names, day, entry.licence, entry.comments)


@pytest.mark.parametrize("count", [24, pytest.param(1000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("without_oai", [False, True])
@pytest.mark.parametrize("source", ["list", "search", "oai", "api"])
def test_every_source_tells_the_truth(
    configure: Configure, tmp_path: Path, source: str, without_oai: bool, count: int
) -> None:
    """Titles, authors, days, licences and versions; with OAI-PMH, or by abstract pages alone."""
    if source == "oai" and without_oai:
        return
    entries = awkward(count)
    usable = [entry for entry in entries if entry.licence != CLOSED and not entry.withdrawn]
    faults = {"/oai": ["429!"]} if without_oai else {}
    with StandIn(Corpus(tuple(entries)), faults=faults, oai_page=10) as site:
        config = configure(
            site.url, source=source, max_papers=count, page_size=25, max_requests=99_999
        )
        summary = scrape(config, tmp_path / "papers")
        fetched = site.asked("/pdf/")
    assert [told(paper) for paper in records(tmp_path / "papers")] == [truth(e) for e in usable]
    assert summary["facts"]["found"] == len(entries)
    assert len(fetched) == len(usable), "no PDF of a paper that may not be used"


@pytest.mark.parametrize(
    ("robots", "source", "asked"),
    [("User-agent: *\nAllow: /\n", "search", "/search"), (ARXIV_ROBOTS, "list", "/list")],
)
def test_auto_reads_with_a_browser_what_robots_txt_allows_and_nothing_else_of_the_site(
    configure: Configure, tmp_path: Path, robots: str, source: str, asked: str
) -> None:
    with StandIn(Corpus(tuple(awkward(6))), robots=robots) as site:
        summary = scrape(configure(site.url), tmp_path / "papers")
        kinds = {request.path.split("/")[1].split("?")[0] for request in site.requests}
        assert site.asked(asked)
    assert summary["facts"]["source"].startswith(source)
    assert kinds <= {"robots.txt", asked[1:], "oai", "abs", "pdf"}


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
    "/pdf/2405.00003": ["404"],
    "/pdf/2405.00004": ["html"] * 2,
    "/pdf/2405.00005": ["truncate"] * 2,
    "/pdf/2405.00006": ["empty"] * 2,
    "/pdf/2405.00007": ["truncate"],
}


def test_what_fails_is_a_reject_with_a_reason_and_stops_nothing(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(BORDERS, faults=FAULTS) as site:
        summary = scrape(configure(site.url, source="api"), tmp_path / "papers")
    dropped = rejects(tmp_path / "papers")
    assert {item: row["reason"] for item, row in dropped.items()} == {
        "2404.00004": "no PDF offered",
        "2405.00003": "HTTP 404",
        "2405.00004": "not a PDF",
        "2405.00005": "broken PDF (cut off)",
        "2405.00006": "empty file",
    }
    assert "Local file mine.pdf" in dropped["2405.00005"]["detail"]
    assert ids(tmp_path / "papers") == ["2404.00002", "2404.00003", "2405.00002", "2405.00007"]
    assert (summary["seen"], summary["kept"], summary["facts"]["found"]) == (9, 4, 9)
    question = summary["facts"]["question"]
    assert (question["query"], question["categories"]) == ("language models", ["cs.CL"])


def test_max_papers_counts_those_that_may_be_used_the_newest_first(
    configure: Configure, tmp_path: Path
) -> None:
    entries = [
        make_entry(
            f"24{month:02d}.00001",
            licence=CLOSED if month % 2 else "http://creativecommons.org/licenses/by/4.0/",
        )
        for month in range(5, 13)
    ]
    faults = {"/pdf/2410": ["404"]}
    with StandIn(Corpus(tuple(entries)), faults=faults) as site:
        summary = scrape(configure(site.url, max_papers=2, source="api"), tmp_path)
        assert ids(tmp_path) == ["2408.00001", "2412.00001"]
        assert summary["dropped"] == {"HTTP 404": 1, "licence not allowed: arxiv-nonexclusive": 2}
        assert not [path for path in site.asked("/pdf/") if "2411" in path or "2409" in path]
        others = configure(site.url, source="api", allow_licences="open,arxiv-nonexclusive")
        assert scrape(others, tmp_path)["kept"] == 8, "the ruling is asked for in each run"


@pytest.mark.parametrize(
    ("fault", "told"),
    [("rate!", "rate exceeded"), ("429!", "HTTP 429"), ("500!", "HTTP 500"), ("empty!", "broken")],
)
def test_a_list_that_cannot_be_had_is_one_line(
    configure: Configure, tmp_path: Path, fault: str, told: str
) -> None:
    with (
        StandIn(BORDERS, faults={"/api": [fault]}) as site,
        pytest.raises(SourceError, match=rf"gave no list of papers: .*{told}"),
    ):
        scrape(configure(site.url, source="api"), tmp_path)


def test_one_host_of_three_that_refuses_costs_nothing_but_requests(
    configure: Configure, tmp_path: Path
) -> None:
    for off in ("/oai", "/api", "/list", "/search"):
        with StandIn(BORDERS, robots=ARXIV_ROBOTS, faults={off: ["429!"]}) as site:
            config = configure(site.url, store=str(tmp_path / off[1:]))
            assert scrape(config, tmp_path / "papers")["kept"] == 8


def test_with_everything_off_the_stores_papers_are_taken_with_their_age(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn(BORDERS) as site:
        scrape(configure(site.url, source="api"), tmp_path / "first")
        site.faults.waiting = {"/": ["429!"]}
        summary = scrape(configure(site.url), tmp_path / "second")
    assert ids(tmp_path / "first") == ids(tmp_path / "second")
    assert summary["facts"]["source"] == "store"
    assert "come from the store, the last is 0 days old" in capsys.readouterr().out
    again = scrape(configure("http://127.0.0.1:9"), tmp_path / "third")  # nobody listens there
    assert again["kept"] == summary["kept"]


def test_a_site_that_is_not_there_is_one_line_without_a_store(
    configure: Configure, tmp_path: Path
) -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"http://127.0.0.1:9 does not answer: no connection"):
        scrape(configure("http://127.0.0.1:9"), tmp_path)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"query": "zebras"}, "found no papers.*widen scrape.query"),
        ({"allow_licences": "cc0"}, r"no paper can be used \(8 licence not allowed: cc-by"),
    ],
)
def test_a_stage_that_keeps_nothing_is_not_green(
    configure: Configure, tmp_path: Path, knobs: dict[str, Any], told: str
) -> None:
    with StandIn(BORDERS) as site, pytest.raises(DataError, match=told):
        scrape(configure(site.url, source="api", **knobs), tmp_path)


def test_a_withdrawn_or_relicensed_paper_is_marked_in_the_store(
    configure: Configure, tmp_path: Path
) -> None:
    with StandIn(BORDERS) as site:
        config = configure(site.url, source="api")
        scrape(config, tmp_path / "papers")
        now = datetime.now(UTC)
        changes = {"version": 2, "revised": now}
        by_id = {entry.arxiv_id: entry for entry in BORDERS.entries}
        site.publish(
            replace(by_id["2405.00003"], withdrawn=True, **changes),
            replace(by_id["2405.00004"], licence=CLOSED, **changes),
        )
        scrape(config, tmp_path / "papers")
    store = FolderStore(tmp_path / "store")
    assert store.get_json("papers/2405.00003/v1.json")["withdrawn"] is True
    assert store.get_json("papers/2405.00004/v1.json")["licence"] == CLOSED
    assert not {"2405.00003", "2405.00004"} & set(ids(tmp_path / "papers"))


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
