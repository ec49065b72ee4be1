"""Scrape: search, then fetch what the store does not have."""

from pathlib import Path
from typing import Any

from components.scrape.config import ScrapeConfig
from components.shared.errors import DataError
from components.shared.ledger import Ledger
from components.shared.progress import Progress, say
from components.shared.records import Paper, write_records
from components.shared.store import open_store


def scrape(config: ScrapeConfig, papers: Path) -> dict[str, Any]:
    """Find the newest papers of a question and fetch their PDFs."""
    from components.scrape.download import Downloader
    from components.scrape.search_page import PATH, search
    from components.scrape.site import Refusal, Site

    ledger, store = Ledger("scrape", "papers"), open_store(config.store)
    taken: list[Paper] = []
    with Site(config) as site:
        site.respect_robots(PATH)
        say("scrape", f"asking {config.root} for {config.query!r} since {config.published_after}")
        found = search(config, site.pace)
        say("scrape", f"found {found.announced:,}, taking the newest {len(found.listings):,}")
        downloader = Downloader(config, site, store, papers)
        progress = Progress("scrape", "papers", len(found.listings))
        too_old = 0
        for listing in found.listings:
            try:
                paper = downloader.paper(listing)
            except Refusal as refusal:
                about = "; ".join(part for part in (refusal.detail, listing.title, listing.comments) if part)
                ledger.drop(listing.arxiv_id, refusal.reason, about)
            else:
                taken += [paper] if paper else []
                too_old += paper is None
            progress.step(listing.arxiv_id)
    # The site shows Eastern days: what was listed for the day before may prove to be older than asked for.
    matching, listed = found.announced - too_old, len(found.listings) - too_old
    if not listed:
        problem = f"{config.query!r} since {config.published_after} found no papers at {config.root}"
        raise DataError(problem, "widen scrape.query or move scrape.published_after back")
    ledger.keep(len(taken))
    ledger.facts |= {
        "site": config.site_kind,
        "query": config.query,
        "published_after": config.published_after,
        "found": matching,
        "taken": listed,
        "cut_off": f"found {matching}, took {listed}, max_papers {config.max_papers}",
        "requests": site.pace.requests,
        "from_store": downloader.from_store,
        "fetched": downloader.fetched,
    }
    taken.sort(key=lambda paper: paper.arxiv_id)
    write_records(papers / "papers.jsonl", taken)
    return ledger.write(papers)
