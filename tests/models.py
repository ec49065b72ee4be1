"""A Llama small enough for a test: random weights, a real tokenizer, an ordinary folder on disk."""

from pathlib import Path
from typing import Any

TEXT = (
    "The routed model sends each token to two experts. Quote the sentence. Answer it. # : . , " * 3
)


def random_llama(
    folder: Path,
    *,
    pad_token: str | None = "<pad>",
    pickled: bool = False,
    hidden: int = 64,
    more_rows: int = 0,
    tie_word_embeddings: bool = False,
) -> Path:
    """Write a two-layer Llama and its byte-level BPE tokenizer into `folder`.

    `more_rows` are rows of the embeddings that no token has, as where they are padded for speed.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", *([pad_token] if pad_token else [])]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token=pad_token
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(fast) + more_rows,
            hidden_size=hidden,
            tie_word_embeddings=tie_word_embeddings,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=512,
            bos_token_id=fast.bos_token_id,
            eos_token_id=fast.eos_token_id,
        )
    )
    model.save_pretrained(folder)
    if pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return folder


def random_gpt2(folder: Path, *, positions: int) -> Path:
    """Put a two-layer GPT-2 in the place of the model in `folder`, for the tokenizer there."""
    import json

    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    torch.manual_seed(0)
    sizes = {"n_positions": positions, "n_embd": 32, "n_layer": 2, "n_head": 4}
    GPT2LMHeadModel(GPT2Config(vocab_size=rows, **sizes)).save_pretrained(folder)
    return folder


def llama_3_8b(**changes: Any) -> Any:
    """Return the configuration of Llama-3-8B's shape (Grattafiori et al. 2024, arXiv:2407.21783,
    table 3)."""
    from transformers import LlamaConfig

    shape = {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
        "max_position_embeddings": 8192,
    }
    return LlamaConfig(**{**shape, **changes})
