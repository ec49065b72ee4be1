"""Promote: only what is better, immutable, and once."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.promote.config import PromoteConfig
from components.promote.core import promote
from components.promote.registry import current
from components.shared.errors import DataError
from components.shared.records import write_records
from components.shared.store import FolderStore, open_store
from tests.builders import source


def artifacts(folder: Path, digest: str, word: str = "better", judged: str = "") -> list[Path]:
    train, adapter, evaluation = (folder / name for name in ("train", "adapter", "evaluation"))
    write_records(train / "sources.jsonl", [source("2405.90001")])
    (adapter / "weights").mkdir(parents=True, exist_ok=True)
    (adapter / "weights" / "adapter_model.safetensors").write_bytes(digest.encode())
    about = {
        "base": "meta-llama/Meta-Llama-3-8B",
        "base_licence": "llama3",
        "examples": 10,
        "train_digest": "t",
        "adapter_digest": digest,
    }
    (adapter / "adapter.json").write_text(json.dumps(about))
    scores = {"name": "tuned", "rouge1": 0.5, "rouge2": 0.4, "rougeL": 0.45}
    verdict = {"word": word, "reason": "It is.", "adapter_digest": judged or digest, "systems": [scores]}
    evaluation.mkdir(exist_ok=True)
    (evaluation / "verdict.json").write_text(json.dumps(verdict))
    return [train, adapter, evaluation]


def run(folder: Path, digest: str, **about: Any) -> dict[str, Any]:
    config = PromoteConfig(store=str(folder / "store"))
    return promote(config, *artifacts(folder, digest, **about), folder / f"release-{digest}")["facts"]


def test_a_release_is_whole_before_the_pointer_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert [run(tmp_path, digest)["version"] for digest in ("aaaa", "aaaa", "bbbb", "aaaa")] == [1, 1, 2, 3]


def test_the_release_carries_weights_card_notice_and_verdict(tmp_path: Path) -> None:
    entry = run(tmp_path, "aaaa")
    store = open_store(str(tmp_path / "store"))
    files = {key.removeprefix(f"{entry['prefix']}/files/") for key in store.list(f"{entry['prefix']}/files")}
    assert files >= {"weights/adapter_model.safetensors", "README.md", "NOTICE", "verdict.json", "adapter.json"}
    notice = (store.get(f"{entry['prefix']}/files/NOTICE") or b"").decode()
    assert "Title of 2405.90001. Invented Author Group 01. arXiv:2405.90001v1" in notice
    assert "Built with Meta Llama 3" in notice


@pytest.mark.parametrize("word", ["worse", "no evidence", "better than base, not better than copying"])
def test_anything_but_better_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match="only an adapter that is 'better' is promoted"):
        run(tmp_path, "aaaa", word=word)
    assert current(open_store(str(tmp_path / "store")), "arxtune") is None


def test_a_verdict_on_another_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="about another adapter"):
        run(tmp_path, "aaaa", judged="bbbb")
