"""The stand-in's OAI-PMH, after arXiv's own answers: records in the format arXivRaw, one or by
days of change."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from html import escape
from urllib.parse import parse_qsl, urlencode

from components.scrape import clock
from components.scrape.config import group_of
from components.scrape.standin.corpus import Corpus, Entry

PAGE = 2500  # records
EARLIEST = date(2005, 9, 16)


class OaiError(Exception):
    """An answer of status 200 that holds an error."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


def answer(corpus: Corpus, parameters: Mapping[str, str], root: str, page: int = PAGE) -> str:
    """Return what OAI-PMH answers; its errors come with status 200 too."""
    try:
        body = _verb(corpus, dict(parameters), page)
    except OaiError as error:
        body = f'<error code="{error.code}">{escape(str(error))}</error>'
    now = datetime.fromtimestamp(clock.now(), UTC)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">\n'
        f"<!-- {corpus.notice} -->\n<responseDate>{now:%Y-%m-%dT%H:%M:%SZ}</responseDate>\n"
        f"<request>{root}/oai</request>\n{body}\n</OAI-PMH>\n"
    )


def _verb(corpus: Corpus, asked: dict[str, str], page: int) -> str:
    verb = asked.get("verb")
    if verb not in ("GetRecord", "ListRecords"):
        raise OaiError("badVerb", "only GetRecord and ListRecords are served here")
    skip = 0
    if token := asked.pop("resumptionToken", ""):
        if set(asked) != {"verb"}:
            raise OaiError("badArgument", "no other parameters allowed with resumptionToken")
        asked = dict(parse_qsl(token))
        skip = int(asked.pop("skip", 0))
    if asked.get("metadataPrefix") != "arXivRaw":
        raise OaiError("cannotDisseminateFormat", "only arXivRaw is served here")
    if verb == "ListRecords":
        return _list(corpus, asked, skip, page)
    name = asked.get("identifier", "")
    found = [entry for entry in corpus.entries if name == f"oai:arXiv.org:{entry.arxiv_id}"]
    if not found:
        raise OaiError("idDoesNotExist", name)
    return f"<GetRecord>{_record(found[-1])}</GetRecord>"


def _list(corpus: Corpus, asked: dict[str, str], skip: int, page: int) -> str:
    first, last = _day(asked.get("from"), EARLIEST), _day(asked.get("until"), clock.today())
    if first > last or first < EARLIEST or last > clock.today() + timedelta(days=1):
        raise OaiError("badArgument", "from or until is out of range")
    wanted = asked.get("set", "")
    if wanted and not re.fullmatch(r"[a-z-]+(:[a-z-]+(:[A-Za-z-]+)?)?", wanted):
        raise OaiError("badArgument", "Set does not exist")
    found = [entry for entry in corpus.current() if first <= entry.changed <= last]
    found = [entry for entry in found if not wanted or _in_set(entry, wanted)]
    if not found:
        raise OaiError("noRecordsMatch", "nothing changed in these days")
    found.sort(key=lambda entry: (entry.changed, entry.arxiv_id))
    token = ""
    if skip + page < len(found):
        token = escape(urlencode(asked | {"skip": str(skip + page)}))
    records = "\n".join(_record(entry) for entry in found[skip : skip + page])
    return f"<ListRecords>\n{records}\n<resumptionToken>{token}</resumptionToken></ListRecords>"


def _day(text: str | None, default: date) -> date:
    if text is None:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise OaiError("badArgument", "dates are YYYY-MM-DD") from None


def _in_set(entry: Entry, wanted: str) -> bool:
    return any(f"{set_of(name)}:".startswith(f"{wanted}:") for name in entry.categories)


def set_of(category: str) -> str:
    """Return the set of a category: group, archive and, where there is one, subject."""
    archive = category.split(".")[0]
    return f"{group_of(archive)}:{category.replace('.', ':')}"


def _record(entry: Entry) -> str:
    licence = ""
    if entry.licence:
        licence = f"<license>{escape(entry.licence)}</license>\n"
    authors = entry.raw_authors or ", ".join(entry.authors)
    sets = "".join(f"<setSpec>{set_of(name)}</setSpec>" for name in entry.categories)
    return (
        f"<record><header><identifier>oai:arXiv.org:{entry.arxiv_id}</identifier>"
        f"<datestamp>{entry.changed}</datestamp>{sets}</header>\n<metadata>\n"
        f'<arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><id>{entry.arxiv_id}</id>'
        f"<submitter>Somebody</submitter>\n{_versions(entry)}"
        f"<title>{escape(entry.raw_title or entry.title)}</title>\n"
        f"<authors>{escape(authors)}</authors>\n"
        f"<categories>{' '.join(entry.categories)}</categories>\n"
        f"<comments>{escape(entry.comments)}</comments>\n{licence}"
        f"<abstract>{escape(entry.abstract)}</abstract></arXivRaw>\n</metadata></record>"
    )


def _versions(entry: Entry) -> str:
    lines = []
    for number in range(1, entry.version + 1):
        moment, kind = entry.submitted, ""
        if number == entry.version:
            moment, kind = entry.revised, "<source_type>I</source_type>" * entry.withdrawn
        day = format_datetime(moment, usegmt=True)
        lines.append(
            f'<version version="v{number}"><date>{day}</date><size>12kb</size>{kind}</version>\n'
        )
    return "".join(lines)
