"""Promote: only what is better, immutable, and once."""

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.promote.config import PromoteConfig
from components.promote.core import promote
from components.promote.hub import merge
from components.promote.registry import current
from components.promote.release import check_files
from components.shared.errors import ConfigError, DataError, ModelError
from components.shared.licences import Obligation
from components.shared.records import write_records
from components.shared.store import FolderStore, open_store
from tests.builders import source
from tests.models import random_llama


def artifacts(folder: Path, digest: str, word: str = "better", judged: str = "") -> list[Path]:
    train, adapter, evaluation = (folder / name for name in ("train", "adapter", "evaluation"))
    write_records(train / "sources.jsonl", [source("2405.90001")])
    (adapter / "weights").mkdir(parents=True, exist_ok=True)
    (adapter / "weights" / "adapter_model.safetensors").write_bytes(digest.encode())
    (adapter / "weights" / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "/tmp/x/base", "r": 4}'
    )
    (adapter / "weights" / "README.md").write_text("an empty form")
    about = {
        "base": "meta-llama/Meta-Llama-3-8B",
        "base_licence": "llama3",
        "examples": 10,
        "train_digest": "t",
        "adapter_digest": digest,
    }
    (adapter / "adapter.json").write_text(json.dumps(about))
    scores = {"name": "tuned", "rouge1": 0.5, "rouge2": 0.4, "rougeL": 0.45}
    verdict = {
        "word": word,
        "reason": "It is.",
        "adapter_digest": judged or digest,
        "systems": [scores],
    }
    evaluation.mkdir(exist_ok=True)
    (evaluation / "verdict.json").write_text(json.dumps(verdict))
    return [train, adapter, evaluation]


def run(folder: Path, digest: str, **about: Any) -> dict[str, Any]:
    config = PromoteConfig(store=str(folder / "store"))
    return promote(config, *artifacts(folder, digest, **about), folder / f"release-{digest}")[
        "facts"
    ]


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
    assert entry is not None
    assert entry["adapter_digest"] == "aaaa"
    assert run(tmp_path, "bbbb")["version"] == 2


def test_versions_count_up_and_the_same_adapter_is_released_once(tmp_path: Path) -> None:
    assert [run(tmp_path, digest)["version"] for digest in ("aaaa", "aaaa", "bbbb", "aaaa")] == [
        1,
        1,
        2,
        3,
    ]


def test_the_release_carries_weights_card_notice_and_verdict(tmp_path: Path) -> None:
    entry = run(tmp_path, "aaaa")
    store = open_store(str(tmp_path / "store"))
    files = store.files_of(entry["prefix"]) or {}
    assert set(files) >= {
        "adapter_model.safetensors",
        "README.md",
        "NOTICE",
        "LICENSE",
        "verdict.json",
        "SHA256SUMS",
    }
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
    rows = [
        ("name", "Llama 3", "Name it so."),
        ("display", "Built with Meta Llama 3", "Show it."),
        ("notice", "N.", ""),
    ]
    duties = [
        Obligation(kind=k, text=t, value=v, due_to="teacher llama3", source="1.b")
        for k, v, t in rows
    ]
    write_records(folders[0] / "obligations.jsonl", duties)
    promote(config, *folders, tmp_path / "release")
    read = {
        name: (tmp_path / "release" / name).read_text("utf-8")
        for name in ("README.md", "NOTICE", "LICENSE")
    }
    assert "# Llama 3 arxtune\n" in read["README.md"]
    assert "Built with Meta Llama 3" in read["README.md"]
    assert "N." in read["NOTICE"].splitlines()
    assert "Show it. (due to teacher llama3; 1.b)" in read["LICENSE"]


def test_a_title_with_line_breaks_stays_one_line_of_the_notice(tmp_path: Path) -> None:
    folders = artifacts(tmp_path, "aaaa")
    hostile = source("2405.90001")
    hostile.title = "Two\nlines\n- forged entry"
    write_records(folders[0] / "sources.jsonl", [hostile])
    promote(PromoteConfig(store=str(tmp_path / "store")), *folders, tmp_path / "release")
    assert "- Two lines - forged entry. " in (tmp_path / "release" / "NOTICE").read_text("utf-8")


def test_no_path_of_this_machine_is_released(tmp_path: Path) -> None:
    run(tmp_path, "aaaa")
    settings = json.loads((tmp_path / "release-aaaa" / "adapter_config.json").read_text("utf-8"))
    assert settings == {"base_model_name_or_path": "meta-llama/Meta-Llama-3-8B", "r": 4}


def test_every_file_of_the_release_folder_has_its_hash(tmp_path: Path) -> None:
    run(tmp_path, "aaaa")
    folder = tmp_path / "release-aaaa"
    listed = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert listed.returncode == 0, listed.stdout
    assert check_files(folder) == len(listed.stdout.splitlines()) > 5
    for name in ("NOTICE", "adapter_model.safetensors", "SHA256SUMS"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before + b"x")
        with pytest.raises(DataError, match=name):
            check_files(folder)
        (folder / name).write_bytes(before)


def test_pushing_without_a_token_or_a_network_is_one_line_and_the_release_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PromoteConfig(store=str(tmp_path / "store"), push_to="somebody/arxtune")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="set HF_TOKEN"):
        promote(config, *artifacts(tmp_path, "aaaa"), tmp_path / "release")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(
            "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}"
        )
        monkeypatch.setenv("HF_TOKEN", "hf_invented")
        with pytest.raises(
            ModelError, match=r"somebody/arxtune.*the release itself stands"
        ) as caught:
            promote(config, *artifacts(tmp_path, "aaaa"), tmp_path / "release")
    assert "hf_invented" not in str(caught.value)
    entry = current(open_store(config.store), "arxtune")
    assert entry is not None
    assert entry["version"] == 1


def test_a_merged_model_answers_as_base_and_adapter_together(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    base = random_llama(tmp_path / "adapter" / "base")
    how = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), how).save_pretrained(
        tmp_path / "adapter" / "weights"
    )
    (tmp_path / "adapter" / "adapter.json").write_text(
        json.dumps({"base": "random", "base_path": "base"})
    )
    merge(tmp_path / "adapter", tmp_path / "merged")
    both = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter" / "weights"
    )
    ids = torch.tensor([[5, 9, 17, 3]])
    with torch.inference_mode():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(ids).logits
        assert torch.allclose(merged, both(ids).logits, atol=1e-4)
