"""The machine interfaces of the stand-in: the Atom API and OAI-PMH's GetRecord, after arXiv's own answers."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from fnmatch import fnmatchcase
from html import escape

from components.scrape.standin.corpus import Corpus, Entry
from components.scrape.standin.words import holds, parse_words

Test = Callable[[Entry], bool]
FIELDS = {"ti": "title", "abs": "abstract", "au": "author", "co": "comments", "all": "all"}
TOKEN = re.compile(
    r"\s*(?:(?P<mark>[()])|(?P<word>ANDNOT|AND|OR)\b"
    r'|(?P<field>\w+):(?:\[(?P<low>\d+) TO (?P<high>\d+)\]|"(?P<phrase>[^"]*)"|(?P<term>[^\s()]+)))'
)


class BadQuery(Exception):
    """The API answers with an error feed of status 400."""


def feed(corpus: Corpus, parameters: Mapping[str, str], root: str) -> str:
    """Return the Atom feed that answers a query; raise BadQuery for one that cannot be read."""
    try:
        start, size = int(parameters.get("start", 0)), int(parameters.get("max_results", 10))
    except ValueError:
        raise BadQuery("start and max_results must be integers") from None
    found = [
        entry for entry in current(corpus) if parse_query(parameters.get("search_query", ""))(entry)
    ]
    by_update = parameters.get("sortBy") == "lastUpdatedDate"
    found.sort(
        key=lambda entry: (entry.revised if by_update else entry.submitted, entry.arxiv_id),
        reverse=parameters.get("sortOrder") != "ascending",
    )
    entries = "".join(_entry(entry, root) for entry in found[start : start + size])
    return atom(entries, corpus.notice, len(found), start, size)


def atom(entries: str, notice: str, total: int, start: int, size: int) -> str:
    """Wrap entries as a feed."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
        f' xmlns:arxiv="http://arxiv.org/schemas/atom">\n<!-- {notice} -->\n<title>arXiv Query</title>\n'
        f"<opensearch:totalResults>{total}</opensearch:totalResults>\n"
        f"<opensearch:startIndex>{start}</opensearch:startIndex>\n"
        f"<opensearch:itemsPerPage>{size}</opensearch:itemsPerPage>\n{entries}</feed>\n"
    )


def error_entry(message: str) -> str:
    """Return the one entry of an error feed."""
    return f"<entry><id>http://arxiv.org/api/errors</id><title>Error</title><summary>{escape(message)}</summary></entry>"


def current(corpus: Corpus) -> list[Entry]:
    """Return the papers in their current versions."""
    return list({entry.arxiv_id: entry for entry in corpus.entries}.values())  # in order of version


def parse_query(text: str) -> Test:
    """Return the test that a search_query stands for; raise BadQuery."""
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if not match:
            raise BadQuery(f"cannot read {text[at:]!r}")
        tokens.append(match)
        at = match.end()
    test = _any(tokens)
    if tokens:
        raise BadQuery(f"cannot read {tokens[0][0]!r}")
    return test


def _any(tokens: list[re.Match[str]]) -> Test:
    """Take clauses joined by AND, OR, ANDNOT off the front; all of one kind, as arXiv's own examples are."""
    test = _clause(tokens)
    while tokens and (word := tokens[0]["word"]):
        del tokens[0]
        test = _join(word, test, _clause(tokens))
    return test


def _join(word: str, left: Test, right: Test) -> Test:
    if word == "OR":
        return lambda entry: left(entry) or right(entry)
    return lambda entry: left(entry) and right(entry) == (word == "AND")


