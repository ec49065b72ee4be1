"""What only a real language model shows: `make test-real`, up to an hour on two cores."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from components.finetune.config import CPU_RECIPE, FinetuneConfig
from components.finetune.encode import encode
from components.finetune.train import Data, build_trainer
from components.shared.bases import SMOLLM2, locate
from components.shared.models import attach_adapter, load_base, load_tokenizer
from components.shared.prompt import encode_prompt
from pipelines.ask import answer
from pipelines.profile import EMBEDDED_STORE
from pipelines.releases import get_release
from tests.benchmarks.finetune import held_out_loss, quoting_examples
from tests.benchmarks.reference import reference_trainer
from tests.components.finetune import children
from tests.pipelines.conftest import finish
from tests.release_use import answered, answers_of_card

pytestmark = pytest.mark.real

STEPS = 24  # of the children's training
KILLS = 3
DEADLINE_S = 900.0


@pytest.fixture(scope="module")
def base() -> Path:
    return Path(locate(SMOLLM2))


@pytest.fixture(scope="module")
def left_alone(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    trained(base, folder)
    return folder


def trained(base: Path, folder: Path, kind: signal.Signals | None = None, at: int = 0) -> None:
    """Train in a process; send it a signal once it has done step `at`, or a later one of its own."""
    if not (folder / "train").exists():
        children.write_examples(folder)
    at = max([at, *(step + 1 for step in children.steps_run(folder))])
    process = children.start(base, folder, str(folder / "store"))
    until = time.monotonic() + DEADLINE_S
    while kind and at not in children.steps_run(folder):
        assert process.is_alive(), (folder / "log").read_text()
        assert time.monotonic() < until
        time.sleep(0.01)
    if kind:
        os.kill(process.pid, kind)
    process.join(DEADLINE_S)
    expected = (-kind, 128 + kind) if kind else (0,)
    assert process.exitcode in expected, (folder / "log").read_text()


def weights(folder: Path) -> str:
    digest: str = json.loads((folder / "out/adapter/adapter.json").read_text())["adapter_digest"]
    return digest


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_stopped_at_random_steps_it_ends_with_the_same_weights(
    base: Path, left_alone: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    for at in sorted(random.Random(int(kind)).sample(range(1, STEPS - 1), KILLS)):
        trained(base, tmp_path, kind, at)
    trained(base, tmp_path)
    assert weights(tmp_path) == weights(left_alone)
    assert len(children.steps_run(tmp_path)) - STEPS <= KILLS


def test_base_and_adapter_answer_alike_after_they_are_loaded_again(
    base: Path, left_alone: Path
) -> None:
    prompts = [example.prompt for example in quoting_examples()[:6]]
    first, second = (answers(base, left_alone, prompts) for _ in range(2))
    assert first == second
    assert first["base"] != first["tuned"]


def answers(base: Path, folder: Path, prompts: list[str]) -> dict[str, list[list[int]]]:
    import torch

    tokenizer, model = load_tokenizer(str(base)), load_base(str(base))
    model = attach_adapter(model, folder / "out/adapter/weights", "tuned").eval()
    found: dict[str, list[list[int]]] = {"base": [], "tuned": []}

    def answer(prompt: str) -> list[int]:
        ids = torch.tensor([encode_prompt(tokenizer, prompt)])
        how: dict[str, Any] = {"max_new_tokens": 16, "do_sample": False}
        with torch.inference_mode():
            made = model.generate(ids, pad_token_id=tokenizer.pad_token_id, **how)
        return list(made[0, ids.shape[1] :].tolist())

    for prompt in prompts:
        found["tuned"].append(answer(prompt))
        with model.disable_adapter():
            found["base"].append(answer(prompt))
    return found


def test_it_learns_twice_as_fast_as_by_the_reference_recipe(base: Path, tmp_path: Path) -> None:
    encoded = encode(load_tokenizer(str(base)), quoting_examples())
    data, watched = Data(encoded[:48]), encoded[48:60]
    knobs = {**CPU_RECIPE, "max_examples": 0}
    ours = build_trainer(FinetuneConfig(**knobs), str(base), data, tmp_path / "ours")
    same = {"learning_rate": 1e-3, "lora_r": 16, "epochs": 1.0, "warmup_steps": 0}
    reference = FinetuneConfig(recipe="reference", **same)
    theirs = reference_trainer(reference, str(base), data, tmp_path / "reference")
    useful = sum(one.taught for one in data.train)
    speeds, losses = [], []
    for trainer in (ours, theirs):
        trainer.train()
        speeds.append(useful / trainer.progress.seconds)
        losses.append(held_out_loss(trainer.model, watched))
    print(f"completion tokens/s {speeds[0]:.1f} against {speeds[1]:.1f}")
    print(f"held-out loss {losses[0]:.3f} against {losses[1]:.3f}")
    assert speeds[0] >= 2 * speeds[1]
    assert losses[0] <= losses[1]


def test_a_release_answers_as_evaluate_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, folder = tmp_path / "home", tmp_path / "release"
    run = finish(home, "--base-model", SMOLLM2).run
    get_release(EMBEDDED_STORE, home, SMOLLM2, folder)
    asked = answered(run, 20)
    capsys.readouterr()
    told = []
    for example, _ in asked:
        answer(str(folder / "base"), folder, example.prompt, 80)
        told.append(capsys.readouterr().out.split("\nrelease:\n")[1].strip())
    for texts in (told, *answers_of_card(folder, asked)):
        same = sum(text == stored for text, (_, stored) in zip(texts, asked, strict=True))
        assert same >= 19
