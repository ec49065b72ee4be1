"""A random Llama that knows the words of some examples, and random adapters for it."""

import json
from collections.abc import Sequence
from pathlib import Path

from components.shared.records import Example


def make_adapter(folder: Path, examples: Sequence[Example]) -> None:
    """Write an adapter folder as finetune does, with base and weights."""
    make_base(folder / "base", examples)
    make_weights(folder / "base", folder / "weights", seed=2)
    about = {
        "base": "random-llama",
        "base_path": "base",
        "trained": True,
        "adapter_digest": "tuned-digest",
    }
    (folder / "adapter.json").write_text(json.dumps(about), "utf-8")


def make_base(folder: Path, examples: Sequence[Example]) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    words = sorted({word for example in examples for word in example.prompt.split()})
    vocabulary = {
        word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    set_seed(1)
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(vocabulary), **sizes, **ids)).save_pretrained(
        folder
    )


def make_weights(base: Path, folder: Path, seed: int) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(seed)
    how = LoraConfig(
        r=4, lora_alpha=64, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), how).save_pretrained(folder)