def _clause(tokens: list[re.Match[str]]) -> Test:
    if not tokens:
        raise BadQuery("a clause is missing")
    token = tokens.pop(0)
    if token["mark"] == "(":
        test = _any(tokens)
        if not tokens or tokens.pop(0)["mark"] != ")":
            raise BadQuery("a bracket is not closed")
        return test
    field, text = token["field"], token["phrase"] or token["term"] or ""
    if field == "submittedDate" and token["low"]:
        low, high = (
            datetime.strptime(token[name], "%Y%m%d%H%M").replace(tzinfo=UTC)
            for name in ("low", "high")
        )
        return lambda entry: low <= entry.submitted <= high
    if field == "cat":
        return lambda entry: any(fnmatchcase(name, text) for name in entry.categories)
    if field not in FIELDS:
        raise BadQuery(f"cannot read {token[0]!r}")
    wanted = parse_words(f'"{text}"')
    return lambda entry: holds(entry, FIELDS[field], wanted)


def _entry(entry: Entry, root: str) -> str:
    key = f"{entry.arxiv_id}v{entry.version}"
    authors = "".join(f"<author><name>{escape(name)}</name></author>\n" for name in entry.authors)
    categories = "".join(
        f'<category term="{name}" scheme="http://arxiv.org/schemas/atom"/>\n'
        for name in entry.categories
    )
    comment = f"<arxiv:comment>{escape(entry.comments)}</arxiv:comment>\n" if entry.comments else ""
    return (
        f"<entry>\n<id>http://arxiv.org/abs/{key}</id>\n<title>{escape(entry.title)}</title>\n"
        f"<updated>{entry.revised:%Y-%m-%dT%H:%M:%SZ}</updated>\n"
        f'<link href="{root}/abs/{key}" rel="alternate" type="text/html"/>\n'
        f'<link href="{root}/pdf/{key}" rel="related" type="application/pdf" title="pdf"/>\n'
        f"<summary>{escape(entry.abstract)}</summary>\n{categories}"
        f"<published>{entry.submitted:%Y-%m-%dT%H:%M:%SZ}</published>\n{comment}"
        f'<arxiv:primary_category term="{entry.categories[0]}"/>\n{authors}</entry>\n'
    )


def oai(corpus: Corpus, parameters: Mapping[str, str], root: str) -> str:
    """Return what OAI-PMH answers; its errors come with status 200 too."""
    body = _record(corpus, parameters)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">\n'
        f"<!-- {corpus.notice} -->\n<responseDate>{now}</responseDate>\n<request>{root}/oai</request>\n"
        f"{body}</OAI-PMH>\n"
    )


def _record(corpus: Corpus, parameters: Mapping[str, str]) -> str:
    if parameters.get("verb") != "GetRecord":
        return '<error code="badVerb">Only GetRecord is served here.</error>\n'
    if parameters.get("metadataPrefix") != "arXivRaw":
        return '<error code="cannotDisseminateFormat">Only arXivRaw is served here.</error>\n'
    name = parameters.get("identifier", "")
    found = [entry for entry in corpus.entries if name == f"oai:arXiv.org:{entry.arxiv_id}"]
    if not found:
        return f'<error code="idDoesNotExist">{escape(name)}</error>\n'
    entry = found[-1]
    licence = f"<license>{escape(entry.licence)}</license>\n" if entry.licence else ""
    return (
        f"<GetRecord><record><header><identifier>{name}</identifier>"
        f"<datestamp>{entry.revised:%Y-%m-%d}</datestamp></header>\n<metadata>\n"
        f'<arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><id>{entry.arxiv_id}</id>\n{_versions(entry)}'
        f"<title>{escape(entry.title)}</title>\n<authors>{escape(', '.join(entry.authors))}</authors>\n"
        f"<categories>{' '.join(entry.categories)}</categories>\n"
        f"<comments>{escape(entry.comments)}</comments>\n{licence}"
        f"<abstract>{escape(entry.abstract)}</abstract></arXivRaw>\n</metadata></record></GetRecord>\n"
    )


def _versions(entry: Entry) -> str:
    lines = []
    for number in range(1, entry.version + 1):
        last = number == entry.version
        moment = format_datetime(entry.revised if last else entry.submitted, usegmt=True)
        kind = "<source_type>I</source_type>" if last and entry.withdrawn else ""
        lines.append(
            f'<version version="v{number}"><date>{moment}</date><size>12kb</size>{kind}</version>\n'
        )
    return "".join(lines)
