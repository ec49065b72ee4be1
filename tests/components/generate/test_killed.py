"""Killed at any point, run twice at once, or given a planted key: nothing is paid twice, nothing leaks.

ARXTUNE_KILLS=30 sets how often the stage is killed; the default keeps the test short.
"""

import contextlib
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from components.generate.standin import KEY, StandIn
from components.shared.errors import ArxtuneError
from tests.components.generate.conftest import Run

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("ARXTUNE_KILLS", "6"))
PAGES = 40
SECRET = "gsk_planted5ecret0fThisTestAlone"
_FORK = multiprocessing.get_context("fork")


def test_killed_at_random_points_it_ends_with_the_same_triples_and_pays_once(
    ask: Run, dataset: Callable[[], str]
) -> None:
    with StandIn() as standin:
        ask(standin, PAGES, store="without")
    expected, choose, done = dataset(), random.Random(0), 0
    while done < KILLS:
        store = f"killed {done}"
        with StandIn(latency=0.05, fault_rate=0.2, seed=done) as standin:
            for _ in range(6):  # one store is killed over again, until there is nothing left to ask
                stage = _FORK.Process(
                    target=ask, args=(standin, PAGES, store), kwargs={"max_in_flight": 4}
                )
                stage.start()
                time.sleep(choose.uniform(0.05, 1.5))
                alive = stage.is_alive()
                stage.kill()
                stage.join()
                done += alive
                if not alive or done >= KILLS:
                    break
            ask(standin, PAGES, store=store)
        assert dataset() == expected
        assert max(Counter(name for name, _ in standin.bill).values()) == 1


def test_two_runs_at_once_pay_once(ask: Run) -> None:
    with StandIn(latency=0.05) as standin:
        runs = [_FORK.Process(target=ask, args=(standin, 20)) for _ in range(2)]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        assert [run.exitcode for run in runs] == [0, 0]
    assert len(standin.bill) == 20
    assert max(Counter(name for name, _ in standin.bill).values()) == 1


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
    message = ""
    with StandIn(faults=faults, key=SECRET) as standin, contextlib.ExitStack() as stack:
        plain = standin.error
        monkeypatch.setattr(
            standin, "error", lambda status, text, *rest: plain(status, f"{text} {SECRET}", *rest)
        )
        try:
            ask(standin, 6, retries=3, max_in_flight=1)
        except ArxtuneError as error:
            message = f"{error!r} {error}"
        stack.close()
    output = capfd.readouterr()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert SECRET not in message + output.out + output.err
    assert not any(SECRET.encode() in content for content in files)


def test_a_wrong_key_is_not_repeated(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    with StandIn(key=KEY) as standin, pytest.raises(ArxtuneError) as caught:
        ask(standin, 4)
    assert "refuses the key (401)" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_key_is_in_no_compiled_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kfp import compiler

    from pipelines.arxtune import arxtune

    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    compiler.Compiler().compile(arxtune, str(tmp_path / "arxtune.yaml"))
    assert SECRET not in (tmp_path / "arxtune.yaml").read_text("utf-8")
