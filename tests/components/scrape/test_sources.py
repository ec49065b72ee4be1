"""Search pages of every size and the API give the same papers: those of the corpus's own truth, none more or fewer."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.scrape.catalogue import Catalogue
from components.scrape.config import ScrapeConfig
from components.scrape.core import open_source
from components.scrape.details import DetailsReader
from components.scrape.site import Site
from components.scrape.source import Source, in_days
from components.scrape.standin.corpus import Corpus, Entry
from components.scrape.standin.server import StandIn
from components.shared.errors import SourceError
from components.shared.store import FolderStore
from tests.components.scrape.conftest import make_entry

pytestmark = pytest.mark.soak

LIMIT = 400  # results shown of one question, instead of 10,000
BORDERS = (
    "2024-04-17T23:59:59Z",
    "2024-04-18T00:00:00Z",
    "2024-04-18T03:59:59Z",
    "2024-04-18T04:00:00Z",
    "2024-04-18T04:55:59Z",
    "2024-04-18T04:56:00Z",
    "2024-05-31T23:59:59Z",
    "2024-06-01T00:00:00Z",
    "2024-06-01T03:59:59Z",
    "2024-06-01T04:56:00Z",
)
CATEGORIES = (
    ("cs.CL",),
    ("cs.LG", "cs.CL"),
    ("stat.ML", "cs.LG"),
    ("math-ph", "hep-th"),
    ("astro-ph.GA",),
)


def invented_corpus() -> Corpus:
    """Return 1,060 papers of three decades: revised and withdrawn ones, old ids, long bylines, hostile titles."""
    chance = random.Random(1)
    entries = []
    for number in range(1_050):
        day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(300 * 24 * 60))
        entries.append(_paper(f"{day:%y%m}.{number:05d}", number, day, chance))
    for number, moment in enumerate(BORDERS):
        day = datetime.fromisoformat(moment)
        entries.append(_paper(f"{day:%y%m}.{90_000 + number:05d}", 2_000 + number, day, chance))
    for number, (name, moment) in enumerate(
        (("hep-th/9901001", "1999-01-03"), ("math/0703001", "2007-03-01"))
    ):
        day = datetime.fromisoformat(f"{moment}T12:00:00Z")
        entries.append(_paper(name, 3_000 + number, day, chance))
    return Corpus(tuple(sorted(entries, key=lambda entry: entry.arxiv_id)))


def _paper(name: str, number: int, day: datetime, chance: random.Random) -> Entry:
    version = 1 + (number % 9 == 0) * chance.randrange(1, 4)
    title = f"Part {number} of <language> models & $\\alpha$-stable “things”"
    return make_entry(
        name,
        title=title + " gamma" * (number < 200) + " delta" * (number < 50),
        abstract="It is about x < y and Großmann's sparse attention."
        if number % 2
        else "Attention that is sparse.",
        authors=tuple(f"Author {part} Ñame" for part in range(30 if number % 100 == 0 else 2)),
        categories=CATEGORIES[number % len(CATEGORIES)],
        submitted=day.isoformat(),
        revised=day + timedelta(days=40, minutes=number) if version > 1 else day,
        version=version,
        withdrawn=number % 50 == 7,
        comments="rareword" if number == 500 else "",
    )


CORPUS = invented_corpus()
EARLY = {"published_after": "1991-01-01"}


@dataclass
class Question:
    """Knobs, and what they ask for in plain Python."""

    knobs: dict[str, Any]
    holds: Callable[[Entry], bool] = lambda entry: True
    count: int | None = None
    newest: int = 5_000
    label: str = field(default="")


QUESTIONS = (
    Question({"query": "*", **EARLY}, label="all, beyond the limit of results"),
    Question({"query": "*"}, label="all since the default day"),
    Question({"query": "*", "published_before": "2024-06-01"}, label="both borders"),
    Question(
        {"query": "*", "published_after": "2024-05-31", "published_before": "2024-06-01"},
        label="one day",
    ),
    Question({"query": "gamma", **EARLY}, lambda e: "gamma" in e.title, 200, label="200 results"),
    Question({"query": "delta", **EARLY}, lambda e: "delta" in e.title, 50, label="50 results"),
    Question(
        {"query": "gamma", "max_papers": 25, **EARLY},
        lambda e: "gamma" in e.title,
        25,
        25,
        label="the newest 25",
    ),
    Question({"query": "*", "max_papers": 30}, count=30, newest=30, label="the newest 30 of many"),
    Question(
        {"query": "*", "categories": ("cs.CL",), "cross_lists": False},
        lambda e: e.categories[0] == "cs.CL",
        label="a primary category",
    ),
    Question(
        {"query": "*", "categories": ("hep-th", "astro-ph"), **EARLY},
        lambda e: bool({"hep-th", "astro-ph.GA"} & set(e.categories)),
        label="a category and an archive with cross-lists",
    ),
    Question(
        {"query": '"sparse attention" models', "field": "all"},
        lambda e: "sparse att" in e.abstract,
        label="a phrase",
    ),
    Question(
        {"query": "29", "field": "author", **EARLY},
        lambda e: len(e.authors) == 30,
        label="a cut-off author",
    ),
    Question(
        {"query": "rareword", "field": "comments", **EARLY},
        lambda e: e.comments != "",
        1,
        label="one paper",
    ),
    Question(
        {"query": "*", **EARLY, "published_before": "2008-01-01"},
        count=2,
        label="ids of the old kind",
    ),
)


def truth(question: Question, config: ScrapeConfig) -> list[tuple[Any, ...]]:
    """Return what the corpus holds, the newest first."""
    from zoneinfo import ZoneInfo

    found = [
        entry
        for entry in CORPUS.entries
        if question.holds(entry)
        and config.published_after <= f"{entry.submitted:%Y-%m-%d}"
        and (not config.published_before or f"{entry.submitted:%Y-%m-%d}" < config.published_before)
    ]
    eastern = ZoneInfo("America/New_York")
    found.sort(
        key=lambda entry: (entry.submitted.astimezone(eastern).date(), entry.arxiv_id), reverse=True
    )
    return [
        (
            entry.arxiv_id,
            entry.version,
            entry.title,
            f"{entry.submitted:%Y-%m-%d}",
            entry.categories,
        )
        for entry in found[: question.newest]
    ]


def answer(config: ScrapeConfig, source: Source, reader: DetailsReader) -> list[tuple[Any, ...]]:
    """Return what a source gives."""
    catalogue = Catalogue("unsaved")
    catalogue.update(config, source, config.max_papers)
    found = []
    for listing in catalogue.newest(config):
        details = reader.of(listing)
        if (
            in_days(datetime.fromisoformat(details.submitted).date(), config)
            and len(found) < config.max_papers
        ):
            row = (
                listing.arxiv_id,
                details.version,
                listing.title,
                details.submitted,
                tuple(listing.categories),
            )
            assert listing.more_authors == (config.source == "search" and len(details.authors) > 25)
            found.append(row)
    return found


@pytest.fixture(scope="module")
def site() -> Iterator[StandIn]:
    with StandIn(CORPUS, result_limit=LIMIT) as standin:
        yield standin


WAYS = (("search", 25), ("search", 50), ("search", 200), ("api", 200), ("api", 25))


def test_every_source_and_page_size_gives_the_truth(site: StandIn, tmp_path: Path) -> None:
    assert len(CORPUS.entries) > 1_000
    assert sum(entry.withdrawn for entry in CORPUS.entries) > 10
    common: dict[str, Any] = {"site": site.url, "seconds_between_requests": 0, "timeout_s": 120}
    common |= {
        "store": str(tmp_path),
        "state": str(tmp_path / "state"),
        "result_limit": LIMIT,
        "max_requests": 99_999,
    }
    wrong = []
    with ExitStack() as stack:
        http = stack.enter_context(Site(ScrapeConfig(**common)))
        opened = {
            name: stack.enter_context(open_source(ScrapeConfig(**common), http, name))
            for name, _size in WAYS
        }
        for name, size in WAYS:
            for question in QUESTIONS:
                config = ScrapeConfig(
                    **{
                        "max_papers": 5_000,
                        **common,
                        **question.knobs,
                        "page_size": size,
                        "source": name,
                    }
                )
                reader = DetailsReader(config, http, FolderStore(tmp_path / name), name)
                source: Any = type(opened[name]).__new__(type(opened[name]))
                source.__dict__.update(opened[name].__dict__, config=config)
                expected, found = truth(question, config), answer(config, source, reader)
                assert question.count in (None, len(expected)), question.label
                if found != expected:
                    wrong.append((name, size, question.label, set(found) ^ set(expected)))
    assert wrong == []


def test_a_paper_announced_while_pages_are_read_neither_hides_nor_doubles_another(
    configure: Callable[..., ScrapeConfig],
) -> None:
    papers = [make_entry(f"2406.{number:05d}") for number in range(1, 61)]
    late = [(number, make_entry(f"2406.{60 + number:05d}")) for number in (2, 3)]
    with StandIn(Corpus(tuple(papers)), arrivals=late) as standin:
        config = configure(standin.url, page_size=25, max_papers=500, source="api")
        with Site(config) as http, open_source(config, http, "api") as source:
            catalogue = Catalogue("unsaved")
            catalogue.update(config, source, 500)
        assert sorted(catalogue.listings) == [entry.arxiv_id for entry in standin.corpus.entries]
        assert len(catalogue.listings) == 62


def test_fewer_papers_than_announced_are_an_error_with_the_difference(
    configure: Callable[..., ScrapeConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.scrape import export_api

    parse = export_api.parse_feed

    def lossy(xml: bytes, start: int, size: int) -> Any:
        page = parse(xml, start, size)
        return type(page)(page.first, page.last, page.total, page.listings[:-1])

    monkeypatch.setattr(export_api, "parse_feed", lossy)
    with StandIn(Corpus((make_entry("2406.00001"), make_entry("2406.00002")))) as standin:
        config = configure(standin.url, source="api")
        told = r"announced 2 papers and listed 1 \(\+1\)"
        with (
            Site(config) as http,
            open_source(config, http, "api") as source,
            pytest.raises(SourceError, match=told),
        ):
            Catalogue("unsaved").update(config, source, 10)


def test_one_day_with_more_papers_than_a_site_shows_is_an_error(
    configure: Callable[..., ScrapeConfig],
) -> None:
    papers = Corpus(tuple(make_entry(f"2406.{number:05d}") for number in range(1, 61)))
    with StandIn(papers, result_limit=50) as standin:
        config = configure(standin.url, page_size=25, result_limit=50, max_papers=500, source="api")
        told = "2024-06-20 alone has 60 papers and the site shows 50"
        with (
            Site(config) as http,
            open_source(config, http, "api") as source,
            pytest.raises(SourceError, match=told),
        ):
            Catalogue("unsaved").update(config, source, 500)
