"""A stand-in world that is as large, as closed and as moody as arXiv of 2026: the profile
`live-like`."""

import random
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from components.scrape import clock
from components.scrape.standin.corpus import Corpus, Entry, sample_corpus

PAPERS_A_DAY = 110
OPEN_SHARE = 0.13  # of papers under CC BY, CC BY-SA or CC0
DAYS = 28
OPEN = ("licenses/by/4.0/", "licenses/by/4.0/", "licenses/by-sa/4.0/", "publicdomain/zero/1.0/")
CLOSED = (
    "http://arxiv.org/licenses/nonexclusive-distrib/1.0/",
    "http://creativecommons.org/licenses/by-nc-nd/4.0/",
    "http://creativecommons.org/licenses/by-nc-sa/4.0/",
)
OTHER_CATEGORIES = ((), ("cs.AI",), ("cs.LG",), ("cs.LG", "stat.ML"))

# What www.arxiv.org told crawlers in June 2026, shortened to what matters here.
ROBOTS = """# {notice}
User-agent: *
Crawl-delay: 15
Allow: /archive
Allow: /year
Allow: /list
Allow: /abs
Allow: /pdf
Allow: /html
Allow: /catchup
Disallow: /src
Disallow: /e-print
Disallow: /format
Disallow: /oai2
Disallow: /search
Disallow: /api
"""
# The API refuses for hours, and tells so in different ways; OAI-PMH is busy now and then, without a
# time to wait.
MOODS = {"/api": ["rate*", "429*", "slow:100*"], "/oai": ["503:0*", "ok*", "ok*"]}


def live_corpus(
    days: int = DAYS,
    *,
    a_day: int = PAPERS_A_DAY,
    seed: int = 1,
    open_share: float = OPEN_SHARE,
    after: int = 0,
) -> Corpus:
    """Return the papers of the days up to yesterday, which rest on the texts of the sample papers.

    They are numbered from `after` + 1 in each month.
    """
    samples, chance = sample_corpus().entries, random.Random(seed)
    today = clock.today()
    entries: list[Entry] = []
    numbers: dict[str, int] = {}
    for age in range(days, 0, -1):
        day = today - timedelta(days=age)
        seconds = sorted(chance.randrange(24 * 3600) for _ in range(a_day))
        for second in seconds:
            moment = datetime.combine(day, time(), UTC) + timedelta(seconds=second)
            month = f"{day:%y%m}"
            numbers[month] = numbers.get(month, after) + 1
            name = f"{month}.{numbers[month]:05d}"
            entries.append(
                _paper(name, samples[len(entries) % len(samples)], moment, chance, open_share)
            )
    return Corpus(tuple(entries))


def _paper(
    name: str, sample: Entry, moment: datetime, chance: random.Random, open_share: float
) -> Entry:
    now = datetime.fromtimestamp(clock.now(), UTC)
    is_revised = chance.random() < 0.15
    revised = min(moment + timedelta(days=chance.randrange(1, 9)), now) if is_revised else moment
    licence = chance.choice(CLOSED)
    if chance.random() < open_share:
        licence = f"http://creativecommons.org/{chance.choice(OPEN)}"
    return replace(
        sample,
        arxiv_id=name,
        version=1 + is_revised,
        title=f"{sample.title}, Study {name}",
        abstract=f"{sample.abstract} The study is about language models.",
        categories=("cs.CL", *chance.choice(OTHER_CATEGORIES)),
        submitted=moment,
        revised=revised,
        licence=licence,
        withdrawn=is_revised and chance.random() < 0.1,
    )
