"""The stand-in answers as arXiv does where the scrape stage leans on it, and says on every page
what it is."""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader, PdfWriter

from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
from components.scrape.standin import describe
from components.scrape.standin.corpus import Corpus, folder_corpus, sample_corpus
from components.scrape.standin.server import StandIn
from components.shared.errors import ConfigError, DataError
from tests.components.scrape.conftest import PDF, make_entry

COMMAND = [sys.executable, "-m", "components.scrape.standin"]
MANY = tuple(make_entry(f"2406.{number:05d}") for number in range(1, 61))
CORPUS = Corpus(
    (
        make_entry(
            "2404.00001",
            submitted="2024-04-18T04:55:59Z",
            title="Before the day of language models",
        ),
        make_entry("2404.00002", submitted="2024-04-18T04:56:00Z"),
        make_entry("2404.00003", submitted="2024-04-20T04:55:59Z"),
        make_entry("2404.00004", submitted="2024-04-20T04:56:00Z", title="A model of a language"),
        make_entry("2405.00001", title="Sparse networks", abstract="Nothing to see."),
        make_entry(
            "2405.00002", authors=tuple(f"Author {number}" for number in range(30)), version=3
        ),
        make_entry("2405.00003", title="Withdrawn <language> & models", withdrawn=True),
        *MANY,
    )
)


@pytest.fixture(scope="module")
def site() -> Iterator[StandIn]:
    with StandIn(CORPUS) as standin:
        yield standin


def search(site: StandIn, **parameters: Any) -> httpx.Response:
    """Search as the advanced form does."""
    names = {"words": "terms-0-term", "since": "date-from_date", "until": "date-to_date"}
    asked: dict[str, Any] = {"advanced": "", "words": "", "terms-0-field": "all"}
    asked |= {"date-date_type": "submitted_date_first", **parameters}
    if "since" in asked or "until" in asked:
        asked["date-filter_by"] = "date_range"
    query: dict[str, Any] = {names.get(name, name): value for name, value in asked.items()}
    return httpx.get(site.url + "/search/advanced", params=query, trust_env=False)


def ids(answer: httpx.Response) -> list[str]:
    return re.findall(r">arXiv:([\d.]+)<", answer.text)


def heading(answer: httpx.Response) -> str:
    match = re.search(r'<h1 class="title[^>]*>\s*(.*?)\s*</h1>', answer.text)
    assert match
    return match[1]


def test_all_words_must_occur_whatever_their_number(site: StandIn) -> None:
    found = ids(search(site, words="Languages MODEL", size=100))
    assert "2404.00004" in found
    assert "2405.00001" not in found
    assert len(ids(search(site, words="", size=100))) == len(CORPUS.entries)
    assert len(ids(search(site, words="sparse OR withdrawn", size=100))) == 2
    assert ids(search(site, words="the sparse AND NOT withdrawn of")) == ["2405.00001"]


def test_results_are_paged_and_the_heading_counts_them(site: StandIn) -> None:
    total = len(CORPUS.entries)
    first, last = search(site, size=25), search(site, size=25, start=50)
    assert heading(first) == f"Showing 1&ndash;25 of {total} results"
    assert heading(last) == f"Showing 51&ndash;{total} of {total} results"
    assert ids(first)[0] == "2406.00060"
    assert len(ids(first)) == 25
    assert ids(search(site, size=25, start=100)) == []


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"size": 60}, 400),
        ({"size": 200, "start": 9900}, 400),
        ({"size": 200, "start": 9800}, 200),
        ({"start": "x"}, 500),
        ({"start": -5}, 200),
    ],
)
def test_sizes_and_starts_have_arxivs_limits(
    site: StandIn, parameters: dict[str, Any], status: int
) -> None:
    assert search(site, **parameters).status_code == status


