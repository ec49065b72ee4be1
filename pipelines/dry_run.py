"""`arxtune run --dry-run`: what a run would take, pay, train and be able to show.

Lists are read, and nothing else is fetched, paid, trained or kept. Each figure comes from what the
stage itself computes; what only the papers can tell, their length, is what they say in their
comments, or usual.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from components.scrape.source import Listing
from components.shared.bases import TINY
from components.shared.feasibility import VerdictNeeds, held_out
from components.shared.records import Adapter
from components.shared.store import open_store
from components.shared.teachers import OURS
from components.shared.text import clean_line
from pipelines.local import start_servers
from pipelines.plan import training_plan
from pipelines.profile import STAND_IN, Profile

PAGES = re.compile(r"\b(\d{1,3}) pages\b")
USUAL_PAGES = 10  # eight papers of 2024 on language models have 5 to 22
USUAL_CHARACTERS = 3_500  # of a page; 3,470 in those papers
STAND_IN_CHARACTERS = 1_600  # of a page of an invented paper
TASKS_A_PAGE, OUR_TASKS_A_PAGE = 3, 4  # that are left after curate
TOKENS = 200  # of an example


def dry_run(profile: Profile, home: Path, papers: Path | None) -> Iterator[str]:
    """Yield the lines of a forecast."""
    with ExitStack() as stack:
        parameters = start_servers(profile, home, papers, stack)
        del parameters["settings"]
        of_samples = profile.parameters["site"] == STAND_IN and papers is None
        profile = Profile(parameters, profile.settings)
        chosen, in_sight = yield from _papers(profile, stack)
        pages = [_pages(listing) for listing in chosen]
        characters = STAND_IN_CHARACTERS if of_samples else USUAL_CHARACTERS
        yield f"teacher   {_teacher(profile, pages, characters)}"
        a_page = OUR_TASKS_A_PAGE if profile.parameters["teacher"] in OURS else TASKS_A_PAGE
        rows = a_page * sum(pages) // max(1, len(pages))  # of a paper
        config = profile.config("scrape")
        testing = held_out(in_sight, config.seed, VerdictNeeds(), own=config.own_papers)
        yield f"training  {_training(profile, rows * (len(in_sight) - len(testing)))}"
        yield f"verdict   {_power(profile, testing, rows)}"


def _papers(
    profile: Profile, stack: ExitStack
) -> Generator[str, None, tuple[list[Listing], set[str]]]:
    """Yield what would be taken and passed over; return the papers, and all those in sight."""
    from components.scrape.core import Scrape

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arxtune-dry-")))
    scrape = Scrape(profile.config("scrape"), folder, stack)
    chosen = scrape.look()
    for listing in chosen:
        name = f"{listing.arxiv_id}v{listing.version}"
        yield f"  {name:<14} {listing.licence:<48} {clean_line(listing.title)[:60]}"
    passed_over = Counter(reject.reason for reject in scrape.finder.rejects.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in passed_over.items())
    yield f"papers    {len(chosen)} would be taken; passed over: {reasons or 'none'}"
    return chosen, scrape.in_sight(chosen)


def _pages(listing: Listing) -> int:
    told = PAGES.search(listing.comments)
    return int(told[1]) if told else USUAL_PAGES


def _teacher(profile: Profile, pages: Sequence[int], characters: int) -> str:
    """Return the teacher's forecast, by its own rules, for pages of so many characters."""
    from components.generate.budget import BATCH_SHARE, forecast
    from components.generate.core import make_teacher
    from components.generate.groq import GroqTeacher
    from components.generate.teacher import Request

    config = profile.config("generate")
    teacher = make_teacher(config)
    most = config.max_pages_per_paper or max(pages, default=0)
    count = sum(min(number, most) for number in pages)
    if not isinstance(teacher, GroqTeacher) or not count:
        return f"{teacher.name}: {count} pages to ask about, without a price"
    text = "x" * min(characters, config.max_page_characters)
    payload = teacher.payload(Request("", 1, 1, text, config.seed))
    share = BATCH_SHARE if config.teacher_mode == "batch" else 1.0
    line, _ = forecast(teacher.facts, [payload] * count, share)
    cap = f"; no more than ${config.max_dollars:g} is ever paid" if config.max_dollars else ""
    return f"{teacher.name}, {line}{cap}"


def _training(profile: Profile, examples: int) -> str:
    config = profile.config("finetune")
    if config.max_examples:
        examples = min(examples, config.max_examples)
    if not examples:
        return "nothing to train on"
    return training_plan(config, examples, TOKENS)


def _power(profile: Profile, testing: Collection[str], rows: int) -> str:
    """Return what the verdict would rest on, and the gain that it should find."""
    from components.evaluate.budget import coming_look
    from components.evaluate.history import expected_spread
    from components.evaluate.statistics import planned_gain

    base = profile.config("finetune").base_model
    adapter = Adapter(base=base, base_path=base * (base == TINY), trained=True, adapter_digest="")
    config = profile.config("evaluate").settled(adapter)
    if config.max_examples > 0 and testing:
        rows = min(rows, max(1, config.max_examples // len(testing)))
    told = f"about {rows * len(testing)} examples of {len(testing)} papers"
    needs = VerdictNeeds(config.min_test_papers, config.min_test_examples)
    if needs.missing(len(testing), rows * len(testing)):
        return f"{told}: too little data"
    store = open_store(config.store)
    look = coming_look(store, config.release, config.year_error, config.looks_per_year)
    spread, known_from = expected_spread(store, config.release, base)
    gain = planned_gain([rows] * len(testing), look.level, spread)
    return f"{told}: a true gain of {gain:.3f} should be found, by {known_from}"
