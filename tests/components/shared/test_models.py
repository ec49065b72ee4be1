"""Model folders that cannot be used are refused in one clear line each."""

import json
import shutil
from pathlib import Path

import pytest

from components.shared.errors import ModelError
from components.shared.models import attach_adapter, hub, load_base, load_config, load_tokenizer
from components.shared.prompt import encode
from tests.models import random_llama


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "model")


def change(path: Path, **fields: object) -> None:
    content = {**json.loads(path.read_text()), **fields}
    path.write_text(
        json.dumps({name: value for name, value in content.items() if value is not None})
    )


def refused(folder: Path, *words: str) -> None:
    line = ""
    try:
        load_tokenizer(str(folder))
        load_base(str(folder))
    except ModelError as error:
        line = str(error)
    assert line, "it was accepted"
    assert "\n" not in line
    assert str(folder) in line
    for word in words:
        assert word in line


def save_adapter(base: Path, folder: Path, **options: object) -> Path:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        load_base(str(base)), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    )
    model.save_pretrained(str(folder))
    return folder


def test_pickled_weights(tmp_path: Path) -> None:
    refused(
        random_llama(tmp_path / "model", pickled=True),
        "pickled (pytorch_model.bin)",
        "convert it to safetensors",
    )


def test_remote_code(folder: Path) -> None:
    change(
        folder / "config.json",
        model_type="own",
        auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"},
    )
    (folder / "own.py").write_text("raise SystemExit('this code was run')")
    refused(folder, "code of its own, and none is run")


def test_no_end_token(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token=None)
    refused(folder, "no end token")


@pytest.mark.parametrize(
    ("made_with", "named", "pads"),
    [
        ("<|reserved_special_token_0|>", None, "<|reserved_special_token_0|>"),
        ("<pad>", None, "<pad>"),
        ("<pad>", "</s>", "<pad>"),
        (None, None, "<s>"),
        (None, "</s>", "<s>"),
    ],
)
def test_any_token_pads_but_the_end(
    tmp_path: Path, made_with: str | None, named: str | None, pads: str
) -> None:
    folder = random_llama(tmp_path / "model", pad_token=made_with)
    change(folder / "tokenizer_config.json", pad_token=named)
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.pad_token == pads
    assert tokenizer.pad_token_id not in encode(tokenizer, "Quote it.", "The end.").completion


def test_the_end_itself_pads_where_there_is_no_other_special_token(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", pad_token=None)
    change(folder / "tokenizer_config.json", pad_token=None, bos_token=None)
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.pad_token == tokenizer.eos_token  # the label mask is ours
    assert encode(tokenizer, "Quote it.", "The end.").labels[-1] == tokenizer.eos_token_id


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    change(folder / "config.json", vocab_size=300)
    refused(folder, "its weights only 300 tokens")


def test_weights_that_are_cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    refused(folder, "fetch it again")


def test_weights_of_which_some_are_missing(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "1 of its weights are missing", "layers.1.mlp.up_proj")


def test_weights_of_another_shape(folder: Path) -> None:
    change(folder / "config.json", intermediate_size=192)
    refused(folder)


def test_an_adapter_as_base(base: Path, tmp_path: Path) -> None:
    refused(save_adapter(base, tmp_path / "adapter"), "an adapter, not a base model", str(base))


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "no config.json")


@pytest.mark.parametrize("name", ["/nowhere/model", "", "~nobody/model", "a b/c?", "/nowhere.gguf"])
def test_a_base_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"base model.*; name a (folder|GGUF file)"):
        load_config(name)


def test_a_control_token_in_a_text_is_text(base: Path) -> None:
    tokenizer = load_tokenizer(str(base))
    assert tokenizer.eos_token_id not in tokenizer("It ends with </s> in most models.")["input_ids"]


def test_an_adapter_for_a_base_of_other_widths(base: Path, tmp_path: Path) -> None:
    other = random_llama(tmp_path / "other", hidden=128)
    with pytest.raises(ModelError, match="does not fit the base model"):
        attach_adapter(load_base(str(other)), save_adapter(base, tmp_path / "adapter"), "tuned")


def test_an_adapter_for_a_deeper_base(base: Path, folder: Path, tmp_path: Path) -> None:
    adapter = save_adapter(base, tmp_path / "adapter")
    change(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(ModelError, match="has 4 weights, the base takes 2"):
        attach_adapter(load_base(str(folder)), adapter, "tuned")


def test_a_pickled_adapter(base: Path, tmp_path: Path) -> None:
    adapter = save_adapter(base, tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match="only safetensors are read"):
        attach_adapter(load_base(str(base)), adapter, "tuned")


def test_base_models_are_kept_in_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ARXTUNE_MODELS", str(tmp_path))
    assert hub()["cache_dir"] == str(tmp_path)
    monkeypatch.setenv("ARXTUNE_MODELS", str(tmp_path / "not mounted"))
    assert hub()["cache_dir"] is None
    monkeypatch.setenv("ARXTUNE_MODELS", f"{tmp_path}/.")  # a volume of root's
    monkeypatch.setattr("os.access", lambda *_: False)
    assert [hub()["cache_dir"] for _ in range(2)] == [None, None]
    assert capsys.readouterr().out.count("may not write there") == 1
