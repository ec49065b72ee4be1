"""The pages of the stand-in: arXiv's own markup as far as it carries meaning, after its
templates."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from html import escape
from zoneinfo import ZoneInfo

from components.scrape.standin.corpus import Entry
from components.scrape.standin.question import Question, announced
from components.scrape.standin.words import stems

SHOWN_AUTHORS = 25  # on a search page
TOGGLED_AUTHORS = 100  # on an abstract page
EASTERN = ZoneInfo("America/New_York")
SUFFIX = " | arXiv e-print repository"
BOLD = "has-text-black-bis has-text-weight-semibold"
BANNER = "padding:.6em;background:#fff3bf;border:1px solid #b08900;font-weight:bold"


def document(title: str, body: str, notice: str, head: str = "") -> str:
    """Wrap a page; every page says what it is."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>'
        f"{title}</title>{head}</head>\n<body>\n"
        f'<div class="standin-notice" style="{BANNER}">{escape(notice)}</div>\n'
        f'<main class="container" id="main-container">\n{body}\n</main>\n<footer></footer>'
        "\n</body>\n</html>\n"
    )


def error(status: int, name: str, text: str, notice: str) -> str:
    """Return an error page."""
    return document(
        f"{status} {name}{SUFFIX}", f"<h1>{escape(name)}</h1>\n<p>{escape(text)}</p>", notice
    )


def form(message: str, notice: str) -> str:
    """Return the search form, with a complaint when there is one."""
    warning = ""
    if message:
        warning = (
            '<div class="notification is-warning">Whoops! Something went wrong.</div>\n'
            f'<div class="help is-warning">{escape(message)}</div>\n'
        )
    body = (
        '<h1 class="title">Advanced Search</h1>\n'
        f"{warning}"
        '<form method="GET" action="/search/advanced"><input type="hidden" name="advanced" '
        'value="">\n'
        '<input name="terms-0-term" placeholder="Search term..."><input type="hidden" '
        'name="terms-0-field" value="all">'
        '<button class="button is-link">Search</button></form>'
    )
    return document(f"Advanced Search{SUFFIX}", body, notice)


def results(found: list[Entry], question: Question, root: str, notice: str) -> str:
    """Return one page of results, or the page that says that there are none."""
    rows = found[question.start : question.start + question.size]
    if not rows and question.start == 0:
        title = "Sorry, your query returned no results"
        return document(title, f'<h1 class="title is-clearfix">{title}</h1>', notice)
    span = f"{question.start + 1:,}&ndash;{question.start + len(rows):,}"
    title = f"Showing {span} of {len(found):,} results"
    items = "\n".join(_row(entry, question, root) for entry in rows)
    body = (
        f'<h1 class="title is-clearfix">\n  {title}\n</h1>\n'
        f'<ol class="breathe-horizontal" start="{question.start + 1}">\n{items}\n</ol>'
    )
    return document(title, body, notice)


def _row(entry: Entry, question: Question, root: str) -> str:
    marked = question.hits
    link = comments = ""
    if not entry.withdrawn:
        link = f'[<a href="{root}/pdf/{entry.arxiv_id}">pdf</a>]'
    if entry.comments:
        comments = (
            f'<p class="comments is-size-7"><span class="{BOLD}">Comments:</span>\n'
            f'<span class="has-text-grey-dark mathjax">{escape(entry.comments)}</span></p>\n'
        )
    tags = "".join(
        f'<span class="tag is-small tooltip is-tooltip-top">{escape(name)}</span>\n'
        for name in entry.categories
    )
    return (
        '<li class="arxiv-result">\n<div class="is-marginless">\n<p class="list-title '
        'is-inline-block">'
        f'<a href="{root}/abs/{entry.arxiv_id}">arXiv:{entry.arxiv_id}</a>\n<span>'
        f"&nbsp;{link}&nbsp;</span></p>\n"
        f'<div class="tags is-inline-block">\n{tags}</div>\n</div>\n'
        '<p class="title is-5 mathjax">\n  '
        f"{_damaged(entry.raw_title or entry.title, marked)}\n</p>\n{_authors(entry)}"
        f"{_abstract(entry, marked)}{_dates(entry)}{comments}</li>"
    )


