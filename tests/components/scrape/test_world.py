"""A world as large, as closed and as moody as arXiv: what a run gets of it, in how many requests
and how much time."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from components.extract.config import ExtractConfig
from components.extract.core import extract
from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.generate.standin import KEY
from components.generate.standin import StandIn as Teacher
from components.scrape import clock
from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
from components.scrape.standin.corpus import Corpus, Entry
from components.scrape.standin.live import CLOSED, MOODS, ROBOTS, live_corpus
from components.scrape.standin.server import StandIn
from components.shared.records import Document, Paper, Triple, read_records, write_records
from tests.components.scrape.conftest import PDF, VirtualClock

Configure = Callable[..., ScrapeConfig]
CLOCK_SLACK_S = 5.0  # the virtual clock moves on while a thread of the server waits for its turn


def light(corpus: Corpus) -> Corpus:
    """Return the corpus with one small PDF for all: rendering would take most of the time."""
    return Corpus(tuple(replace(entry, pdf=lambda: PDF) for entry in corpus.entries))


def is_open(entry: Entry) -> bool:
    closed = "nonexclusive" in entry.licence or "-n" in entry.licence
    return not closed and not entry.withdrawn


def run(site: StandIn, configure: Configure, folder: Path, **knobs: object) -> list[str]:
    config = configure(site.url, seconds_between_requests=3, patience_hours=6, **knobs)
    scrape(config, folder)
    return [paper.arxiv_id for paper in read_records(folder / "papers.jsonl", Paper)]


def test_the_default_question_ends_in_sixty_usable_papers(
    configure: Configure, tmp_path: Path, virtual: VirtualClock
) -> None:
    corpus = light(live_corpus(14))
    began = virtual.now()
    with StandIn(corpus, robots=ROBOTS, faults={k: list(v) for k, v in MOODS.items()}) as site:
        taken = run(site, configure, tmp_path)
        asked = Counter(request.path.split("?")[0].split("/")[1] for request in site.requests)
        gaps = [later.time - earlier.ended for earlier, later in pairwise(site.requests)]
        assert len(taken) == asked["pdf"] == 60
    by_id = {entry.arxiv_id: entry for entry in corpus.current()}
    assert all("creativecommons.org" in by_id[name].licence for name in taken)
    assert asked["list"] == 1
    assert asked["oai"] <= 6
    assert "search" not in asked
    assert min(gaps) > 15 - CLOCK_SLACK_S
    assert virtual.now() - began < 1_776, "as long as with half of it refused before"


def test_no_paper_that_may_not_be_used_is_sent_to_a_teacher(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, virtual: VirtualClock
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    papers, documents = tmp_path / "papers", tmp_path / "documents"
    corpus = live_corpus(3, a_day=8, open_share=0.4)
    usable = {entry.arxiv_id for entry in corpus.current() if is_open(entry)}
    with StandIn(corpus, robots=ROBOTS) as site:
        assert set(run(site, configure, papers, teacher="groq")) == usable
        asked = site.asked("/pdf/")
        assert {path.removeprefix("/pdf/").partition("v")[0] for path in asked} == usable
    extract(ExtractConfig(), papers, documents)
    kept = list(read_records(documents / "documents.jsonl", Document))
    closed = replace(kept[0], paper="2406.99999", licence=CLOSED[0])
    write_records(documents / "documents.jsonl", [closed, *kept])
    with Teacher() as teacher:
        config = GenerateConfig(
            teacher="groq", teacher_url=teacher.url, store=str(tmp_path / "store")
        )
        summary = generate(config, documents, tmp_path / "triples")
        assert teacher.requests == [200] * sum(len(document.pages) for document in kept)
    rows = (tmp_path / "triples" / "rejects.jsonl").read_text().splitlines()
    dropped = {row["item"]: row["reason"] for row in map(json.loads, rows)}
    assert "licence" in dropped["2406.99999"], summary
    triples = read_records(tmp_path / "triples" / "triples.jsonl", Triple)
    assert {triple.paper for triple in triples} == usable


OFF: list[dict[str, list[str]]] = [
    {"/list": ["429!"]},
    {"/oai": ["429!"]},
    {"/list": ["rate!"], "/oai": ["429!"], "/api": ["ok!"]},
    {"/oai": ["ok", "503:0!"]},
    {"/list": ["slow:100!"], "/oai": ["slow:100!"]},
    {"/list": ["empty!"], "/oai": ["500!"]},
]


@pytest.mark.parametrize("off", OFF, ids=str)
def test_each_source_off_or_late_gives_the_same_papers_by_another(
    configure: Configure, tmp_path: Path, virtual: VirtualClock, off: dict[str, list[str]]
) -> None:
    corpus = light(live_corpus(10, a_day=30, open_share=0.4))
    with StandIn(corpus, robots=ROBOTS) as site:
        expected = run(site, configure, tmp_path / "one", store=str(tmp_path / "1"), max_papers=20)
        site.faults.waiting = {path: list(told) for path, told in off.items()}
        del site.requests[:]
        taken = run(site, configure, tmp_path / "two", store=str(tmp_path / "2"), max_papers=20)
        gaps = [later.time - earlier.ended for earlier, later in pairwise(site.requests)]
    assert taken == expected
    assert min(gaps) > 15 - CLOCK_SLACK_S


def test_pdfs_refused_for_hours_cost_few_requests_and_then_come(
    configure: Configure, tmp_path: Path, virtual: VirtualClock
) -> None:
    corpus = light(live_corpus(4, a_day=20, open_share=1.0))
    with StandIn(corpus, robots=ROBOTS, faults={"/pdf": ["429"] * 9}) as site:
        assert len(run(site, configure, tmp_path, max_papers=10)) == 10
        assert len(site.asked("/pdf")) == 19


@pytest.mark.parametrize("weeks", [4, pytest.param(52, marks=pytest.mark.soak)])
def test_weekly_runs_cost_what_the_week_brought(
    configure: Configure, tmp_path: Path, virtual: VirtualClock, weeks: int
) -> None:
    a_day = 110 if weeks > 10 else 30
    corpus = light(live_corpus(7, a_day=a_day, open_share=0.13))
    store = tmp_path / "store"
    requests, seconds, sizes, everything = [], [], [], set()
    with StandIn(corpus, robots=ROBOTS) as site:
        for week in range(weeks):
            del site.requests[:]
            began = virtual.now()
            taken = run(site, configure, tmp_path / "papers", max_papers=20)
            seconds.append(virtual.now() - began)
            usable = [entry for entry in site.corpus.current() if is_open(entry)]
            usable.sort(key=lambda entry: (entry.submitted.date(), entry.arxiv_id))
            newest = [entry.arxiv_id for entry in usable[-20:]]
            assert taken == sorted(newest)
            everything |= set(taken)
            requests.append(sum(not r.path.startswith("/pdf") for r in site.requests))
            sizes.append(
                sum(p.stat().st_size for p in store.glob("catalogues/**/*") if p.is_file())
            )
            assert {p.parent.name for p in store.glob("papers/*/*.json")} == everything
            virtual.sleep(7 * 24 * 3600)
            after = 7 * a_day * (week + 1)
            news = light(live_corpus(7, a_day=a_day, seed=week + 2, after=after))
            site.corpus = Corpus((*site.corpus.entries, *news.entries))
    assert max(requests) <= 8
    assert max(seconds) <= 1.5 * seconds[0], "no run takes longer for what came before it"
    assert max(sizes[1:]) <= 3 * sizes[1]
    assert clock.today() > corpus.entries[0].submitted.date() + timedelta(days=7 * weeks)
