"""Promote: only what is better, immutable, and once."""

import dataclasses
import hashlib
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.promote.config import PromoteConfig
from components.promote.core import promote
from components.promote.hub import merge
from components.promote.release import check_files
from components.shared.errors import ArxtuneError, ConfigError, DataError
from components.shared.licences import Obligation
from components.shared.records import Adapter, write_records
from components.shared.releases import current
from components.shared.store import FolderStore, open_store
from tests.builders import source
from tests.models import random_llama
from tests.verdicts import scores
from tests.verdicts import verdict as some_verdict


def artifacts(
    folder: Path, weights: str, word: str = "better", judged: str = "", **about: Any
) -> list[Path]:
    train, adapter, evaluation = (folder / name for name in ("train", "adapter", "evaluation"))
    write_records(train / "sources.jsonl", [source("2405.90001")])
    (adapter / "weights").mkdir(parents=True, exist_ok=True)
    (adapter / "weights" / "adapter_model.safetensors").write_bytes(weights.encode())
    (adapter / "weights" / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "/tmp/x/base", "r": 4}'
    )
    (adapter / "weights" / "README.md").write_text("an empty form")
    row = {
        "base": "meta-llama/Meta-Llama-3-8B",
        "base_path": "",
        "base_licence": "llama3",
        "trained": True,
        "train_digest": "t",
        "adapter_digest": digest_of(weights),
        "extra": {"examples": 10},
    }
    Adapter(**{**row, **about}).write(adapter)
    now = current(FolderStore(folder / "store"), "arxtune")
    tuned = dataclasses.replace(scores("tuned", 0.45), rouge1=0.5, rouge2=0.4)
    verdict = dataclasses.replace(
        some_verdict(),
        word=word,
        reason="It is.",
        adapter_digest=digest_of(judged or weights),
        systems=[tuned],
        champion={"version": now.version, "adapter_digest": now.adapter_digest} if now else None,
    )
    verdict.write(evaluation / "verdict.json")
    return [train, adapter, evaluation]


def digest_of(weights: str) -> str:
    return hashlib.sha256(weights.encode()).hexdigest()


def run(folder: Path, weights: str, **about: Any) -> dict[str, Any]:
    config = PromoteConfig(store=str(folder / "store"))
    inputs = artifacts(folder, weights, **about)
    return promote(config, *inputs, folder / f"release-{weights}")["facts"]


def texts_of(release: Path) -> dict[str, str]:
    names = ("README.md", "NOTICE", "LICENSE")
    return {name: (release / name).read_text("utf-8") for name in names}


def test_a_release_is_whole_before_the_pointer_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "aaaa")

    def crash(self: FolderStore, log: str, entry: dict[str, Any]) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "append", crash)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "bbbb")
    entry = current(open_store(str(tmp_path / "store")), "arxtune")
    assert entry
    assert entry.adapter_digest == digest_of("aaaa")
    assert run(tmp_path, "bbbb")["version"] == 2


def test_versions_count_up_and_the_same_adapter_is_released_once(tmp_path: Path) -> None:
    versions = [run(tmp_path, digest)["version"] for digest in ("aaaa", "aaaa", "bbbb", "aaaa")]
    assert versions == [1, 1, 2, 3]


def test_the_release_carries_weights_card_notice_and_verdict(tmp_path: Path) -> None:
    entry = run(tmp_path, "aaaa")
    store = open_store(str(tmp_path / "store"))
    files = store.files_of(entry["prefix"]) or {}
    names = "adapter_model.safetensors README.md NOTICE LICENSE verdict.json SHA256SUMS"
    assert set(files) >= set(names.split())
    notice = (store.get(files["NOTICE"]) or b"").decode()
    assert "Title of 2405.90001. Invented Author Group 01. arXiv:2405.90001v1" in notice
    assert "Built with Meta Llama 3" in notice


@pytest.mark.parametrize(
    "word", ["worse", "no evidence", "better than base, not better than copying"]
)
def test_anything_but_better_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match="only an adapter that is 'better' is promoted"):
        run(tmp_path, "aaaa", word=word)
    assert current(open_store(str(tmp_path / "store")), "arxtune") is None


def test_a_verdict_on_another_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="about another adapter"):
        run(tmp_path, "aaaa", judged="bbbb")