def _authors(entry: Entry) -> str:
    shown = [
        f'<a href="/search/?searchtype=author">{escape(name)}</a>'
        for name in entry.authors[:SHOWN_AUTHORS]
    ]
    more = len(entry.authors) - SHOWN_AUTHORS
    if more > 0:
        shown.append(f"et al. ({more} additional authors not shown)")
    names = ",\n".join(shown)
    return f'<p class="authors">\n<span class="{BOLD}">Authors:</span>\n{names}\n</p>\n'


def _abstract(entry: Entry, marked: frozenset[str]) -> str:
    style = 'class="is-size-7" style="white-space: nowrap;"'
    return (
        f'<p class="abstract mathjax"><span class="{BOLD}">Abstract</span>:\n'
        '<span class="abstract-short has-text-grey-dark mathjax" style="display: inline;">'
        f"{escape(entry.abstract[:120])}&hellip; <a {style}>&#9661; More</a></span>\n"
        '<span class="abstract-full has-text-grey-dark mathjax" style="display: none;">'
        f"{_highlight(entry.abstract, marked)}\n<a {style}>&#9651; Less</a></span>\n</p>\n"
    )


def _dates(entry: Entry) -> str:
    first = ""
    if entry.version > 1:
        first = f'<span class="{BOLD}">v1</span> submitted {_day(entry.submitted)};'
    return (
        f'<p class="is-size-7"><span class="{BOLD}">Submitted</span> {_day(entry.revised)}; '
        f"{first}\n"
        f'<span class="{BOLD}">originally announced</span> {announced(entry):%B %Y}.\n</p>\n'
    )


def _day(moment: datetime) -> str:
    """Return the day as arXiv shows it: in Eastern time."""
    local = moment.astimezone(EASTERN)
    return f"{local.day} {local:%B, %Y}"


def _damaged(title: str, marked: frozenset[str]) -> str:
    """Mark hits in a title; where there are any, mathematics at its beginning is lost, as it is
    at arXiv's."""
    if marked & set(stems(title)):
        title = re.sub(r"^\$[^$]*\$\s*", "", title)
    return _highlight(title, marked)


def _highlight(text: str, marked: frozenset[str]) -> str:
    def mark(part: str) -> str:
        if marked.isdisjoint(stems(part)):
            return escape(part)
        return f'<span class="search-hit mathjax">{escape(part)}</span>'

    return "".join(mark(part) for part in re.split(r"(\w+)", text))


def abstract_page(entry: Entry, version: int, root: str, notice: str) -> str:
    """Return the page of one version of a paper."""
    key = f"{entry.arxiv_id}v{version}"
    licence = withdrawn = ""
    if entry.withdrawn:
        withdrawn = '<span class="error">This paper has been withdrawn by Somebody</span>'
    elif entry.licence:
        licence = f'<a href="{escape(entry.licence)}" title="Rights">view license</a>'
    body = (
        f"{withdrawn}"
        f'<div class="dateline">[Submitted on {entry.submitted.day} '
        f"{entry.submitted:%b %Y}]</div>\n"
        '<h1 class="title mathjax"><span class="descriptor">Title:</span>'
        f"{escape(entry.title)}</h1>\n"
        '<div class="authors"><span class="descriptor">Authors:</span>'
        f"{_long_byline(entry.authors)}</div>\n"
        '<blockquote class="abstract mathjax"><span class="descriptor">Abstract:</span>'
        f"{escape(entry.abstract)}</blockquote>\n"
        f'<table><tr><td class="tablecell comments mathjax">{escape(entry.comments)}</td></tr>\n'
        f'<tr><td class="tablecell subjects">{_subjects(entry)}</td></tr>\n'
        f'<tr><td><span class="arxividv"><a href="{root}/abs/{key}">arXiv:{key}</a></span>'
        "</td></tr></table>\n"
        f"{_history(entry, version)}\n"
        f'<div class="full-text"><a href="/pdf/{key}" class="abs-button download-pdf">View '
        "PDF</a>\n"
        f'<div class="abs-license">{licence}</div></div>'
    )
    return document(f"[{key}] {escape(entry.title)}", body, notice)


def _author_links(authors: Sequence[str]) -> str:
    """Return a line of authors, each a link; the article of a collaboration stands outside of
    it."""
    links = []
    for author in authors:
        name = author.removeprefix("the ")
        link = f'<a href="/search/?searchtype=author" rel="nofollow">{escape(name)}</a>'
        links.append(f"the {link}" if author.startswith("the ") else link)
    return ", ".join(links)


