"""Ended at any point, or given a planted key: nothing is paid twice, nothing leaks.

ARXTUNE_KILLS=30 sets how often the stage is killed; the default keeps the test short.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from components.generate.standin import KEY, StandIn
from components.shared.errors import ArxtuneError
from components.shared.lifetime import exit_cleanly_on_sigterm
from tests.components.generate.conftest import Run

KILLS = int(os.environ.get("ARXTUNE_KILLS", "6"))
PAGES, IN_FLIGHT = 40, 4
SECRET = "gsk_planted5ecret0fThisTestAlone"
_FORK = multiprocessing.get_context("fork")


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ended_at_random_points_it_ends_with_the_same_triples_and_pays_once(
    ask: Run, dataset: Callable[[], str], number: signal.Signals
) -> None:
    with StandIn() as standin:
        ask(standin, PAGES, store="without")
    expected, choose, done = dataset(), random.Random(0), 0

    def stage(standin: StandIn, store: str) -> None:
        exit_cleanly_on_sigterm()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ask(standin, PAGES, store=store, max_in_flight=IN_FLIGHT)

    while done < KILLS:
        store, kills = f"killed {done}", 0
        with StandIn(latency=0.05, fault_rate=0.2, seed=done) as standin:
            for _ in range(4):  # one store is killed over again, until there is nothing left to ask
                process = _FORK.Process(target=stage, args=(standin, store))
                process.start()
                time.sleep(choose.uniform(0.05, 1.0))
                alive = process.is_alive()
                with contextlib.suppress(ProcessLookupError):  # it may end by itself just now
                    os.kill(process.pid or 0, number)
                process.join()
                kills += alive
                if not alive:
                    break
            ask(standin, PAGES, store=store)
        assert dataset() == expected
        twice = sum(times - 1 for times in Counter(name for name, _ in standin.bill).values())
        assert twice <= (kills * IN_FLIGHT if number == signal.SIGKILL else 0)
        done += max(kills, 1)


@pytest.mark.parametrize(
    "faults", [[], ["401"], ["404"], ["429:4000"], ["500"] * 9, ["reset", "garbage", "prose"]]
)
def test_a_key_never_reaches_log_error_or_artifact(
    ask: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    faults: list[str],
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    monkeypatch.setattr(
        StandIn, "_text", lambda self, page, fault: f'[{{"instruction": "{SECRET}"}}]'
    )
    message = ""
    with StandIn(faults=faults, key=SECRET) as standin:
        plain = standin.error
        monkeypatch.setattr(
            standin,
            "error",
            lambda status, text, *rest, **more: plain(status, f"{text} {SECRET}", *rest, **more),
        )
        try:
            ask(standin, 6, retries=3, max_in_flight=1)
        except ArxtuneError as error:
            message = f"{error!r} {error}"
    output = capfd.readouterr()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert SECRET not in message + output.out + output.err
    assert not any(SECRET.encode() in content for content in files)


def test_a_wrong_key_is_refused_before_the_first_page_and_not_repeated(
    ask: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    with StandIn(key=KEY) as standin, pytest.raises(ArxtuneError) as caught:
        ask(standin, 4)
    assert "refuses the key (401)" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert standin.requests == []


def test_a_key_is_in_no_compiled_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kfp import compiler

    from pipelines.arxtune import arxtune

    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    compiler.Compiler().compile(arxtune, str(tmp_path / "arxtune.yaml"))
    assert SECRET not in (tmp_path / "arxtune.yaml").read_text("utf-8")
