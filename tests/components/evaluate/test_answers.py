"""Answers of real models: a random Llama, two random adapters, one load."""

from pathlib import Path
from typing import Any

import pytest
from invented_run import make_examples
from random_models import make_adapter, make_weights

from components.evaluate.answers import AnswerCache, model_answers, system_key
from components.evaluate.champion import find_champion
from components.evaluate.config import EvaluateConfig
from components.evaluate.generation import BatchSize, Generation, generate
from components.shared.errors import StoreError
from components.shared.records import Adapter, Example, digest
from components.shared.releases import Release, append
from components.shared.store import FolderStore

EXAMPLES = make_examples(3, 2, 40, seed=7)
CONFIG = EvaluateConfig(max_new_tokens=12, batch_size=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an adapter, as finetune writes it, and an older one."""
    root = tmp_path_factory.mktemp("models")
    make_adapter(root / "adapter", EXAMPLES)
    make_weights(root / "adapter" / "base", root / "older", seed=3)
    return root


def answers(
    made: Path, store: FolderStore, examples: list[Example] = EXAMPLES
) -> dict[str, list[Generation]]:
    config = EvaluateConfig.build({"store": str(store.root), "max_new_tokens": 12, "batch_size": 4})
    adapter = Adapter.read(made / "adapter")
    champion, _ = find_champion(store, config.release, adapter)
    return model_answers(config, store, examples, made / "adapter", adapter, champion).answers


def release(store: FolderStore, digest: str = "older-digest") -> None:
    entry = Release(
        version=1,
        adapter_digest=digest,
        base="random-llama",
        prefix="releases/arxtune/v1-older",
        manifest="",
        sums="",
    )
    append(store, "arxtune", entry)


def test_base_tuned_and_champion_answer_differently_from_one_load(
    made: Path, tmp_path: Path
) -> None:
    store = FolderStore(tmp_path)
    store.put_folder("releases/arxtune/v1-older", made / "older")
    release(store)
    found = answers(made, store)
    assert list(found) == ["base", "tuned", "champion"]
    texts = [tuple(answer.text for answer in system) for system in found.values()]
    assert len(set(texts)) == 3
    assert all(len(system) == len(EXAMPLES) for system in found.values())
    assert all(0 < answer.tokens <= 12 for system in found.values() for answer in system)


def test_the_base_answers_the_same_with_adapters_beside_it(made: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = answers(made, FolderStore(tmp_path))["base"]
    tokenizer = AutoTokenizer.from_pretrained(made / "adapter" / "base")
    model = AutoModelForCausalLM.from_pretrained(made / "adapter" / "base").eval()
    prompt = tokenizer(EXAMPLES[0].prompt, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        output = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    alone = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    assert found[0].text.split() == alone.split()


def test_the_champion_answers_as_it_does_alone(made: Path, tmp_path: Path) -> None:
    from components.shared.models import attach_adapter, load_base, load_tokenizer

    store = FolderStore(tmp_path)
    store.put_folder("releases/arxtune/v1-older", made / "older")
    release(store)
    found = answers(made, store)["champion"]
    base = str(made / "adapter" / "base")
    model = attach_adapter(load_base(base, "none"), made / "older", "champion").eval()
    prompts = [example.prompt for example in EXAMPLES]
    alone: dict[int, Generation] = {}
    for made_alone in generate(model, load_tokenizer(base), prompts, 12, BatchSize(4)):
        alone |= made_alone
    assert [alone[place] for place in range(len(prompts))] == found


def test_answers_in_the_store_are_not_generated_again(made: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = answers(made, store)
    (made / "adapter" / "weights").rename(made / "adapter" / "hidden")
    try:
        assert answers(made, store) == first
    finally:
        (made / "adapter" / "hidden").rename(made / "adapter" / "weights")


def test_a_killed_run_goes_on_with_the_systems_that_are_missing(made: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = answers(made, store)
    config = EvaluateConfig.build({"store": str(tmp_path), "max_new_tokens": 12})
    kept = {digest(example.prompt)[:32]: ["kept", 1, True] for example in EXAMPLES}
    for key in list(store.list(system_key(config, "random-llama", "base"))):
        store.delete(key)
    AnswerCache(store, f"{system_key(config, 'random-llama', 'base')}/answers").add(kept)
    for key in list(store.list(system_key(config, "random-llama", "tuned-digest"))):
        store.delete(key)
    again = answers(made, store)
    assert [answer.text for answer in again["base"]] == ["kept"] * len(EXAMPLES)
    assert again["tuned"] == first["tuned"]


def test_a_release_that_is_not_whole_is_an_error_that_names_it(made: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    release(store)
    with pytest.raises(
        StoreError, match="releases/arxtune/v1-older is named by the release log but is not whole"
    ):
        answers(made, store)


@pytest.mark.parametrize("key", ["answers", "losses"])
def test_an_answer_that_was_changed_in_the_store_is_made_again(
    made: Path, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path)
    first = answers(made, store)
    changed = next(store.list(f"{system_key(CONFIG, 'random-llama', 'tuned-digest')}/{key}"))
    store.put(changed, (store.get(changed) or b"").replace(b"1", b"2"))
    assert answers(made, store) == first
    assert f"{changed} is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", [{"base": "other"}, {"digest": "other"}, {"limit": 13}, {"quantisation": "nf4"}]
)
def test_the_key_changes_with_all_that_an_answer_depends_on(change: dict[str, Any]) -> None:
    def key(
        base: str = "base", digest: str = "d", limit: int = 12, quantisation: str = "auto"
    ) -> str:
        config = EvaluateConfig(max_new_tokens=limit, quantisation=quantisation)
        return system_key(config, base, digest)

    assert key() == key()
    assert key(quantisation="none") == key(), "auto is named by what it became"
    assert key(**change) != key()


def test_another_version_of_a_library_makes_other_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    before = system_key(CONFIG, "base", "d")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
    assert system_key(CONFIG, "base", "d") != before


def test_a_real_base_on_a_cpu_gets_limits_unless_others_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("components.evaluate.config.tuned_on_cpu", lambda name: name != "tiny")
    real, own = (
        Adapter(base="smollm2", base_path=path, trained=True, adapter_digest="")
        for path in ("", "base")
    )

    def limits(adapter: Adapter, **knobs: int) -> tuple[int, int]:
        config = EvaluateConfig(**knobs).settled(adapter)
        return config.max_new_tokens, config.max_examples

    assert limits(real) == (48, 60)
    assert limits(own) == (256, -1)
    assert limits(real, max_new_tokens=80, max_examples=0) == (80, 0)
