"""The stand-in's Atom API, after arXiv's own answers."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from html import escape

from components.scrape.standin.corpus import Corpus, Entry
from components.scrape.standin.words import (
    FIELDS,
    BadQueryError,
    Test,
    expression,
    holds,
    stems,
    tokens_of,
)

SUFFIX = re.compile(r" (?:Jr|Sr)\.?$| [IV]{2,4}$")


def feed(corpus: Corpus, parameters: Mapping[str, str], root: str) -> str:
    """Return the Atom feed that answers a query; raise BadQueryError for one that cannot be
    read."""
    try:
        start, size = int(parameters.get("start", 0)), int(parameters.get("max_results", 10))
    except ValueError:
        raise BadQueryError("start and max_results must be integers") from None
    test = parse_query(parameters.get("search_query", ""))
    found = [entry for entry in corpus.current() if test(entry)]
    found.sort(key=lambda entry: (entry.submitted, entry.arxiv_id))
    if parameters.get("sortOrder") != "ascending":
        found.reverse()
    entries = "".join(_entry(entry, root) for entry in found[start : start + size])
    return atom(entries, corpus.notice, len(found), start, size)


def atom(entries: str, notice: str, total: int, start: int, size: int) -> str:
    """Wrap entries as a feed."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
        f' xmlns:arxiv="http://arxiv.org/schemas/atom">\n<!-- {notice} -->\n<title>arXiv '
        "Query</title>\n"
        f"<opensearch:totalResults>{total}</opensearch:totalResults>\n"
        f"<opensearch:startIndex>{start}</opensearch:startIndex>\n"
        f"<opensearch:itemsPerPage>{size}</opensearch:itemsPerPage>\n{entries}</feed>\n"
    )


def error_entry(message: str) -> str:
    """Return the one entry of an error feed."""
    return f"<entry><id>http://arxiv.org/api/errors</id><title>Error</title><summary>{escape(message)}</summary></entry>"


def parse_query(text: str) -> Test:
    """Return the test that a search_query stands for; raise BadQueryError."""
    return expression(tokens_of(text), _clause)


def _clause(token: re.Match[str]) -> Test:
    field, text = token["field"] or "all", token["phrase"] or token["term"] or ""
    if field == "submittedDate" and token["low"]:
        low, high = (
            datetime.strptime(token[name], "%Y%m%d%H%M").replace(tzinfo=UTC)
            for name in ("low", "high")
        )
        return lambda entry: low <= entry.submitted <= high
    if field == "cat":
        return lambda entry: any(fnmatchcase(name, text) for name in entry.categories)
    if field not in FIELDS or text in ("AND", "OR", "ANDNOT"):
        raise BadQueryError(f"cannot read {token[0]!r}")
    wanted = stems(text)
    return lambda entry: holds(entry, FIELDS[field], wanted)


def _entry(entry: Entry, root: str) -> str:
    key = f"{entry.arxiv_id}v{entry.version}"
    authors = "".join(  # suffixes are lost on the way to the index
        f"<author><name>{escape(SUFFIX.sub('', name))}</name></author>\n" for name in entry.authors
    )
    categories = "".join(
        f'<category term="{name}" scheme="http://arxiv.org/schemas/atom"/>\n'
        for name in entry.categories
    )
    comment = ""
    if entry.comments:
        comment = f"<arxiv:comment>{escape(entry.comments)}</arxiv:comment>\n"
    return (
        f"<entry>\n<id>http://arxiv.org/abs/{key}</id>\n<title>"
        f"{escape(entry.raw_title or entry.title)}</title>\n"
        f"<updated>{entry.revised:%Y-%m-%dT%H:%M:%SZ}</updated>\n"
        f'<link href="{root}/abs/{key}" rel="alternate" type="text/html"/>\n'
        f'<link href="{root}/pdf/{key}" rel="related" type="application/pdf" title="pdf"/>\n'
        f"<summary>{escape(entry.abstract)}</summary>\n{categories}"
        f"<published>{entry.submitted:%Y-%m-%dT%H:%M:%SZ}</published>\n{comment}"
        f'<arxiv:primary_category term="{entry.categories[0]}"/>\n{authors}</entry>\n'
    )
