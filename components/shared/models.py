"""Load a base model and adapters: 4-bit on an NVIDIA GPU, plain elsewhere. The only file in shared that needs torch."""

import os
from pathlib import Path
from typing import Any

from components.shared.errors import ModelError

# Tokens that Llama 3 and others reserve and never use: one of them pads where the tokenizer names no pad token.
# It must not be the end token: padding is masked out of the loss, and the model would never learn to stop.
SPARE_TOKENS = ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>", "<pad>", "<unk>")


def device() -> str:
    """Return "cuda" or "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of a hub id or folder, with a pad token of its own."""
    from transformers import AutoTokenizer

    tokenizer = _load(AutoTokenizer, name)
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        spare = next((token for token in SPARE_TOKENS if token in tokenizer.get_vocab()), None)
        if spare is None:
            raise ModelError(f"base model {name}: its tokenizer has no token to pad with", "add a pad token to it")
        tokenizer.pad_token = spare
    return tokenizer


def load_base(name: str, quantisation: str = "auto") -> Any:
    """Return a causal language model from a hub id or folder; quantisation is nf4, none, or auto (nf4 on CUDA).

    Only safetensors are read and no code of the model's is run. HF_TOKEN opens gated models.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    cuda = device() == "cuda"
    dtype = torch.float32
    if cuda:
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "attn_implementation": "sdpa"}
    if cuda:
        options["device_map"] = {"": 0}
    if quantisation == "nf4" or (quantisation == "auto" and cuda):
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return _load(AutoModelForCausalLM, name, **options)


def attach_adapter(model: Any, folder: Path, name: str) -> Any:
    """Return the model with the adapter in `folder` on top; raise ModelError when it is for another base."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=False)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"adapter {folder}: does not fit the base model ({first})", "train it again") from None


def _load(loader: Any, name: str, **options: Any) -> Any:
    try:
        token = os.environ.get("HF_TOKEN") or None
        return loader.from_pretrained(name, token=token, trust_remote_code=False, **options)
    except (OSError, ValueError, ImportError) as error:
        text = str(error).strip() or type(error).__name__
        fix = "name a folder or a model on the hub by --base-model"
        if "gated" in text or "401" in text or "403" in text:
            fix = "ask for access on its page and set HF_TOKEN"
        raise ModelError(f"base model {name}: {text.splitlines()[0]}", fix) from None