def test_a_range_of_days_begins_at_0456_utc_and_excludes_its_last_day(site: StandIn) -> None:
    assert sorted(ids(search(site, since="2024-04-18", until="2024-04-20"))) == [
        "2404.00002",
        "2404.00003",
    ]


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("2024-04-18", "2024-04-18", "End date must be later than start date"),
        ("2024-13-01", "2024-12-01", "Not a valid date value"),
        ("1990-01-01", "2024-12-01", "Not a valid year"),
    ],
)
def test_a_bad_date_brings_the_form_back(site: StandIn, since: str, until: str, told: str) -> None:
    answer = search(site, since=since, until=until)
    assert heading(answer) == "Advanced Search"
    assert told in answer.text


def test_without_the_advanced_parameter_there_is_only_the_form(site: StandIn) -> None:
    answer = httpx.get(
        site.url + "/search/advanced", params={"terms-0-term": "model"}, trust_env=False
    )
    assert heading(answer) == "Advanced Search"


def test_no_result_has_its_own_page(site: StandIn) -> None:
    assert heading(search(site, words="zebra")) == "Sorry, your query returned no results"


def test_long_lists_of_authors_are_cut_in_results_but_not_on_the_abstract_page(
    site: StandIn,
) -> None:
    assert (
        "et al. (5 additional authors not shown)"
        in search(site, since="2024-05-01", until="2024-06-01").text
    )
    page = httpx.get(site.url + "/abs/2405.00002", trust_env=False).text
    assert "Author 29</a>" in page
    assert "[v3]</strong>" in page


def test_markup_in_titles_is_escaped(site: StandIn) -> None:
    page = search(site, words="withdrawn").text
    assert "&lt;" in page
    assert "<language>" not in page


def test_a_withdrawn_paper_has_no_pdf(site: StandIn) -> None:
    assert "/pdf/" not in search(site, words="withdrawn").text
    assert httpx.get(site.url + "/pdf/2405.00003", trust_env=False).status_code == 404


def test_a_pdf_comes_in_chunks_with_its_resolved_name(site: StandIn) -> None:
    answer = httpx.get(site.url + "/pdf/2405.00002", trust_env=False)
    assert answer.content == PDF
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers["Content-Disposition"] == 'inline; filename="2405.00002v3.pdf"'
    assert httpx.get(site.url + "/pdf/2405.00002v4", trust_env=False).status_code == 404
    assert (
        httpx.get(site.url + "/pdf/2405.00002.pdf", trust_env=False).headers["Location"]
        == "/pdf/2405.00002"
    )


