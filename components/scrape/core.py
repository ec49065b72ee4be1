"""Scrape: list the newest papers of a question, then fetch what the store does not have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.scrape.config import ScrapeConfig
from components.shared.errors import DataError, SourceError
from components.shared.ledger import Ledger
from components.shared.progress import Progress, say
from components.shared.records import Paper, write_records
from components.shared.store import Store, open_store

if TYPE_CHECKING:
    from components.scrape.catalogue import Catalogue
    from components.scrape.download import Downloader
    from components.scrape.site import Site
    from components.scrape.source import Listing, Source


def scrape(config: ScrapeConfig, papers: Path) -> dict[str, Any]:
    """Find the newest papers of a question and fetch their PDFs."""
    from components.scrape.details import DetailsReader
    from components.scrape.download import Downloader
    from components.scrape.site import Site

    ledger, store = Ledger("scrape", "papers"), open_store(config.store)
    with Site(config) as site:
        site.read_robots()
        source = choose_source(config, site)
        catalogue, count = find(config, site, store, source)
        listings = catalogue.newest(config)
        downloader = Downloader(
            config, site, store, papers, DetailsReader(config, site, store, source)
        )
        with downloader:
            taken, too_old = _take(listings, count, downloader, ledger)
        requests = site.requests
    found = catalogue.found(config) - (too_old if len(listings) == catalogue.found(config) else 0)
    listed = len(taken) + len(ledger.rejects)
    if not listed:
        problem = (
            f"{config.query!r} since {config.published_after} found no papers at {config.root}"
        )
        raise DataError(problem, "widen scrape.query or move scrape.published_after back")
    catalogue.save(store, min(count, len(listings)))
    ledger.keep(len(taken))
    ledger.facts |= {
        "site": config.site_kind,
        "source": source,
        "query": config.query,
        "published_after": config.published_after,
        "found": found,
        "taken": listed,
        "cut_off": f"found {found}, took {listed}, max_papers {config.max_papers}",
        "requests": requests,
        "from_store": downloader.from_store,
        "fetched": downloader.fetched,
    }
    taken.sort(key=lambda paper: paper.arxiv_id)
    write_records(papers / "papers.jsonl", taken)
    return ledger.write(papers)


def choose_source(config: ScrapeConfig, site: "Site") -> str:
    """Return "search" or "api"; raise SourceError for search pages that robots.txt disallows."""
    from components.scrape.search_page import PATH

    allowed = config.accept_robots_risk or site.allows(PATH)
    if config.source == "search" and not allowed:
        raise SourceError(
            f"{config.root}/robots.txt disallows {PATH}",
            "take scrape.source=api; scrape.accept_robots_risk=true goes on anyway",
        )
    if config.source == "auto" and not allowed:
        say("scrape", f"robots.txt disallows {PATH}: asking the API instead")
    return config.source if config.source != "auto" else "search" if allowed else "api"


def find(config: ScrapeConfig, site: "Site", store: Store, source: str) -> tuple["Catalogue", int]:
    """Bring what is known of the question up to date; return it with the number of papers to take from it."""
    from components.scrape.catalogue import Catalogue
    from components.scrape.refusal import Refusal

    catalogue = Catalogue.load(store, config, source)
    count = (
        max(config.max_papers, catalogue.depth) + config.backfill
        if config.backfill
        else config.max_papers
    )
    say(
        "scrape",
        f"asking the {source} of {config.root} for {config.query!r} since {config.published_after}",
    )
    if not config.contact and not config.on_loopback:
        say(
            "scrape",
            "scrape.contact is not set: the site's operators cannot reach you, and may throttle sooner",
        )
    with open_source(config, site, source) as opened:
        try:
            catalogue.update(config, opened, count)
        except Refusal as refusal:
            raise SourceError(
                f"{config.root} gave no list of papers: {refusal}", "run again later"
            ) from None
    catalogue.save(store, catalogue.depth)
    say("scrape", f"found {catalogue.found(config):,}, taking the newest {count:,} at most")
    return catalogue, count


@contextmanager
def open_source(config: ScrapeConfig, site: "Site", source: str) -> Iterator["Source"]:
    """Yield a source of listings; the browser of search pages ends with the block."""
    if source == "api":
        from components.scrape.export_api import ApiSource

        yield ApiSource(config, site)
        return
    from components.scrape.browser import open_browser
    from components.scrape.search_page import SearchSource, load_with

    with open_browser(config) as browser:
        yield SearchSource(config, site, load_with(browser))


def _take(
    listings: "list[Listing]", count: int, downloader: "Downloader", ledger: Ledger
) -> tuple[list[Paper], int]:
    """Fetch the newest `count` papers; what fails for now gets a second try at the end."""
    from components.scrape.download import NO_REQUEST
    from components.scrape.refusal import Refusal
    from components.scrape.site import BudgetSpentError

    taken: list[Paper] = []
    again: list[Listing] = []
    refused: dict[str, Refusal] = {}
    out_of_days = 0
    progress = Progress("scrape", "papers", min(count, len(listings)))
    waiting = iter(listings)
    for final in (False, True):
        for listing in again if final else waiting:
            try:
                paper = downloader.paper(listing)
            except BudgetSpentError as spent:
                refused.setdefault(listing.arxiv_id, Refusal(NO_REQUEST, str(spent)))
            except Refusal as refusal:
                refused[listing.arxiv_id] = refusal
                again += [listing] if refusal.later and not final else []
            else:
                refused.pop(listing.arxiv_id, None)
                taken += [paper] if paper else []
                out_of_days += paper is None
            if not final:
                progress.step(listing.arxiv_id)
                if len(taken) + len(refused) == count:
                    break
    by_id = {listing.arxiv_id: listing for listing in listings}
    for name, why in refused.items():
        about = (why.detail, by_id[name].title, by_id[name].comments)
        ledger.drop(name, why.reason, "; ".join(part for part in about if part))
        downloader.remember(name, why)
    return taken, out_of_days
