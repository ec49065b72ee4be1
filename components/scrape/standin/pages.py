"""The pages of the stand-in: arXiv's own markup as far as it carries meaning, after its templates."""

import re
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from components.scrape.standin.corpus import Entry
from components.scrape.standin.question import Question, announced, hits
from components.scrape.standin.words import stems

SHOWN_AUTHORS = 25
EASTERN = ZoneInfo("America/New_York")
SUFFIX = " | arXiv e-print repository"
BANNER = "padding:.6em;background:#fff3bf;border:1px solid #b08900;font-weight:bold"


def document(title: str, body: str, notice: str, head: str = "") -> str:
    """Wrap a page; every page says what it is."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>{head}</head>\n<body>\n'
        f'<div class="standin-notice" style="{BANNER}">{escape(notice)}</div>\n'
        f'<main class="container" id="main-container">\n{body}\n</main>\n<footer></footer>\n</body>\n</html>\n'
    )


def error(status: int, name: str, text: str, notice: str) -> str:
    """Return an error page."""
    return document(
        f"{status} {name}{SUFFIX}", f"<h1>{escape(name)}</h1>\n<p>{escape(text)}</p>", notice
    )


def form(message: str, notice: str) -> str:
    """Return the search form, with a complaint when there is one."""
    warning = (
        '<div class="notification is-warning">Whoops! Something went wrong. Please correct errors in the form below.'
        f'</div>\n<div class="help is-warning">{escape(message)}</div>\n'
        if message
        else ""
    )
    body = (
        '<h1 class="title">Advanced Search</h1>\n'
        f"{warning}"
        '<form method="GET" action="/search/advanced"><input type="hidden" name="advanced" value="">\n'
        '<input name="terms-0-term" placeholder="Search term..."><input type="hidden" name="terms-0-field" value="all">'
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
        f'<h1 class="title is-clearfix">\n  {title}\n</h1>\n{_pagination(len(found), question)}\n'
        f'<ol class="breathe-horizontal" start="{question.start + 1}">\n{items}\n</ol>'
    )
    return document(title, body, notice)


def _pagination(total: int, question: Question) -> str:
    """Return the Next link with arXiv's trap: on the last page it is invisible and its target empty."""
    if question.start + question.size < total:
        return f'<a href="?start={question.start + question.size}" class="pagination-next">Next</a>'
    return '<a href="" class="pagination-next is-invisible">Next</a>'


def _row(entry: Entry, question: Question, root: str) -> str:
    marked = hits(question)
    link = "" if entry.withdrawn else f'[<a href="{root}/pdf/{entry.arxiv_id}">pdf</a>]'
    tags = "".join(
        f'<span class="tag is-small {"is-grey" if number else "is-link"} tooltip is-tooltip-top"'
        f' data-tooltip="{escape(name)}">{escape(name)}</span>\n'
        for number, name in enumerate(entry.categories)
    )
    comments = (
        '<p class="comments is-size-7"><span class="has-text-black-bis has-text-weight-semibold">Comments:</span>\n'
        f'<span class="has-text-grey-dark mathjax">{escape(entry.comments)}</span></p>\n'
        if entry.comments
        else ""
    )
    return (
        '<li class="arxiv-result">\n<div class="is-marginless">\n<p class="list-title is-inline-block">'
        f'<a href="{root}/abs/{entry.arxiv_id}">arXiv:{entry.arxiv_id}</a>\n<span>&nbsp;{link}&nbsp;</span></p>\n'
        f'<div class="tags is-inline-block">\n{tags}</div>\n</div>\n'
        f'<p class="title is-5 mathjax">\n  {_highlight(entry.title, marked)}\n</p>\n{_authors(entry)}'
        f"{_abstract(entry, marked) if question.abstracts else ''}{_dates(entry)}{comments}</li>"
    )


def _authors(entry: Entry) -> str:
    more = len(entry.authors) - SHOWN_AUTHORS
    return (
        '<p class="authors">\n<span class="has-text-black-bis has-text-weight-semibold">Authors:</span>\n'
        + ",\n".join(
            f'<a href="/search/?searchtype=author">{escape(a)}</a>'
            for a in entry.authors[:SHOWN_AUTHORS]
        )
        + (f", et al. ({more} additional authors not shown)" if more > 0 else "")
        + "\n</p>\n"
    )


