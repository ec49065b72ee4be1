"""Scrape: find the newest papers of a question that may be used, then fetch what the store does
not have."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.scrape.config import ScrapeConfig
from components.scrape.source import Listing, Source
from components.scrape.stored import age_of, stored_papers, update_stored
from components.shared import corpus
from components.shared.errors import ArxtuneError, ConfigError, DataError, SourceError
from components.shared.feasibility import TooLittleData, require_verdict
from components.shared.http import FetchError, Outcome
from components.shared.ledger import Ledger
from components.shared.progress import Progress, say
from components.shared.records import Paper, write_records
from components.shared.store import open_store

if TYPE_CHECKING:
    from components.scrape.browser import Browser
    from components.scrape.oai import OaiSource
    from components.scrape.site import Site


def scrape(config: ScrapeConfig, papers: Path) -> dict[str, Any]:
    """Find the newest papers of a question that may be used, and fetch their PDFs."""
    with ExitStack() as stack:
        return Scrape(config, papers, stack).run()


class Scrape:
    """One run: what it asks, what it took, and why it asks no more."""

    def __init__(self, config: ScrapeConfig, folder: Path, stack: ExitStack) -> None:
        from components.scrape.browser import Browser
        from components.scrape.catalogue import Catalogue
        from components.scrape.details import Details
        from components.scrape.download import Downloader
        from components.scrape.finder import Finder
        from components.scrape.oai import OaiSource
        from components.scrape.site import Site

        self.config, self.folder, self.store = config, folder, open_store(config.store)
        self.ledger = Ledger("scrape", "papers")
        self.site = stack.enter_context(Site(config))
        self.browser = stack.enter_context(Browser(config))
        self.downloader = stack.enter_context(Downloader(config, self.site, self.store, folder))
        self.catalogue = Catalogue.load(self.store, config)
        self.oai = OaiSource(config, self.site)
        self.finder = Finder(
            config, self.site, self.catalogue, Details(config, self.site, self.oai)
        )
        self.taken: list[Paper] = []
        self.failed: dict[str, FetchError] = {}
        self.offline: FetchError | None = None  # why nothing more is asked of the site

    def run(self) -> dict[str, Any]:
        """Run the stage and return its summary."""
        config, count = self.config, self._count()
        usable = self.finder.usable()
        try:
            chosen = self._choose(usable, count)
        finally:
            self.catalogue.save(self.store, config.root, count)
        self._update_stored()
        self._forecast(chosen)
        self._fetch(chosen, usable, count)
        if not self.finder.exhausted:
            self.catalogue.trim(self.finder.oldest_seen())
        self.catalogue.save(self.store, config.root, count)
        self._tell_rejects()
        summary = self._write()
        if not self.taken:
            raise self._nothing()
        return summary

    def look(self) -> list[Listing]:
        """Return the papers that a run would take; nothing but lists is asked for."""
        return self._choose(self.finder.usable(), self._count())

    def in_sight(self, chosen: Collection[Listing]) -> set[str]:
        """Return the chosen papers and those of the corpus that a run will add to them."""
        papers = {listing.arxiv_id for listing in chosen}
        if not self.config.own_papers:
            question = corpus.Question.asked(self._question())
            papers |= {held.paper for held in corpus.held_papers(self.store, question)}
        return papers

    def _count(self) -> int:
        config = self.config
        depth = max(config.max_papers, self.catalogue.depth) if config.backfill else 0
        return depth + config.backfill or config.max_papers

    def _choose(self, usable: Iterator[Listing], count: int) -> list[Listing]:
        """Return the newest papers that may be used, all known before the first PDF is asked
        for."""
        config = self.config
        chosen: list[Listing] = []
        say(
            "scrape",
            f"looking for {config.query!r} since {config.published_after} at {config.root}",
        )
        if not config.contact and not config.on_loopback:
            told = "the site's operators cannot reach you, and may throttle sooner"
            say("scrape", f"scrape.contact is not set: {told}")
        try:
            self.site.read_robots()
            self.finder.sources = list(choose_sources(config, self.site, self.browser, self.oai))
            for listing in usable:
                chosen.append(listing)
                if len(chosen) == count:
                    break
        except (FetchError, SourceError) as error:
            self._settle_for_stored(error, chosen, count)
        return chosen

    def _settle_for_stored(self, error: ArxtuneError, chosen: list[Listing], count: int) -> None:
        """Complete what was chosen with what the store has; raise SourceError where that is
        nothing."""
        if isinstance(error, FetchError):
            self.offline = error
        named = {listing.arxiv_id for listing in chosen}
        stored = stored_papers(self.store, self.finder.question)
        held = [
            (listing, fetched)
            for listing, fetched in stored
            if listing.arxiv_id not in named and self.finder.may_use(listing)
        ][: count - len(chosen)]
        if not held and not chosen:
            if isinstance(error, SourceError):
                raise error
            raise SourceError(f"{self.config.root} does not answer: {error}", "run again later")
        say("scrape", f"{error}; going on with what is known")
        if held:
            say(
                "scrape",
                f"{len(held)} papers come from the store, the last is {age_of(held)} days old",
            )
        chosen += [listing for listing, _ in held]

    def _update_stored(self) -> None:
        changed = [
            paper for paper in self.oai.known.values() if paper.version > 1 or paper.withdrawn
        ]
        count = update_stored(self.store, self.config, changed)
        if count:
            say("scrape", f"{count} stored papers were withdrawn or have another licence now")

    def _forecast(self, chosen: list[Listing]) -> None:
        """Tell what a verdict would rest on; the stages that cost money end where it is too
        little."""
        config = self.config
        in_sight = self.in_sight(chosen)
        try:
            told = require_verdict(
                in_sight, config.seed, own=config.own_papers, train_anyway=config.train_anyway
            )
        except TooLittleData as problem:
            told = str(problem)
        say("scrape", told)

    def _fetch(self, chosen: list[Listing], usable: Iterator[Listing], count: int) -> None:
        """Take papers until there are enough; one that fails is replaced by the next that may be
        used."""
        progress = Progress("scrape", "papers", min(count, len(chosen)))
        for listing in chosen:
            self._take(listing)
            progress.step(listing.arxiv_id)
        while len(self.taken) < count and not self.offline:
            try:
                listing = next(usable)
            except StopIteration:
                break
            except (FetchError, SourceError) as error:
                say("scrape", f"{error}; going on with what is known")
                break
            chosen.append(listing)
            self._take(listing)
        for listing in chosen:  # a second try for what may have been a bad moment
            failure = self.failed.get(listing.arxiv_id)
            if failure and failure.outcome is Outcome.LATER and not self.offline:
                self._take(listing)

    def _take(self, listing: Listing) -> None:
        """Take one paper, or note why not; where the site refuses all PDFs, wait or ask no more."""
        from components.scrape.site import BudgetSpentError

        self.failed.pop(listing.arxiv_id, None)
        try:
            paper = self._paper(listing)
        except BudgetSpentError as spent:
            self.offline = FetchError("no request left", Outcome.LATER, spent.problem)
            self._take(listing)
        except FetchError as error:
            stop = error.outcome is Outcome.STOP
            refused = stop or self.site.is_closed(self.config.pdf_root)
            if self.offline or not refused:
                self.failed[listing.arxiv_id] = error
                return
            if stop or not self.site.rest():
                say("scrape", f"no more PDFs are asked for: {error}")
                self.offline = error
            self._take(listing)
        else:
            self.taken.append(paper)

    def _paper(self, listing: Listing) -> Paper:
        source = self.finder.used[0] if self.finder.used else "store"
        if not self.offline:
            return self.downloader.paper(listing, source)
        paper = self.downloader.stored(listing)
        if paper is None:
            raise FetchError(self.offline.reason, Outcome.LATER, "not asked for")
        return paper

    def _tell_rejects(self) -> None:
        """Put all that was passed over into the ledger, and tell the reasons."""
        for reject in self.finder.rejects.values():
            self.ledger.drop(reject.item, reject.reason, reject.detail)
        for name, error in self.failed.items():
            listing = self.catalogue.listings.get(name)
            about = (listing.title, listing.comments) if listing else ()
            detail = "; ".join(part for part in (error.detail, *about) if part)
            self.ledger.drop(name, error.reason, detail)
            self.downloader.remember(name, error)
        if self.ledger.rejects:
            say("scrape", f"{len(self.taken)} papers taken; passed over: {self._reasons()}")

    def _reasons(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.ledger.dropped.items())

    def _nothing(self) -> ArxtuneError:
        """Return the error of a run that took no paper."""
        config = self.config
        if self.offline:
            fix = "run again later: what is fetched already stays in the store"
            return SourceError(f"{config.root}: {self.offline}", fix)
        asked = f"{config.query!r} since {config.published_after}"
        if not self.ledger.rejects:
            fix = "widen scrape.query or move scrape.published_after back"
            return DataError(f"{asked} found no papers at {config.root}", fix)
        problem = f"{asked}: no paper can be used ({self._reasons()})"
        return DataError(problem, "see allow_licences, and rejects.jsonl for each paper")

    def _write(self) -> dict[str, Any]:
        config, found, seen = self.config, self.finder.matching, len(self.ledger.rejects)
        self.ledger.keep(len(self.taken))
        self.ledger.facts |= {
            "site": config.site_kind,
            "question": self._question(),
            "source": "+".join(self.finder.used) or "store",
            "query": config.query,
            "published_after": config.published_after,
            "found": found,
            "taken": len(self.taken) + seen,
            "cut_off": f"found {found}, took {len(self.taken)}, max_papers {config.max_papers}",
            "requests": self.site.requests,
            "from_store": self.downloader.from_store,
            "fetched": self.downloader.fetched,
        }
        self.taken.sort(key=lambda paper: paper.arxiv_id)
        write_records(self.folder / "papers.jsonl", self.taken)
        return self.ledger.write(self.folder)

    def _question(self) -> dict[str, Any]:
        """Return what is asked: by this, curate finds the corpus that the papers belong to."""
        config = self.config
        return {
            "query": config.query,
            "field": config.field,
            "categories": list(config.asked_categories),
            "cross_lists": config.cross_lists,
            "published_after": config.published_after,
            "published_before": config.published_before,
            "site": config.site_kind,
        }


def choose_sources(
    config: ScrapeConfig, site: "Site", browser: "Browser", oai: "OaiSource"
) -> Iterator[Source]:
    """Yield the sources of a question in the order in which they are asked."""
    from components.scrape.api import ApiSource
    from components.scrape.listing import ListSource
    from components.scrape.search import PATH, SearchSource

    wanted, automatic = config.source, config.source == "auto"
    has_lists = bool(config.asked_categories)
    may_search = config.accept_robots_risk or site.allows(PATH)
    if wanted == "search" and not may_search:
        fix = "take scrape.source=list; scrape.accept_robots_risk=true goes on anyway"
        raise ConfigError(f"{config.root}/robots.txt disallows {PATH}", fix)
    if wanted == "list" and not has_lists:
        fix = "name some by scrape.categories, or take scrape.source=oai"
        raise ConfigError("scrape.source=list: lists are of categories", fix)
    if wanted == "search" or (automatic and may_search):
        yield SearchSource(config, site, browser)
    elif automatic and has_lists:
        say("scrape", f"robots.txt disallows {PATH}: reading lists instead")
        yield ListSource(config, site, browser, recent_only=True)
    if wanted == "oai" or automatic:
        yield oai
    if wanted == "list" or (automatic and has_lists):
        yield ListSource(config, site, browser)
    if wanted == "api" or automatic:
        yield ApiSource(config, site)
