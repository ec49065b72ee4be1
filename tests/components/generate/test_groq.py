"""The teacher on Groq, asked over real HTTP at the stand-in: limits, faults, caps and batches."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from components.generate.config import GROQ, GenerateConfig
from components.generate.core import make_teacher
from components.generate.limits import RateLimiter, seconds
from components.generate.standin import KEY, StandIn, account_limits, duration
from components.shared.errors import ConfigError, TeacherError
from components.shared.records import Triple, read_records
from components.shared.teachers import plan, teacher
from tests.components.generate.conftest import Played, Run, pages

PASSING_FAULTS = [
    "500", "503", "498", "429", "429:0.05", "413", "reset", "cut", "garbage", "prose", "length",
    "think", "slow:0.1",
]  # fmt: skip
FREE, DEVELOPER = account_limits("free"), account_limits("developer")


def paid_once(standin: StandIn) -> bool:
    return set(Counter(name for name, _ in standin.bill).values()) <= {1}


def test_a_key_alone_ends_in_triples_and_a_rerun_asks_nothing(
    ask: Run, dataset: Callable[[], str], tmp_path: Path
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
    for triple in read_records(tmp_path / "triples/triples.jsonl", Triple):
        assert (triple.teacher, triple.teacher_licence) == (
            "groq/openai/gpt-oss-120b",
            "Apache-2.0",
        )
        assert triple.grounding == 1.0


@pytest.mark.parametrize("fault", PASSING_FAULTS)
def test_a_fault_that_passes_leaves_no_trace(
    ask: Run, dataset: Callable[[], str], fault: str
) -> None:
    with StandIn() as standin:
        ask(standin, store="without")
    expected = dataset()
    with StandIn(faults=[fault] * 2) as standin:
        ask(standin)
    assert dataset() == expected
    assert paid_once(standin)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_any_schedule_of_faults_gives_the_same_triples_and_pays_once(
    ask: Run, dataset: Callable[[], str], seed: int
) -> None:
    with StandIn() as standin:
        ask(standin, 30, store="without")
    expected = dataset()
    with StandIn(fault_rate=0.3, seed=seed) as standin:
        ask(standin, 30)
    assert dataset() == expected
    assert paid_once(standin)
    assert len(standin.requests) > 30


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("401", "the teacher refuses the key (401); check GROQ_API_KEY"),
        ("404", "no model 'openai/gpt-oss-120b' (404); name another by --teacher-model"),
        ("429:4000", "quota of the day is used up, for 1.1 h; run again then: answers are kept"),
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
        assert paid_once(standin)


def test_a_teacher_that_stays_away_stops_the_run_but_one_page_does_not(
    ask: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn(faults=["503"] * 100) as standin, pytest.raises(TeacherError) as caught:
        ask(standin, retries=2, max_in_flight=1)
    assert capsys.readouterr().out.count("answers 503; asking again for a while") == 1
    assert "answers 503, 3 times for one page; run again later" in str(caught.value)
    with StandIn(faults=["", "413", "413", "413", "413"]) as standin:
        summary = ask(standin, max_in_flight=1)
    assert len(standin.bill) == 11
    assert any("too large" in reason for reason in summary["dropped"])


def test_pages_that_are_all_refused_stop_the_run(ask: Run) -> None:
    case = {"status": 400, "error": {"message": "no such thing"}}
    with Played(case) as server, pytest.raises(TeacherError, match="no such thing"):
        ask(server, 30, max_in_flight=2)
    assert len(server.asked) < 20


@pytest.mark.parametrize(
    ("served", "model"),
    [
        (["openai/gpt-oss-20b", "openai/gpt-oss-120b"], "openai/gpt-oss-120b"),
        (["whisper", "openai/gpt-oss-20b"], "openai/gpt-oss-20b"),
        (
            ["whisper"],
            "lists none of the known models; name one by --teacher-model (served: whisper)",
        ),
    ],
)
def test_auto_takes_the_best_known_model_that_is_served(
    ask: Run, tmp_path: Path, served: list[str], model: str
) -> None:
    with Played({"served": served, "content": '{"triples": []}'}) as server:
        if "/" in model:
            ask(server, 1, teacher_model="auto")
            assert server.asked[0]["model"] == model
        else:
            with pytest.raises(TeacherError) as caught:
                ask(server, 1, teacher_model="auto")
            assert model in str(caught.value)


def test_terms_that_forbid_the_base_are_told_before_the_first_question(ask: Run) -> None:
    served = ["meta-llama/Meta-Llama-3-70B", "my-model"]
    with Played({"served": served, "content": ""}) as server:
        for model, base in (("meta-llama/Meta-Llama-3-70B", "gpt2"), ("my-model", "tiny")):
            with pytest.raises(TeacherError, match="may not learn from"):
                ask(server, 2, teacher_model=model, base_model=base)
        ask(server, 0, teacher_model="my-model", allow_licences="open,unknown-teacher")
    assert server.asked == []


def test_a_reasoning_model_is_held_to_the_schema_at_low_effort(ask: Run) -> None:
    with Played({"content": '{"triples": []}'}) as server:
        ask(server, 1, max_answer_tokens=2048)
    (asked,) = server.asked
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert (asked["reasoning_effort"], asked["include_reasoning"]) == ("low", False)
    assert 2048 < asked["max_completion_tokens"] < 4096


def test_fields_that_a_server_does_not_know_are_left_out(ask: Run) -> None:
    refusals = [
        {
            "status": 400,
            "error": {"message": f"Unrecognized request argument: {name}", "param": None},
        }
        for name in ("include_reasoning", "reasoning_effort", "seed")
    ]
    with Played({"replies": [*refusals, {"content": '{"triples": []}'}]}) as server:
        ask(server, 1)
    assert not {"include_reasoning", "reasoning_effort", "seed"} & set(server.asked[-1])
    assert len(server.asked) == 4


@pytest.mark.soak
def test_limits_are_used_up_without_a_storm_of_refusals(ask: Run) -> None:
    minute = 4.0  # long beside the time that a busy machine may take away at once
    with StandIn(limits={"RPM": 30, "TPM": 8000}, minute=minute, latency=0.01) as standin:
        ask(standin, 60, max_answer_tokens=512)
    allowed = 8000 * (1 + (standin.ended - standin.started) / minute)
    assert sum(tokens for _, tokens in standin.bill) >= 0.95 * allowed
    assert standin.requests.count(429) <= 0.02 * len(standin.requests)
    assert len(standin.bill) == 60


@pytest.mark.soak
def test_requests_a_minute_are_learned_from_the_refusal(ask: Run) -> None:
    minute = 4.0
    with StandIn(limits={"RPM": 30, "TPM": 300_000}, minute=minute) as standin:
        summary = ask(standin, 90)
    assert summary["facts"]["answers asked for"] == 90
    assert standin.ended - standin.started < 1.6 * 2 * minute


def test_the_order_in_which_answers_come_does_not_matter(
    ask: Run, dataset: Callable[[], str]
) -> None:
    with StandIn() as standin:
        ask(standin, 20, store="one by one", max_in_flight=1)
    expected, order = dataset(), standin.bill
    with StandIn(faults=["", "slow:0.3", "", "slow:0.2", "", "slow:0.1"], latency=0.02) as standin:
        ask(standin, 20)
    assert standin.bill != order
    assert dataset() == expected


@pytest.mark.parametrize("usage", ["honest", "absent", "lying"])
def test_no_cap_is_ever_passed(ask: Run, usage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = StandIn.answer

    def answer(self: StandIn, *asked: object, **more: object) -> object:
        reply = plain(self, *asked, **more)  # type: ignore[arg-type]
        if usage != "honest" and "usage" in reply.body:
            reply.body["usage"] = (
                None if usage == "absent" else {"prompt_tokens": -7, "completion_tokens": 1e308}
            )
        return reply

    monkeypatch.setattr(StandIn, "answer", answer)
    with StandIn() as standin:
        summary = ask(standin, 30, max_tokens_total=30_000, max_answer_tokens=512, store="tokens")
        spent, dollars = sum(tokens for _, tokens in standin.bill), standin.dollars
        assert 0 < spent <= 30_000
        assert usage != "honest" or spent > 24_000
        assert summary["dropped"]["token budget used up (max_tokens_total)"] == 30 - len(
            standin.bill
        )
        ask(standin, 30, max_dollars=0.01, max_answer_tokens=512, store="dollars")
        assert 0 < standin.dollars - dollars <= 0.01


@pytest.mark.parametrize("plan_limits", [FREE, DEVELOPER])
def test_the_forecast_is_the_bill_and_the_free_plan_asks_for_one_day(
    ask: Run, plan_limits: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn(limits=plan_limits, minute=0.5 if plan_limits is FREE else 60.0) as standin:
        summary = ask(standin, 60, max_answer_tokens=2048)
    facts = summary["facts"]
    bill = facts["prompt, this run"] + facts["completion, this run"]
    assert bill == sum(tokens for _, tokens in standin.bill)
    assert facts["dollars, this run"] == pytest.approx(standin.dollars, rel=0.01)
    assert facts["forecast tokens"] == pytest.approx(bill, rel=0.15)
    assert facts["forecast dollars"] == pytest.approx(standin.dollars, rel=0.15)
    assert ("one day's 200,000 tokens" in capsys.readouterr().out) == (plan_limits is FREE)


def test_one_day_of_the_free_plan_is_spread_over_papers_and_the_next_day_goes_on(
    ask: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts = list(pages(24))
    with StandIn(limits={**FREE, "TPM": 8000}, minute=0.2) as standin:
        monkeypatch.setattr("components.generate.asker.plan", lambda name: plan("free").__class__(
            name, requests_a_day=1000, tokens_a_minute=8000, tokens_a_day=16_000))  # fmt: skip
        first = ask(standin, texts=texts, max_answer_tokens=512)
        left = first["dropped"]["left for another day: the plan's tokens of a day are used up"]
        assert 0 < left < 24
        assert sum(tokens for _, tokens in standin.bill) <= 16_000
        second = ask(standin, texts=texts, max_answer_tokens=512)
        assert second["facts"]["answers from the store"] == 24 - left
        assert paid_once(standin)


@pytest.mark.parametrize("cut_after", ["nothing", "the upload", "the order", "the batch"])
def test_a_batch_costs_half_and_is_found_again_after_a_kill(
    ask: Run, dataset: Callable[[], str], monkeypatch: pytest.MonkeyPatch, cut_after: str
) -> None:
    with StandIn() as standin:
        ask(standin, store="live")
    expected, live = dataset(), standin.dollars
    path = {"the upload": "/files", "the order": "/batches", "the batch": "/batches/batch_1"}
    with StandIn() as standin:
        from components.generate.batch import Batches

        plain = Batches._fetch

        def killed(self: Batches, asked: str, *rest: object) -> object:
            answer = plain(self, asked, *rest)  # type: ignore[arg-type]
            if asked == path.get(cut_after):
                raise KeyboardInterrupt
            return answer

        batch = {"teacher_mode": "batch", "batch_poll_s": 0.05}
        if cut_after != "nothing":
            monkeypatch.setattr(Batches, "_fetch", killed)
            with pytest.raises(KeyboardInterrupt):
                ask(standin, **batch)
            monkeypatch.setattr(Batches, "_fetch", plain)
        ask(standin, **batch)
        assert dataset() == expected
        assert len(standin.batches) == 1
        assert len(standin.bill) == 12
        assert standin.dollars == pytest.approx(live / 2, rel=0.1)
        assert ask(standin, **batch)["facts"]["answers asked for"] == 0


@pytest.mark.parametrize("fault", ["prose", "length", "think"])
def test_what_a_batch_answers_badly_is_asked_for_again(
    ask: Run, dataset: Callable[[], str], fault: str
) -> None:
    with StandIn() as standin:
        ask(standin, 6, store="live")
    expected = dataset()
    with StandIn(faults=[fault, "", fault]) as standin:
        # What the batch set aside, almost all of this, is there again for the questions after it.
        ask(standin, 6, teacher_mode="batch", batch_poll_s=0.05, max_tokens_total=28_000)
    assert dataset() == expected


def test_the_day_s_end_of_the_free_plan_leaves_the_rest(ask: Run) -> None:
    with StandIn(faults=["", "", "429:4000"]) as standin:
        summary = ask(standin, teacher_plan="free", max_in_flight=1)
    (reason,) = summary["dropped"]
    assert reason.startswith("left for another day")
    assert summary["kept"] > 0


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("", GROQ),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/openai/v1"),
        ("https://llm.example/v1/", "https://llm.example/v1"),
    ],
)
def test_any_server_of_the_protocol_can_be_named(url: str, base: str) -> None:
    assert GenerateConfig(teacher_url=url).endpoint == base


@pytest.mark.parametrize(
    "url",
    [
        "llm.example",
        "ftp://llm.example",
        "http://",
        "https://me:secret@llm.example/v1",
        "http://[",
        "http://a:99999",
    ],
)
def test_a_bad_address_is_an_error_that_repeats_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GenerateConfig(teacher_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({"GROQ_API_KEY": KEY}, KEY),
        ({"GROQ_API_KEY": "gsk_other", "ARXTUNE_TEACHER_KEY": f"{KEY}\n"}, KEY),
    ],
)
def test_another_server_has_a_key_of_its_own(
    ask: Run, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str], sent: str
) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    with StandIn(key=sent) as standin:
        assert ask(standin, 2)["kept"] > 0


def test_groq_s_key_goes_to_groq_and_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.generate.groq import _key

    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert (_key(GROQ), _key("http://127.0.0.1:8000/v1")) == (KEY, KEY)
    assert _key("https://llm.example/v1") == ""
    monkeypatch.delenv("GROQ_API_KEY")
    with pytest.raises(
        TeacherError, match="GROQ_API_KEY is not set; set it, or --teacher embedded"
    ):
        make_teacher(GenerateConfig(teacher="groq"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2m59.56s", 179.56),
        ("180ms", 0.18),
        ("1h2m", 3720),
        ("7", 7),
        ("x", None),
        ("9" * 400, None),
    ],
)
def test_durations_are_read_as_groq_writes_them(text: str, value: float | None) -> None:
    found = seconds(text)
    assert found == (None if value is None else pytest.approx(value)) or found == 30 * 86_400
    assert duration(179.56) == "2m59.56s"


def test_a_limiter_learns_the_rate_from_any_period() -> None:
    clock = [0.0]
    limiter = RateLimiter(8, clock=lambda: clock[0])
    number = limiter.enter(100, lambda: False)
    assert number is not None
    headers = {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    limiter.leave(number, spent=100, headers=headers, good=True)
    clock[0] = 3.0
    tries = iter([False, True])
    assert limiter.enter(400, lambda: next(tries)) is None  # 300 tokens came back by now
    clock[0] = 4.1
    assert limiter.enter(400, lambda: False) is not None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "llama-3.3-70b-versatile"}, 404),
        ({"model": "qwen/qwen3-32b"}, 400),
        ({"reasoning_effort": "none"}, 400),
        ({"max_completion_tokens": 70_000}, 400),
        (
            {
                "response_format": {
                    "json_schema": {"strict": True, "schema": {"type": "object", "properties": {}}}
                }
            },
            400,
        ),
        ({}, 200),
    ],
)
def test_the_stand_in_refuses_what_groq_refuses(body: dict[str, object], status: int) -> None:
    asked = {"model": "openai/gpt-oss-120b", "messages": [{"content": "a"}, {"content": "b"}]}
    with StandIn() as standin:
        assert standin.answer({**asked, **body}, "").status == status
    assert teacher("openai/gpt-oss-120b").longest_answer < 70_000
