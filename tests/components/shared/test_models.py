"""Models as they are published: odd ones work, unusable ones are one clear line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.shared.errors import ModelError
from components.shared.models import (
    UNBOUNDED,
    attach_adapter,
    context_length,
    hub,
    load_base,
    load_config,
    load_tokenizer,
    published_quantisation,
)
from components.shared.prompt import encode
from tests.models import random_gpt2, random_llama

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "model")


def change(path: Path, **fields: object) -> None:
    """Set fields of a JSON file; None removes one."""
    content = {**json.loads(path.read_text()), **fields}
    left = {name: value for name, value in content.items() if value is not None}
    path.write_text(json.dumps(left))


def config(**fields: object) -> Change:
    return lambda folder: change(folder / "config.json", **fields)


def tokenizer_config(**fields: object) -> Change:
    return lambda folder: change(folder / "tokenizer_config.json", **fields)


def file(name: str, content: bytes | None) -> Change:
    """Write a file of the folder, or remove it."""

    def write(folder: Path) -> None:
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return write


def weights(edit: Callable[[dict[str, Any]], object]) -> Change:
    """Edit the tensors by name."""

    def write(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return write


def rename_half(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if "layers.1." in name]:
        tensors[f"base_model.{name}"] = tensors.pop(name)


def as_bf16(tensors: dict[str, Any]) -> None:
    for name in tensors:
        tensors[name] = tensors[name].bfloat16()


def plant_nan(tensors: dict[str, Any]) -> None:
    tensors["model.layers.0.mlp.down_proj.weight"][0, 0] = float("nan")


def add_tokens(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    more = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    for number in range(3):
        token = {"id": 9000 + number, "content": f"<|new{number}|>", "special": True, **more}
        content["added_tokens"].append(token)
    path.write_text(json.dumps(content))


def shard_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    text = json.dumps({"metadata": {}, "weight_map": shards})
    (folder / "model.safetensors.index.json").write_text(text)


def index_of_another_shape(folder: Path) -> None:
    shard_missing(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ["a"]}')


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}
QUANTISED = {
    name: config(quantization_config={"quant_method": name, **more})
    for name, more in {
        "gptq": {"bits": 4, "group_size": 128},
        "awq": {"bits": 4, "group_size": 128},
        "fp8": {"activation_scheme": "dynamic"},
        "mxfp4": {},
        "compressed-tensors": {"format": "int-quantized"},
    }.items()
}
EIGHT_BITS = {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False}
REFUSED: dict[str, tuple[Change, tuple[str, ...]]] = {
    "no end token": (tokenizer_config(eos_token=None), ("no end token", "eos_token")),
    "tokens beyond the weights": (add_tokens, ("token 316", "only 314 tokens")),
    "a smaller embedding": (config(vocab_size=300), ("its weights only 300 tokens",)),
    **{f"quantised by {name}": (how, (name, "unquantised")) for name, how in QUANTISED.items()},
    "in 8 bits": (config(quantization_config=EIGHT_BITS), ("bitsandbytes", "4 bits")),
    "a shard missing": (shard_missing, ("model-00002-of-00002.safetensors is missing",)),
    "an index of another shape": (index_of_another_shape, ("has no weight_map",)),
    "no weights": (file("model.safetensors", None), ("there are no weights",)),
    "weights cut off": (cut, ("model.safetensors is damaged", "fetch the model again")),
    "a pointer for weights": (file("model.safetensors", POINTER), ("git lfs pull",)),
    "a pointer for a tokenizer": (file("tokenizer.json", POINTER), ("git lfs pull",)),
    "a pointer for a config": (file("config.json", POINTER), ("git lfs pull",)),
    "an unknown type": (config(model_type="llama9"), ("llama9",)),
    "no type": (config(model_type=None, architectures=None), ("model_type",)),
    "a NaN": (weights(plant_nan), ("layers.0.mlp.down_proj", "no numbers")),
    "no tokenizer": (no_tokenizer, ("has no tokenizer",)),
    "an empty tokenizer": (file("tokenizer.json", b"{}"), ("tokenizer",)),
    "an adapter beside it": (file("adapter_config.json", b"{}"), ("adapter_config.json",)),
    "a bad rope": (config(rope_parameters=LLAMA3_ROPE), ("low_freq_factor",)),
    "half under other names": (weights(rename_half), ("9 of its weights are missing",)),
    "one weight missing": (
        weights(lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight")),
        ("1 of its weights are missing", "layers.1.mlp.up_proj"),
    ),
    "another shape": (config(intermediate_size=192), ()),
    "no JSON": (file("config.json", b"{"), ()),
    "a list for a config": (file("config.json", b"[]"), ()),
    "another code": (
        config(model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.M"}),
        ("code of its own, and none is run",),
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_cannot_be_trained_on_is_refused_in_one_line(folder: Path, case: str) -> None:
    spoil, words = REFUSED[case]
    spoil(folder)
    (folder / "own.py").write_text("raise SystemExit('this code was run')")
    refused(folder, *words)


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


def test_pickled_weights(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", pickled=True)
    refused(folder, "pickled (pytorch_model.bin)", "convert it to safetensors")


ACCEPTED: dict[str, Change] = {
    "as it is": lambda folder: None,
    "pad is the end": tokenizer_config(pad_token="</s>"),
    "no pad": tokenizer_config(pad_token=None),
    "in bf16": weights(as_bf16),
    "a bad generation config": file(
        "generation_config.json",
        b'{"eos_token_id": [1, 2], "temperature": 0.6, "top_p": 0.9, "do_sample": false}',
    ),
    "another end in the config": config(eos_token_id=5),
    "an unknown tokenizer class": tokenizer_config(tokenizer_class="LlamaTokenizerNew"),
    "a tiny model_max_length": tokenizer_config(model_max_length=16, truncation_side="left"),
    "gpt2": lambda folder: random_gpt2(folder, positions=512),
    "tied": lambda folder: random_llama(folder, tie_word_embeddings=True),
    "a padded vocabulary": lambda folder: random_llama(folder, more_rows=64),
}


@pytest.mark.parametrize("case", sorted(ACCEPTED))
def test_harmless_oddities_are_trained_on_and_answer(
    folder: Path, tmp_path: Path, case: str
) -> None:
    import torch

    ACCEPTED[case](folder)
    tokenizer, model = load_tokenizer(str(folder)), load_base(str(folder))
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    rows = [encode(tokenizer, "Quote the sentence. " * n, "It sends each token.") for n in (1, 9)]
    assert {row.completion[-1] for row in rows} == {tokenizer.eos_token_id}
    longest = max(map(len, rows))
    ids = [[*row.input_ids, *[tokenizer.pad_token_id] * (longest - len(row))] for row in rows]
    labels = [[*row.labels, *[-100] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    given = {"input_ids": ids, "labels": labels, "attention_mask": mask}
    loss = model(**{name: torch.tensor(value) for name, value in given.items()}).loss
    loss.backward()
    assert 0 < float(loss.detach()) < 20


def test_a_base_that_was_published_in_4_bits_stays_so(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    model = AutoModelForCausalLM.from_pretrained(base, quantization_config=how)
    folder = shutil.copytree(base, tmp_path / "nf4")
    model.save_pretrained(folder)
    assert published_quantisation(load_config(str(folder))) == "nf4"
    assert published_quantisation(load_config(str(base))) == "none"
    assert load_base(str(folder), "none").get_memory_footprint() < model_bytes(base)


def model_bytes(base: Path) -> int:
    return int(load_base(str(base), "none").get_memory_footprint())


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
    tokens = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    change(folder / "tokenizer.json", added_tokens=[t for t in tokens if t["content"] == "</s>"])
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.pad_token == tokenizer.eos_token  # the label mask is ours
    assert encode(tokenizer, "Quote it.", "The end.").labels[-1] == tokenizer.eos_token_id


def test_positions_bound_what_is_read(base: Path, tmp_path: Path) -> None:
    assert context_length(load_config(str(base))) == 512
    short = random_gpt2(shutil.copytree(base, tmp_path / "short"), positions=64)
    assert context_length(load_config(str(short))) == 64
    bloom = {"model_type": "bloom", "vocab_size": 314}
    (short / "config.json").write_text(json.dumps(bloom))
    assert context_length(load_config(str(short))) == UNBOUNDED


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


def save_adapter(base: Path, folder: Path) -> Path:
    from peft import LoraConfig, get_peft_model

    how = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(load_base(str(base)), how).save_pretrained(str(folder))
    return folder


def test_an_adapter_as_base(base: Path, tmp_path: Path) -> None:
    refused(save_adapter(base, tmp_path / "adapter"), "an adapter, not a base model", str(base))


def test_an_adapter_of_a_newer_version_loads(base: Path, tmp_path: Path) -> None:
    adapter = save_adapter(base, tmp_path / "adapter")
    change(adapter / "adapter_config.json", knob_of_tomorrow=True, peft_version="9.0.0")
    assert attach_adapter(load_base(str(base)), adapter, "tuned").peft_config["tuned"].r == 2


ADAPTERS: dict[str, tuple[Change, str]] = {
    "another rank": (
        lambda adapter: change(adapter / "adapter_config.json", r=8),
        "says rank 8, its weights have rank 2",
    ),
    "no settings": (file("adapter_config.json", None), "not a JSON file"),
    "no JSON": (file("adapter_config.json", b"[]"), "not a JSON object"),
    "cut off": (file("adapter_model.safetensors", b"x" * 99), "cannot be read"),
    "pickled": (file("adapter_model.safetensors", None), "only safetensors are read"),
}


@pytest.mark.parametrize("case", sorted(ADAPTERS))
def test_a_damaged_adapter(base: Path, tmp_path: Path, case: str) -> None:
    spoil, words = ADAPTERS[case]
    adapter = save_adapter(base, tmp_path / "adapter")
    spoil(adapter)
    with pytest.raises(ModelError, match=words):
        attach_adapter(load_base(str(base)), adapter, "tuned")


def test_an_adapter_with_a_nan(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = save_adapter(base, tmp_path / "adapter") / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = float("inf")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ModelError, match="no numbers"):
        attach_adapter(load_base(str(base)), path.parent, "tuned")


def test_an_adapter_for_another_base(base: Path, folder: Path, tmp_path: Path) -> None:
    adapter = save_adapter(base, tmp_path / "adapter")
    wide = random_llama(tmp_path / "other", hidden=128)
    with pytest.raises(ModelError, match="does not fit the base model"):
        attach_adapter(load_base(str(wide)), adapter, "tuned")
    change(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(ModelError, match="has 4 weights, the base takes 2"):
        attach_adapter(load_base(str(folder)), adapter, "tuned")


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