def _abstract(entry: Entry, marked: set[str]) -> str:
    style = 'class="is-size-7" style="white-space: nowrap;"'
    return (
        '<p class="abstract mathjax"><span class="has-text-black-bis has-text-weight-semibold">Abstract</span>:\n'
        '<span class="abstract-short has-text-grey-dark mathjax" style="display: inline;">'
        f"{escape(entry.abstract[:120])}&hellip; <a {style}>&#9661; More</a></span>\n"
        '<span class="abstract-full has-text-grey-dark mathjax" style="display: none;">'
        f"{_highlight(entry.abstract, marked)}\n<a {style}>&#9651; Less</a></span>\n</p>\n"
    )


def _dates(entry: Entry) -> str:
    bold = "has-text-black-bis has-text-weight-semibold"
    first = (
        f'<span class="{bold}">v1</span> submitted {_day(entry.submitted)};'
        if entry.version > 1
        else ""
    )
    return (
        f'<p class="is-size-7"><span class="{bold}">Submitted</span> {_day(entry.revised)}; {first}\n'
        f'<span class="{bold}">originally announced</span> {announced(entry):%B %Y}.\n</p>\n'
    )


def _day(moment: datetime) -> str:
    """Return the day as arXiv shows it: in Eastern time."""
    local = moment.astimezone(EASTERN)
    return f"{local.day} {local:%B, %Y}"


def _highlight(text: str, marked: set[str]) -> str:
    def mark(part: str) -> str:
        hit = part and part[0].isalnum() and stems(part)[0] in marked
        return f'<span class="search-hit mathjax">{escape(part)}</span>' if hit else escape(part)

    return "".join(mark(part) for part in re.split(r"(\w+)", text))


def abstract_page(entry: Entry, version: int, root: str, notice: str) -> str:
    """Return the page of one version of a paper."""
    key = f"{entry.arxiv_id}v{version}"
    pairs = [("title", entry.title), *(("author", author) for author in entry.authors)]
    pairs += [("date", f"{entry.submitted:%Y/%m/%d}"), ("arxiv_id", entry.arxiv_id)]
    pairs += [("pdf_url", f"{root}/pdf/{entry.arxiv_id}")]
    head = "\n".join(
        f'<meta name="citation_{name}" content="{escape(value)}">' for name, value in pairs
    )
    authors = ", ".join(
        f'<a href="/search/?searchtype=author" rel="nofollow">{escape(a)}</a>'
        for a in entry.authors
    )
    licence = f'<a href="{escape(entry.licence)}" title="Rights to this article">view license</a>'
    body = (
        f'<div class="dateline">[Submitted on {entry.submitted.day} {entry.submitted:%b %Y}]</div>\n'
        f'<h1 class="title mathjax"><span class="descriptor">Title:</span>{escape(entry.title)}</h1>\n'
        f'<div class="authors"><span class="descriptor">Authors:</span>{authors}</div>\n'
        '<blockquote class="abstract mathjax"><span class="descriptor">Abstract:</span>'
        f"{escape(entry.abstract)}</blockquote>\n"
        f'<table><tr><td class="tablecell comments mathjax">{escape(entry.comments)}</td></tr>\n'
        f'<tr><td><span class="arxividv"><a href="{root}/abs/{key}">arXiv:{key}</a></span></td></tr></table>\n'
        f"{_history(entry, version)}\n"
        f'<div class="full-text"><a href="/pdf/{key}" class="abs-button download-pdf">View PDF</a>\n'
        f'<div class="abs-license">{licence if entry.licence else ""}</div></div>'
    )
    return document(f"[{key}] {escape(entry.title)}", body, notice, head)


def _history(entry: Entry, shown: int) -> str:
    lines = []
    for version in range(1, entry.version + 1):
        name = (
            f"[v{version}]"
            if version == shown
            else f'<a href="/abs/{entry.arxiv_id}v{version}">[v{version}]</a>'
        )
        moment = entry.revised if version == entry.version else entry.submitted
        lines.append(
            f"<strong>{name}</strong>\n{moment:%a}, {moment.day} {moment:%b %Y %H:%M:%S} UTC (12 KB)<br>"
        )
    return (
        '<div class="submission-history"><h2>Submission history</h2>\n'
        + "\n".join(lines)
        + "</div>"
    )


def captcha(notice: str) -> str:
    """Return the page that asks whether we are human."""
    return document("arXiv reCAPTCHA", "<h1>Are you a robot?</h1>", notice)