def _long_byline(authors: Sequence[str]) -> str:
    """Return the authors of an abstract page, which hides those beyond the hundredth behind a
    link."""
    more = len(authors) - TOGGLED_AUTHORS
    if more < 2:
        return _author_links(authors)
    told = f"et al. ({more} additional authors not shown)"
    return (
        f"{_author_links(authors[:TOGGLED_AUTHORS])}\n<script>function toggleAuthorList() "
        f"{{}}</script>"
        '<div id="long-author-list" style="display: none;">, '
        f"{_author_links(authors[TOGGLED_AUTHORS:])}</div>"
        f'<a href="javascript:toggleAuthorList()" id="toggle">{told}</a>'
        "<noscript>&nbsp;You must enable JavaScript to view entire author list.</noscript>"
    )


def _subjects(entry: Entry) -> str:
    first, *others = (f"Some Subject ({name})" for name in entry.categories)
    return "; ".join([f'<span class="primary-subject">{first}</span>', *others])


def listing_page(
    entries: Sequence[Entry],
    skip: int,
    show: int,
    mailed: Callable[[Entry], date] | None,
    notice: str,
) -> str:
    """Return a page of /list; with `mailed`, which tells the day of an entry's mailing, under a
    heading a day."""
    shown = entries[skip : skip + show]
    days: dict[str, list[str]] = {}
    for number, entry in enumerate(shown, skip + 1):
        day = mailed(entry) if mailed else None
        heading = f"{day:%a}, {day.day} {day:%b %Y} (showing some entries )" if day else ""
        days.setdefault(heading, []).append(_item(entry, number))
    lists = (
        f"<dl id='articles'>\n{f'<h3>{heading}</h3>' if heading else ''}{''.join(items)}</dl>\n"
        for heading, items in days.items()
    )
    body = f"<div class='paging'>Total of {len(entries)} entries</div>\n{''.join(lists)}"
    if not entries:
        body = "<dl id='articles'>\n<p>No updates for this time period.</p></dl>"
    return document("Some Subject", f"<div id='dlpage'>{body}</div>", notice)


def _item(entry: Entry, number: int) -> str:
    comments = ""
    if entry.comments:
        comments = (
            "<div class='list-comments mathjax'><span class='descriptor'>Comments:</span>"
            f" {escape(entry.comments)}</div>"
        )
    return (
        f"<dt><a name='item{number}'>[{number}]</a> "
        f'<a href ="/abs/{entry.arxiv_id}" title="Abstract" id="{entry.arxiv_id}">\n'
        f"arXiv:{entry.arxiv_id}\n</a>"
        f'[<a href="/pdf/{entry.arxiv_id}" title="Download PDF" id="pdf-{entry.arxiv_id}">'
        "pdf</a>]</dt>\n"
        "<dd><div class='meta'><div class='list-title mathjax'><span class='descriptor'>"
        "Title:</span>\n"
        f" {escape(entry.title)}</div>\n"
        f"<div class='list-authors'>{_author_links(entry.authors)}</div>\n"
        f"{comments}"
        "<div class='list-subjects'><span class='descriptor'>Subjects:</span>"
        f"\n{_subjects(entry)}</div>"
        "</div></dd>\n"
    )


def _history(entry: Entry, shown: int) -> str:
    lines = []
    for version in range(1, entry.version + 1):
        name, moment, withdrawn = f"[v{version}]", entry.submitted, ""
        if version != shown:
            name = f'<a href="/abs/{entry.arxiv_id}v{version}">{name}</a>'
        if version == entry.version:
            moment = entry.revised
            withdrawn = " <em>(withdrawn)</em>" * entry.withdrawn
        lines.append(
            f"<strong>{name}</strong>\n{moment:%a}, {moment.day} {moment:%b %Y %H:%M:%S} UTC"
            f" (12 KB){withdrawn}<br>"
        )
    return (
        '<div class="submission-history"><h2>Submission history</h2>\n'
        + "\n".join(lines)
        + "</div>"
    )


def captcha(notice: str) -> str:
    """Return the page that asks whether we are human."""
    return document("arXiv reCAPTCHA", "<h1>Are you a robot?</h1>", notice)