def test_a_part_of_a_pdf_is_served_while_it_is_the_same(site: StandIn) -> None:
    whole = httpx.get(site.url + "/pdf/2405.00002", trust_env=False)
    asked = {"Range": "bytes=100-", "If-Range": whole.headers["ETag"]}
    part = httpx.get(site.url + "/pdf/2405.00002", headers=asked, trust_env=False)
    assert (part.status_code, part.content) == (206, PDF[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{len(PDF) - 1}/{len(PDF)}"
    changed = httpx.get(
        site.url + "/pdf/2405.00002", headers={**asked, "If-Range": '"other"'}, trust_env=False
    )
    assert (changed.status_code, changed.content) == (200, PDF)


def feed(site: StandIn, query: str, **parameters: Any) -> httpx.Response:
    return httpx.get(
        site.url + "/api/query", params={"search_query": query, **parameters}, trust_env=False
    )


def test_the_api_counts_all_and_shows_some(site: StandIn) -> None:
    answer = feed(
        site,
        "all:language AND all:models",
        max_results=3,
        sortBy="submittedDate",
        sortOrder="ascending",
    )
    assert "<opensearch:totalResults>66</opensearch:totalResults>" in answer.text
    assert re.findall(r"abs/([\d.]+v\d)</id>", answer.text) == [
        "2404.00001v1",
        "2404.00002v1",
        "2404.00003v1",
    ]
    assert "v3</id>" in feed(site, 'au:"Author 29"').text
    assert (
        "<entry>"
        not in feed(site, "submittedDate:[202404180000 TO 202404180455] AND cat:hep-th").text
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("(ti:a OR ti:b) ANDNOT abs:c", 200),
        ("ti:a AND", 400),
        ("x:y", 400),
        ("all:retrieval AND all:AND AND all:generation", 400),
    ],
)
def test_the_api_refuses_what_it_cannot_read(site: StandIn, query: str, status: int) -> None:
    answer = feed(site, query)
    assert answer.status_code == status
    assert ("<title>Error</title>" in answer.text) == (status == 400)


def test_a_stop_word_alone_matches_nothing_at_the_api(site: StandIn) -> None:
    count = "<opensearch:totalResults>0<"
    assert count in feed(site, "all:of AND all:models").text
    assert count not in feed(site, 'all:"parts of models" OR all:models').text


def oai(site: StandIn, **asked: str) -> str:
    query = {"verb": "ListRecords", "metadataPrefix": "arXivRaw"} | asked
    return httpx.get(site.url + "/oai", params=query, trust_env=False).text


def test_oai_lists_by_day_of_change_and_set_page_by_page() -> None:
    with StandIn(CORPUS, oai_page=25) as site:
        first = oai(site, **{"from": "2024-06-01", "set": "cs:cs:CL"})
        assert first.count("<record>") == 25
        token = re.search(r"<resumptionToken>(.+)</resumptionToken>", first)
        assert token
        rest = httpx.get(
            site.url + "/oai",
            params={"verb": "ListRecords", "resumptionToken": unescape(token[1])},
            trust_env=False,
        ).text
        assert rest.count("<record>") == 25
        for asked, code in (
            ({"from": "2020-01-01", "until": "2020-02-01"}, "noRecordsMatch"),
            ({"from": "2001-01-01"}, "badArgument"),
            ({"set": "cs:CL!"}, "badArgument"),
        ):
            assert f'code="{code}"' in oai(site, **asked)


def test_lists_are_of_mailings_and_months(site: StandIn) -> None:
    def listed(path: str) -> httpx.Response:
        return httpx.get(f"{site.url}/list/{path}", trust_env=False)

    month = listed("cs.CL/2404?show=2000"), listed("cs.CL/2024-04?skip=1&show=25")
    assert month[0].status_code == 400
    assert "Total of 4 entries" in month[1].text
    assert month[1].text.count("<dt>") == 3
    recent = listed("cs/recent?show=2000").text
    assert "<h3>Fri, 21 Jun 2024" in recent
    assert listed("cs.CL/recent?show=60").status_code == 400


def test_oai_tells_every_version_and_the_licence(site: StandIn) -> None:
    def record(name: str) -> str:
        query = {
            "verb": "GetRecord",
            "metadataPrefix": "arXivRaw",
            "identifier": f"oai:arXiv.org:{name}",
        }
        return httpx.get(site.url + "/oai", params=query, trust_env=False).text

    assert record("2405.00002").count("<version version=") == 3
    assert "<source_type>I</source_type>" in record("2405.00003")
    assert 'code="idDoesNotExist"' in record("2405.99999")


def test_every_page_says_that_this_is_not_arxiv(site: StandIn) -> None:
    for path in (
        "/",
        "/robots.txt",
        "/nowhere",
        "/abs/2405.00001",
        "/search/advanced",
        "/search/advanced?advanced=",
    ):
        assert (
            "Stand-in of arxtune. Not arXiv. The papers are invented."
            in httpx.get(site.url + path).text
        )


def test_the_sample_papers_are_real_pdfs_of_the_same_bytes_each_time() -> None:
    first, second = sample_corpus(), sample_corpus()
    assert len(first.entries) >= 45
    for one, other in zip(first.entries[::10], second.entries[::10], strict=True):
        assert hashlib.sha256(one.pdf()).digest() == hashlib.sha256(other.pdf()).digest()
        reader = PdfReader(io.BytesIO(one.pdf()))
        assert 2 <= len(reader.pages) <= 4
        text = reader.pages[0].extract_text()
        assert "Invented sample paper, not on arXiv" in text
        assert one.abstract[:40] in " ".join(text.split())


def local_folder(folder: Path) -> Path:
    folder.mkdir()
    titled = PdfWriter(io.BytesIO(PDF))
    titled.add_metadata({"/Title": "A title\nof its own"})
    titled.write(folder / "2405.12345v2.pdf")
    (folder / "notes.PDF").write_bytes(PDF)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing more")
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "readme.txt").write_text("no paper")
    return folder