def test_the_card_is_one_that_the_hub_reads(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    run(tmp_path, "aaaa")
    card = ModelCard.load(tmp_path / "release-aaaa" / "README.md")
    assert card.data.base_model == "meta-llama/Meta-Llama-3-8B"
    assert (card.data.license, card.data.library_name) == ("llama3", "peft")
    (result, *_) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("rouge1", 0.5)
    assert "an empty form" not in card.text


def test_the_duties_of_data_and_teacher_name_the_release_and_fill_notice_and_licence(
    tmp_path: Path,
) -> None:
    config = PromoteConfig(store=str(tmp_path / "store"))
    folders = artifacts(tmp_path, "aaaa")
    due = {"due_to": "teacher llama3", "source": "1.b"}
    duties = [
        Obligation(kind="name", value="Llama 3", text="Name it so.", **due),
        Obligation(kind="display", value="Built with Meta Llama 3", text="Show it.", **due),
        Obligation(kind="notice", value="N.", text="", **due),
    ]
    write_records(folders[0] / "obligations.jsonl", duties)
    promote(config, *folders, tmp_path / "release")
    read = texts_of(tmp_path / "release")
    assert "# Llama 3 arxtune\n" in read["README.md"]
    assert "Built with Meta Llama 3" in read["README.md"]
    assert "N." in read["NOTICE"].splitlines()
    assert "Show it. (due to teacher llama3; 1.b)" in read["LICENSE"]


def test_no_path_of_this_machine_is_released(tmp_path: Path) -> None:
    run(tmp_path, "aaaa")
    settings = json.loads((tmp_path / "release-aaaa" / "adapter_config.json").read_text("utf-8"))
    assert settings == {"base_model_name_or_path": "meta-llama/Meta-Llama-3-8B", "r": 4}


def test_every_file_of_the_release_folder_has_its_hash_and_none_changes_after(
    tmp_path: Path,
) -> None:
    run(tmp_path, "aaaa")
    folder = tmp_path / "release-aaaa"
    listed = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert listed.returncode == 0, listed.stdout
    count = len(listed.stdout.splitlines())
    assert check_files(folder) == count > 5
    assert len([path for path in folder.rglob("*") if path.is_file()]) == count + 2
    for path in [path for path in folder.rglob("*") if path.name != "release.json"]:
        before = path.read_bytes()
        path.write_bytes(before + b"x")
        with pytest.raises(DataError, match=re.escape(path.name)):
            check_files(folder)
        path.write_bytes(before)
    (folder / "more").write_text("x")
    with pytest.raises(DataError, match="added: more"):
        check_files(folder)


def test_a_push_without_a_token_is_refused_before_anything_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PromoteConfig(store=str(tmp_path / "store"), push_to="somebody/arxtune")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="set HF_TOKEN"):
        promote(config, *artifacts(tmp_path, "aaaa"), tmp_path / "release")
    assert current(open_store(config.store), "arxtune") is None


def test_a_push_that_fails_is_told_and_the_release_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = PromoteConfig(store=str(tmp_path / "store"), push_to="somebody/arxtune")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(
            "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}"
        )
        monkeypatch.setenv("HF_TOKEN", "hf_invented")
        facts = promote(config, *artifacts(tmp_path, "aaaa"), tmp_path / "release")["facts"]
    assert (facts["version"], facts["pushed"]) == (1, False)
    told = capsys.readouterr().out
    assert "NOT pushed to somebody/arxtune" in told
    assert "hf_invented" not in told


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"push_to": "nobody"}, "owner/name"),
        ({"push_to": "a/b/c"}, "owner/name"),
        ({"push_to": "a/b\n"}, None),
        ({"release": "arxtune/log"}, "cannot be used"),
        ({"release": ".."}, "cannot be used"),
        ({"release": "x" * 300}, "cannot be used"),
        ({"release": "a\u202eb"}, "cannot be used"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(
    knobs: dict[str, str], message: str | None
) -> None:
    if message is None:
        assert "\n" not in PromoteConfig(**knobs).push_to
        return
    with pytest.raises(ArxtuneError, match=message):
        PromoteConfig(**knobs)


def test_the_papers_that_an_adapter_has_seen_go_on_to_what_is_trained_from_it(
    tmp_path: Path,
) -> None:
    first = artifacts(tmp_path, "aaaa")
    write_records(first[0] / "sources.jsonl", [source("2405.90001"), source("2405.90007")])
    config = PromoteConfig(store=str(tmp_path / "store"))
    promote(config, *first, tmp_path / "release-1")
    again = artifacts(tmp_path, "bbbb", continued_from=digest_of("aaaa"))
    promote(config, *again, tmp_path / "release-2")
    seen = json.loads((tmp_path / "release-2" / "trained_papers.json").read_text())
    assert seen == ["2405.90001", "2405.90007"]


HOSTILE = 'x\n---\nlicense: mit\n# Forged\n![](http://tracker) <b> "q" \x1b[2J \u202e | |'


def test_nothing_from_outside_is_markup_in_card_notice_and_licence(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    folders = artifacts(tmp_path, "aaaa", base=f"org/{HOSTILE}", base_licence=HOSTILE)
    hostile = source("2405.90001")
    hostile.title, hostile.authors = HOSTILE, [HOSTILE]
    hostile.licence = f"CC BY\n- forged{HOSTILE}"
    write_records(folders[0] / "sources.jsonl", [hostile])
    duty = {"kind": "display", "text": HOSTILE, "due_to": HOSTILE, "source": HOSTILE}
    write_records(folders[0] / "obligations.jsonl", [Obligation(value=HOSTILE, **duty)])
    promote(PromoteConfig(store=str(tmp_path / "store")), *folders, tmp_path / "release")
    read = texts_of(tmp_path / "release")
    for text in read.values():
        assert not {"\x1b", "\u202e"} & set(text)
        assert not [line for line in text.splitlines() if line.startswith(("# Forged", "- forged"))]
    assert read["NOTICE"].count("\n- ") == 1
    card = ModelCard(read["README.md"])
    assert card.data.license == "other"
    assert "![](" not in card.text
    assert "<b>" not in card.text


def test_a_merged_model_answers_as_base_and_adapter_together(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    base = random_llama(tmp_path / "adapter" / "base")
    how = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), how).save_pretrained(
        tmp_path / "adapter" / "weights"
    )
    Adapter(base="random", base_path="base", trained=True, adapter_digest="d").write(
        tmp_path / "adapter"
    )
    merge(tmp_path / "adapter", tmp_path / "merged")
    both = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter" / "weights"
    )
    ids = torch.tensor([[5, 9, 17, 3]])
    with torch.inference_mode():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(ids).logits
        assert torch.allclose(merged, both(ids).logits, atol=1e-4)
