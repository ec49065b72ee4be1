"""The teacher on Groq, asked over real HTTP at the stand-in: limits, faults, budget, and nothing paid twice."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from components.generate.budget import forecast
from components.generate.groq import GROQ, GroqTeacher, endpoint
from components.generate.limits import Pace, seconds
from components.generate.shapes import SHAPES
from components.generate.standin import StandIn, duration
from components.generate.teacher import Request
from components.shared.errors import ConfigError, TeacherError
from components.shared.records import Triple, read_records
from tests.components.generate.conftest import Run

pytestmark = pytest.mark.soak

PASSING_FAULTS = [
    "500", "503", "498", "429", "429:0.05", "413", "reset", "cut", "garbage", "prose", "length", "slow:0.1",
]  # fmt: skip


def test_every_page_is_asked_about_once_and_a_rerun_asks_nothing(
    ask: Run, dataset: Callable[[], str]
) -> None:
    with StandIn() as standin:
        first = ask(standin)
        before = dataset()
        again = ask(standin)
    assert first["facts"]["answers asked for"] == len(standin.bill) == 12
    assert (again["facts"]["answers asked for"], again["facts"]["answers from the store"]) == (
        0,
        12,
    )
    assert dataset() == before
    assert first["kept"] > 12


def test_provenance_is_complete_and_its_spans_exist(ask: Run, tmp_path: Path) -> None:
    with StandIn(shape="bold") as standin:
        ask(standin)
    (row,) = map(json.loads, (tmp_path / "documents/documents.jsonl").open())
    texts = {page["number"]: page["text"] for page in row["pages"]}
    triples = list(read_records(tmp_path / "triples/triples.jsonl", Triple))
    assert triples
    for triple in triples:
        assert (triple.paper, triple.version, triple.teacher) == (
            "2405.90001",
            1,
            "groq/llama-3.3-70b-versatile",
        )
        assert triple.grounding == 1.0
        for start, end in triple.evidence:
            assert " ".join(texts[triple.page][start:end].split()) == triple.input


@pytest.mark.parametrize("fault", PASSING_FAULTS)
def test_a_fault_that_passes_leaves_no_trace(
    ask: Run, dataset: Callable[[], str], fault: str
) -> None:
    with StandIn() as standin:
        ask(standin, store="without")
    expected = dataset()
    with StandIn(faults=[fault] * 3) as standin:
        ask(standin)
    assert dataset() == expected
    assert set(Counter(name for name, _ in standin.bill).values()) == {1}


@pytest.mark.parametrize("seed", range(4))
def test_any_schedule_of_faults_gives_the_same_triples_and_pays_once(
    ask: Run, dataset: Callable[[], str], seed: int
) -> None:
    with StandIn() as standin:
        ask(standin, 30, store="without")
    expected = dataset()
    with StandIn(fault_rate=0.4, seed=seed) as standin:
        ask(standin, 30)
    assert dataset() == expected
    assert max(Counter(name for name, _ in standin.bill).values()) == 1
    assert len(standin.requests) > 30


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shape_of_the_answers_does_not_matter(
    ask: Run, dataset: Callable[[], str], shape: str
) -> None:
    with StandIn() as standin:
        ask(standin, 4, store="object")
    expected = dataset()
    with StandIn(shape=shape) as standin:
        ask(standin, 4, store=shape)
    assert dataset() == expected


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("401", "the teacher refuses the key (401); check GROQ_API_KEY"),
        ("404", "has no model 'llama-3.3-70b-versatile' (404); name another by --teacher-model"),
        (
            "429:4000",
            "the teacher's quota of the day is used up, for 1.1 h; run again then: answers are kept",
        ),
    ],
)
def test_what_asking_again_would_not_mend_stops_at_once_and_keeps_the_rest(
    ask: Run, fault: str, line: str
) -> None:
    with StandIn(faults=["", "", "", "", fault]) as standin:
        with pytest.raises(TeacherError) as caught:
            ask(standin, max_in_flight=1)
        assert line in str(caught.value)
        assert len(standin.bill) == 4
        assert ask(standin)["facts"]["answers asked for"] == 8
    assert max(Counter(name for name, _ in standin.bill).values()) == 1


def test_a_teacher_that_stays_away_is_an_error_that_says_so(ask: Run) -> None:
    with (
        StandIn(faults=["503"] * 100) as standin,
        pytest.raises(
            TeacherError,
            match=r"answers 503, 3 times for one page; run again later: answers so far are kept",
        ),
    ):
        ask(standin, retries=2, max_in_flight=1)


def test_a_page_that_is_too_large_is_a_reject(ask: Run) -> None:
    with StandIn(limits={"TPM": 1500}, minute=0.5) as standin:
        summary = ask(standin, max_answer_tokens=1200)
    refused = [reason for reason in summary["dropped"] if "413" in reason]
    assert refused
    assert refused[0].startswith("page refused as too large for the teacher (413)")


def test_limits_are_used_up_without_a_storm_of_refusals(ask: Run) -> None:
    minute = 4.0  # long beside the time that a busy machine may take away at once
    with StandIn(limits={"RPM": 30, "TPM": 6000}, minute=minute, latency=0.01) as standin:
        ask(standin, 75, max_answer_tokens=512)
    allowed = 6000 * (1 + (standin.ended - standin.started) / minute)
    assert sum(tokens for _, tokens in standin.bill) >= 0.95 * allowed
    assert standin.requests.count(429) <= 0.02 * len(standin.requests)
    assert len(standin.bill) == 75


def test_requests_a_minute_are_learned_from_the_refusal(ask: Run) -> None:
    minute = 4.0
    with StandIn(limits={"RPM": 30, "TPM": 30_000}, minute=minute) as standin:
        summary = ask(standin, 90)
    assert summary["facts"]["answers asked for"] == 90
    assert standin.ended - standin.started < 1.6 * 2 * minute


def test_the_order_in_which_answers_come_does_not_matter(
    ask: Run, dataset: Callable[[], str]
) -> None:
    with StandIn() as standin:
        ask(standin, 20, store="one by one", max_in_flight=1)
    expected = dataset()
    with StandIn(faults=["slow:0.3", "", "slow:0.2", "", "slow:0.1"]) as standin:
        ask(standin, 20)
        assert standin.most_busy > 4
    assert dataset() == expected


def test_the_budget_is_never_passed(ask: Run) -> None:
    with StandIn() as standin:
        summary = ask(standin, 30, max_tokens_total=12_000, max_answer_tokens=512)
    spent = sum(tokens for _, tokens in standin.bill)
    assert 9_000 < spent <= 12_000
    assert summary["facts"]["prompt, this run"] + summary["facts"]["completion, this run"] == spent
    assert summary["dropped"]["token budget used up (max_tokens_total)"] == 30 - len(standin.bill)


def test_the_forecast_tells_tokens_and_dollars(groq_key: str) -> None:
    payload = GroqTeacher("llama-3.3-70b-versatile").payload(
        Request("2405.90001", 1, 1, "x" * 4000, 42)
    )
    line = forecast("llama-3.3-70b-versatile", [payload] * 100)
    assert line.startswith("forecast: 100 pages to ask about, about 1")
    assert "$" in line
    assert "$" not in forecast("a model without a price", [payload])


def test_a_model_that_takes_no_response_format_is_asked_without(
    ask: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = StandIn.error

    def answer(self: StandIn, body: dict[str, object], fault: str) -> object:
        if "response_format" in body:
            return refusal(self, 400, "response_format is not supported by this model")
        return original(self, body, fault)  # type: ignore[arg-type]

    original = StandIn.answer
    monkeypatch.setattr(StandIn, "answer", answer)
    with StandIn() as standin:
        assert ask(standin, 4)["facts"]["answers asked for"] == 4


def test_models_that_can_are_held_to_a_schema(groq_key: str) -> None:
    request = Request("2405.90001", 1, 1, "text", 42)
    assert (
        GroqTeacher("openai/gpt-oss-120b").payload(request)["response_format"]["type"]
        == "json_schema"
    )
    assert (
        GroqTeacher("llama-3.3-70b-versatile").payload(request)["response_format"]["type"]
        == "json_object"
    )


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("", GROQ),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/openai/v1"),
        ("https://llm.example/v1/", "https://llm.example/v1"),
    ],
)
def test_any_server_of_the_protocol_can_be_named(url: str, base: str) -> None:
    assert endpoint(url) == base


@pytest.mark.parametrize(
    "url", ["llm.example", "ftp://llm.example", "http://", "https://me:secret@llm.example/v1"]
)
def test_a_bad_address_is_an_error_that_repeats_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2m59.56s", 179.56), ("180ms", 0.18), ("1h2m", 3720), ("7", 7), ("x", None)],
)
def test_durations_are_read_as_groq_writes_them(text: str, value: float | None) -> None:
    assert seconds(text) == (None if value is None else pytest.approx(value))


def test_durations_are_written_as_groq_writes_them() -> None:
    assert duration(179.56) == "2m59.56s"


def test_a_pace_learns_the_rate_from_any_period() -> None:
    clock = [0.0]
    pace = Pace(8, clock=lambda: clock[0])
    number = pace.enter(100, lambda: False)
    assert number is not None
    headers = {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    pace.leave(number, spent=100, headers=headers, good=True)
    clock[0] = 3.0
    tries = iter([False, True])
    assert pace.enter(400, lambda: next(tries)) is None  # 300 tokens came back by now
    clock[0] = 4.1
    assert pace.enter(400, lambda: False) is not None
