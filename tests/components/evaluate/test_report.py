import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from invented_run import REJECTS, Run

from components.evaluate.charts import Scale, difference_scale
from components.evaluate.core import evaluate
from components.evaluate.history import write_page
from components.evaluate.report import marked
from components.shared.errors import DataError
from components.shared.records import write_records
from tests.axe import look_at
from tests.verdicts import against

MakeRun = Callable[..., Run]
HOSTILE = (
    """</p></pre><script>alert("1")</script><img src=x onerror=alert(1)>"""
    """ {{ 7 * 7 }} {% raw %} ' " & ]]>"""
)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collect tags and attributes; complain about tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    run = make_run()
    evaluate(run.config, *run.folders)
    return run


def test_the_verdict_comes_first_and_all_systems_follow(run: Run) -> None:
    page = " ".join(" ".join(Page(run.report).texts).split())
    body = page[page.index("Verdict for release") :]
    places = [
        body.index(text)
        for text in ("tuned model beats its base", "Systems, scored alike", "random-answer")
    ]
    assert places == sorted(places)
    assert "should find a true gain of 0." in body


def test_the_page_needs_nothing_from_elsewhere_and_runs_no_script(run: Run) -> None:
    page = Page(run.report)
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    names = {name for _, attributes in page.tags for name in attributes}
    assert not [name for name in names if name in ("src", "href") or name.startswith("on")]
    assert not re.search(r"url\(|@import", run.report)


def test_what_was_dropped_is_named_with_its_reason(run: Run) -> None:
    texts = " ".join(Page(run.report).texts)
    for _, item, reason, detail in REJECTS:
        assert item in texts
        assert reason in texts
        assert detail in texts
    assert "locked-paper.pdf" in texts


def test_hostile_text_stays_text(make_run: MakeRun) -> None:
    run = make_run(rejects=[("scrape", HOSTILE, HOSTILE, HOSTILE)])
    run.examples = [
        replace(
            example,
            instruction=HOSTILE,
            input=HOSTILE,
            kind=HOSTILE,
            completion=f"{example.completion} {HOSTILE}",
        )
        for example in run.examples
    ]
    write_records(run.folders[1] / "examples.jsonl", run.examples)
    run.answer("base", run.rambling())
    run.answer("tuned-digest", [HOSTILE] * len(run.examples))
    evaluate(run.config, *run.folders)
    page = Page(run.report)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert sum(HOSTILE in text for text in page.texts) > 20, (
        "it is shown as it is, not evaluated and not dropped"
    )


def test_answers_are_shown_side_by_side_with_their_scores(run: Run) -> None:
    texts = [" ".join(text.split()) for text in Page(run.report).texts]
    for title in ("Largest gains over the base", "Smallest gains, or losses", "Drawn at random"):
        assert title in texts
    assert texts.count("reference") == run.config.examples_shown
    assert texts.count("Input") == run.config.examples_shown


def test_sample_papers_are_said_to_be_invented_only_when_they_are(run: Run) -> None:
    assert "they are invented" in run.report
    assert "not affiliated with arXiv" in run.report
    lineage = run.folders[2] / "lineage.jsonl"
    lineage.write_text(lineage.read_text("utf-8").replace("loopback", "arxiv.org"), "utf-8")
    evaluate(run.config, *run.folders)
    assert "they are invented" not in run.report


def test_the_page_is_accessible_at_any_width_and_asks_no_other_host(make_run: MakeRun) -> None:
    run = make_run(papers=25, each=8)
    run.answer("tuned-digest", [f"{'x' * 3_000} {text}" for text in run.good()])
    evaluate(run.config, *run.folders)
    findings, requests = look_at(run.folders[4])
    assert findings == []
    assert requests == [run.folders[4].as_uri()]


def test_words_that_both_texts_have_in_the_same_order_are_marked() -> None:
    shown = marked('The models "fell" twice, again.', "A model fell again")
    assert shown == "The <mark>models &#34;fell&#34;</mark> twice, <mark>again.</mark>"


def test_long_texts_are_cut_so_that_the_page_stays_small(make_run: MakeRun) -> None:
    run = make_run(papers=50, each=10)
    run.answer("tuned-digest", [f"{'x' * 20_000} {text}" for text in run.good()])
    evaluate(run.config, *run.folders)
    assert len(run.report.encode()) < 1 << 20
    assert "more characters in answers.jsonl" in run.report


def test_all_verdicts_of_a_release_stand_on_one_page(run: Run, tmp_path: Path) -> None:
    run.answer("tuned-digest", run.rambling())
    evaluate(run.config, *run.folders)
    assert write_page(tmp_path / "page.html", run.store, "arxtune") == 2
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    texts = " ".join(" ".join(page.texts).split())
    for text in ("better", "no evidence", "Gain over the base, by run"):
        assert text in texts
    assert [attributes["class"] for tag, attributes in page.tags if tag == "svg"] == [
        "interval clear",
        "interval open",
        "axis",
    ]
    with pytest.raises(DataError, match="no verdict on a release named 'other' yet"):
        write_page(tmp_path / "page.html", run.store, "other")


def test_no_axis_leaves_the_range_of_the_metric(run: Run) -> None:
    scale = difference_scale([against("base", (-7.0, 9.0), floor=-12.0)])
    assert (scale.ticks[0], scale.ticks[-1]) == (-1.0, 1.0)
    assert scale.at(9.0) == 100.0


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (0, 0.07), (-0.3, 0.9), (-0.002, 0), (0, 12_000)]
)
def test_an_axis_covers_its_values_with_a_few_ticks_in_order(low: float, high: float) -> None:
    scale = Scale(low, high)
    assert 0 <= scale.at(low) <= scale.at(high) <= 100
    assert 2 <= len(scale.ticks) <= 8
    assert len({scale.label(tick) for tick in scale.ticks}) == len(scale.ticks)
