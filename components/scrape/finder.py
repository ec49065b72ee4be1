"""Find the papers of a question that may be used, the newest first, reading on only as long as
more are wanted.

Each source is asked until it fails; then the next one goes on where it was. When all fail, the
site's patience decides whether they are asked again."""

from collections.abc import Iterator
from datetime import date

from components.scrape import clock
from components.scrape.catalogue import Catalogue
from components.scrape.config import ScrapeConfig
from components.scrape.details import Details
from components.scrape.site import Site
from components.scrape.source import (
    ONE_DAY,
    Batch,
    Listing,
    Question,
    Reject,
    Source,
    Window,
    merged,
)
from components.shared.errors import SourceError
from components.shared.http import FetchError, Outcome
from components.shared.licences import allowed_names, model_licence, ruling
from components.shared.progress import say
from components.shared.teachers import terms

NO_PDF = "no PDF offered"


class Finder:
    """The papers of a question; what cannot be used is collected in `rejects`."""

    def __init__(
        self, config: ScrapeConfig, site: Site, catalogue: Catalogue, details: Details
    ) -> None:
        self.config, self.site, self.catalogue, self.details = config, site, catalogue, details
        self.sources: list[Source] = []
        self.question = Question(config)
        self.rejects: dict[str, Reject] = {}
        self.matching = 0  # papers of the question that were looked at
        self.used: list[str] = []  # names of the sources that gave something
        self.exhausted = False  # every paper of the question was looked at
        self._seen: set[str] = set()
        self._terms = (
            terms(config.teacher, config.teacher_model),
            model_licence(config.base_model),
        )
        self._allowed = allowed_names(config.allow_licences)

    def usable(self) -> Iterator[Listing]:
        """Yield the papers that may be used, complete; raise SourceError where no source
        answers."""
        for listing in self._matching():
            self.matching += 1
            reject = self._reject(listing)
            if reject:
                self.rejects[listing.arxiv_id] = reject
            else:
                yield listing

    def may_use(self, listing: Listing) -> bool:
        """Tell whether a complete paper may be used."""
        return self._reject(listing) is None

    def _reject(self, listing: Listing) -> Reject | None:
        if not listing.has_pdf:
            why = "withdrawn" if listing.withdrawn else "never had one"
            about = "; ".join(filter(None, (why, listing.title, listing.comments)))
            return Reject(listing.arxiv_id, NO_PDF, about)
        teacher, base = self._terms
        found = ruling(listing.licence, teacher, base, self._allowed)
        if found.allowed:
            return None
        return Reject(listing.arxiv_id, found.reason, f"{found.source}; {listing.title}")

    def _matching(self) -> Iterator[Listing]:
        """Yield the papers that match, complete, the newest first."""
        today = clock.today()
        if self.catalogue.until is not None:
            self._catch_up(self.catalogue.until)
            self.catalogue.until = today
            yield from self._due()
        first, end = self.config.first_day, today + ONE_DAY
        if self.config.end_day:
            end = min(end, self.config.end_day)
        window = Window(first, min(end, self.catalogue.reached))
        if window.first >= window.end:
            self.exhausted = True
            return
        for batch in self._batches(window):
            self._take_in(batch)
            self.catalogue.reached, self.catalogue.until = batch.reached, today
            yield from self._due()
        self.exhausted = True

    def _catch_up(self, until: date) -> None:
        """Read what is new since the last run, with an overlap where only days of submission are
        told."""
        told = self.details.changed_since(until - ONE_DAY)
        overlap = 1 if told else self.config.overlap_days
        first = max(self.config.first_day, until - overlap * ONE_DAY)
        for listing in self.details.oai.known.values():
            self._keep(listing)
        window = Window(first, clock.today() + ONE_DAY)
        for batch in self._batches(window):
            self._take_in(batch)

    def _batches(self, window: Window) -> Iterator[Batch]:
        """Yield the batches of a window from the first source that gives them."""
        while True:
            told: list[FetchError] = []
            for source in self.sources:
                try:
                    for batch in source.batches(window):
                        if source.name not in self.used:
                            self.used.append(source.name)
                        yield batch
                        window = Window(window.first, min(window.end, batch.reached))
                        if batch.reached <= window.first:
                            return
                except FetchError as error:
                    if error.outcome is Outcome.STOP:
                        raise
                    told.append(error)
                    say("scrape", f"{source.name} gives no list: {error}")
            later = any(error.outcome is Outcome.LATER for error in told)
            if not later or not self.site.rest():
                reasons = "; ".join(dict.fromkeys(map(str, told)))
                problem = f"{self.config.root} gave no list of papers: {reasons}"
                raise SourceError(problem, "run again later")

    def _take_in(self, batch: Batch) -> None:
        for reject in batch.rejects:
            self.rejects.setdefault(reject.item, reject)
        for listing in batch.listings:
            self._keep(listing)

    def _keep(self, listing: Listing) -> None:
        """Remember a paper that may match, with the most that is told of it."""
        held = self.catalogue.listings.get(listing.arxiv_id)
        if held and held.complete and not listing.complete:
            return
        if held and not held.complete and listing.complete:
            listing = merged(held, listing)
        if listing.day >= self.config.first_day and self.question.matches(listing) is not False:
            self.catalogue.listings[listing.arxiv_id] = listing
        elif held:
            del self.catalogue.listings[listing.arxiv_id]

    def _due(self) -> Iterator[Listing]:
        """Yield the matching papers that are certain to be the newest of those not yet yielded."""
        waiting = self._waiting()
        self.details.prepare(waiting, max(self.catalogue.reached, self.config.first_day))
        for listing in self.details.oai.known.values():
            self._keep(listing)
        for listing in self._waiting():
            complete = self._complete(listing)
            if complete is None:
                continue
            self._keep(complete)
            if complete.day < self.catalogue.reached:
                continue  # older than its list said: its turn comes
            self._seen.add(listing.arxiv_id)
            if self.question.in_days(complete) and self.question.matches(complete):
                yield complete

    def _waiting(self) -> list[Listing]:
        reached = self.catalogue.reached
        found = [
            paper
            for name, paper in self.catalogue.listings.items()
            if paper.day >= reached and name not in self._seen
        ]
        return sorted(found, key=lambda paper: paper.order, reverse=True)

    def _complete(self, listing: Listing) -> Listing | None:
        while True:
            try:
                return listing if listing.complete else self.details.of(listing)
            except FetchError as error:
                if error.outcome is Outcome.STOP:
                    raise
                if error.outcome is Outcome.LATER and self.site.closed and self.site.rest():
                    continue
                self._seen.add(listing.arxiv_id)
                detail = f"{error.detail}; {listing.title}"
                self.rejects[listing.arxiv_id] = Reject(listing.arxiv_id, error.reason, detail)
                return None

    def oldest_seen(self) -> date:
        """Return the day of the oldest paper that was looked at."""
        days = [paper.day for name, paper in self.catalogue.listings.items() if name in self._seen]
        return min(days, default=date.min)