def test_every_pdf_of_a_folder_is_served_byte_for_byte(tmp_path: Path) -> None:
    folder = local_folder(tmp_path / "papers")
    corpus = folder_corpus(folder)
    by_file = {entry.comments.removeprefix("Local file "): entry for entry in corpus.entries}
    assert set(by_file) == {"2405.12345v2.pdf", "notes.PDF", "broken.pdf", "empty.pdf"}
    for name, entry in by_file.items():
        assert entry.pdf() == (folder / name).read_bytes()
        assert not entry.licence
    named = by_file["2405.12345v2.pdf"]
    assert (named.arxiv_id, named.version, f"{named.submitted:%Y-%m-%d}") == (
        "2405.12345",
        2,
        "2024-05-01",
    )
    assert named.title == "A title of its own"
    assert by_file["broken.pdf"].title == "broken"
    assert re.fullmatch(r"0000\.\d{5}", by_file["notes.PDF"].arxiv_id)
    assert "One sentence of it." in by_file["notes.PDF"].abstract
    again = folder_corpus(folder).entries
    assert [entry.arxiv_id for entry in again] == [entry.arxiv_id for entry in corpus.entries]


def test_a_file_that_cannot_be_read_in_time_goes_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "DEADLINE_S", 0.0)
    corpus = folder_corpus(local_folder(tmp_path / "papers"))
    assert {entry.title for entry in corpus.entries} == {"2405.12345v2", "notes", "broken", "empty"}


def test_a_file_that_is_not_served_is_one_reject_and_a_strange_name_is_none(
    tmp_path: Path, configure: Callable[..., ScrapeConfig]
) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "2405.00001.pdf").write_bytes(PDF)
    (folder / "2405.00001v2.pdf").write_bytes(PDF)
    Path(os.fsdecode(os.fsencode(folder) + b"/n\xffme.pdf")).write_bytes(PDF)
    with (folder / "sparse.pdf").open("wb") as file:
        file.truncate(8 * 2**40)
    knobs: dict[str, Any] = {"own_papers": True, "query": "*", "allow_licences": "open,unknown"}
    with StandIn(folder_corpus(folder)) as standin:
        config = configure(standin.url, published_after="2000-01-01", **knobs)
        summary = scrape(config, tmp_path / "out")
    assert summary["kept"] == 2
    rejects = map(json.loads, (tmp_path / "out" / "rejects.jsonl").read_text().splitlines())
    assert sorted(reject["detail"] for reject in rejects) == [
        "withdrawn; 2405.00001; Local file 2405.00001.pdf: replaced by 2405.00001v2.pdf",
        "withdrawn; sparse; Local file sparse.pdf: larger than 512 MiB",
    ]


def test_a_folder_without_pdfs_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        folder_corpus(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no PDF file"):
        folder_corpus(tmp_path)


def test_a_port_in_use_is_one_clear_line(site: StandIn) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=f"port {port} cannot be used"):
        StandIn(CORPUS, port=port)


def test_the_command_prints_its_url_logs_requests_and_ends_on_sigterm(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "requests.jsonl"
    with subprocess.Popen(
        [*COMMAND, "--log", str(log)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        url = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert httpx.get(url + "/robots.txt", trust_env=False).status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(120) == 143
    assert '"path": "/robots.txt"' in log.read_text()


def test_the_command_ends_with_the_process_that_started_it() -> None:
    code = f"import subprocess, time; subprocess.Popen({COMMAND!r}); time.sleep(60)"
    environment = {name: value for name, value in os.environ.items() if name != "ARXTUNE_RUN_PID"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout
        url = parent.stdout.readline().strip()
        parent.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            httpx.get(url, trust_env=False)
        except httpx.ConnectError:
            return
        except httpx.TransportError:  # it ended with our request in hand
            continue
        time.sleep(0.1)
    pytest.fail("the stand-in outlived its parent")


def test_a_bad_folder_on_the_command_line_is_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "--papers", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("arxtune: error: ")
