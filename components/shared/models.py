"""Load a base model and adapters: 4-bit on an NVIDIA GPU, plain elsewhere. The only file in shared that needs torch.

Only safetensors are read, and no code that comes with a model is run. What cannot be used is refused in one line.
"""

import functools
import json
import os
from pathlib import Path
from typing import Any

from components.shared.errors import ModelError, unwritable
from components.shared.progress import say

# Tokens that Llama 3 and others reserve and never use: one of them pads where the tokenizer names no pad token.
# It must not be the end token: padding is masked out of the loss, and the model would never learn to stop.
SPARE_TOKENS = ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>", "<pad>", "<unk>")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
FOLDER = "ARXTUNE_MODELS"  # the variable that names a folder which keeps base models of the hub from run to run


def device() -> str:
    """Return "cuda" or "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def chosen_quantisation(asked: str) -> str:
    """Return "nf4" or "none"; "auto" is nf4 on CUDA."""
    return ("nf4" if device() == "cuda" else "none") if asked == "auto" else asked


def hub() -> dict[str, Any]:
    """Return how everything is loaded from the hub: with HF_TOKEN, into ARXTUNE_MODELS, and without code of others."""
    folder = _kept(os.environ.get(FOLDER, ""))
    return {
        "token": os.environ.get("HF_TOKEN") or None,
        "cache_dir": folder,
        "trust_remote_code": False,
    }


@functools.cache  # to say it once
def _kept(folder: str) -> str | None:
    if not folder or not Path(folder).is_dir():
        return None
    if os.access(folder, os.W_OK):
        return folder
    say(
        "models",
        f"{folder}: user {os.getuid()} may not write there: base models are fetched anew in each run",
    )
    return None


def load_config(name: str) -> Any:
    """Return the configuration of a hub id or folder; no weights are read."""
    from transformers import AutoConfig

    _check_folder(name)
    return _load(AutoConfig, name)


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of a hub id or folder, with an end token, a pad token of its own, and ids the base knows.

    Text of a paper is never a control token: "</s>" in it is read as four characters.
    """
    from transformers import AutoTokenizer

    rows = load_config(name).get_text_config().vocab_size
    tokenizer = _load(AutoTokenizer, name)
    if tokenizer.eos_token is None:
        raise ModelError(
            f"base model {name}: its tokenizer has no end token",
            "name one in tokenizer_config.json",
        )
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        spare = next((token for token in SPARE_TOKENS if token in tokenizer.get_vocab()), None)
        if spare is None:
            raise ModelError(
                f"base model {name}: its tokenizer has no token to pad with",
                "add a pad token to it",
            )
        tokenizer.pad_token = spare
    if (top := max(tokenizer.get_vocab().values())) >= rows:
        problem = (
            f"base model {name}: its tokenizer knows token {top}, its weights only {rows} tokens"
        )
        raise ModelError(problem, "put the tokenizer beside the model that it was made for")
    tokenizer.split_special_tokens = True
    return tokenizer


def load_base(
    name: str, quantisation: str = "auto", attention: str = "sdpa", *, parts: int = 1
) -> Any:
    """Return a causal language model from a hub id or folder; quantisation is nf4, none, or auto (nf4 on CUDA).

    `attention` is one of transformers' implementations. Of several `parts` (FSDP) each process reads its own, so that
    none ever holds the whole base.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    _check_folder(name)
    cuda = device() == "cuda"
    dtype = torch.float32
    if cuda:
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    options: dict[str, Any] = {
        "dtype": dtype,
        "use_safetensors": True,
        "attn_implementation": attention,
    }
    if parts > 1:
        from transformers.distributed import DistributedConfig

        options["distributed_config"] = DistributedConfig(fsdp_size=parts)
    elif cuda:
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    if chosen_quantisation(quantisation) == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    model, found = _load(AutoModelForCausalLM, name, output_loading_info=True, **options)
    if missing := sorted(found["missing_keys"]):
        problem = (
            f"base model {name}: {len(missing)} of its weights are missing, {missing[0]} first"
        )
        raise ModelError(problem, "fetch the model again")
    return model


def attach_adapter(model: Any, folder: Path, name: str, *, trainable: bool = False) -> Any:
    """Return the model with the adapter in `folder` on top; raise ModelError when it is for another base."""
    from peft import PeftModel
    from safetensors import SafetensorError, safe_open

    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ModelError(
            f"adapter {folder}: there is no {weights.name}",
            "only safetensors are read; train it again",
        )
    try:
        with safe_open(weights, "pt") as file:
            wanted = len(file.keys())
        tuned = PeftModel.from_pretrained(
            model, str(folder), adapter_name=name, is_trainable=trainable
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"adapter {folder}: does not fit the base model ({first})", "train it again"
        ) from None
    held = sum("lora_" in key and f".{name}" in key for key, _ in tuned.named_parameters())
    if held != wanted:
        problem = f"adapter {folder}: does not fit the base model (it has {wanted} weights, the base takes {held})"
        raise ModelError(problem, "train it again")
    return tuned


def _check_folder(name: str) -> None:
    """Refuse a folder that transformers would misread, or refuse only in many lines."""
    folder = Path(name)
    if not name or not folder.is_dir():
        return
    asked = f"base model {name}"
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            base = json.loads((folder / "adapter_config.json").read_text("utf-8")).get(
                "base_model_name_or_path"
            )
            raise ModelError(
                f"{asked}: is an adapter, not a base model", f"name the base model: {base}"
            )
        raise ModelError(
            f"{asked}: there is no config.json in it", "name the folder of a transformers model"
        )
    if not any(folder.glob("*.safetensors")) and (
        pickles := [p.name for kind in PICKLES for p in folder.glob(kind)]
    ):
        problem = f"{asked}: its weights are pickled ({pickles[0]}), and loading a pickle runs whatever is in it"
        raise ModelError(problem, "convert it to safetensors")


def _load(loader: Any, name: str, **options: Any) -> Any:
    from safetensors import SafetensorError

    try:
        return loader.from_pretrained(name, **hub(), **options)
    except (OSError, ValueError, ImportError, SafetensorError, RuntimeError) as error:
        if full := unwritable(error):  # the folder that models are kept in
            raise full from None
        text = str(error).strip() or type(error).__name__
        first, fix = text.splitlines()[0], "name a folder or a model on the hub by --base-model"
        if "trust_remote_code" in text or "custom code" in text:
            first, fix = (
                "needs code of its own, and none is run",
                "use a model that transformers knows by itself",
            )
        elif "gated" in text or "401" in text or "403" in text:
            fix = "ask for access on its page and set HF_TOKEN"
        elif "out of memory" in text:
            fix = "use a larger device, or finetune.quantisation=nf4"
        elif isinstance(error, SafetensorError | RuntimeError):
            fix = "its files are damaged or belong to another model: fetch it again"
        raise ModelError(f"base model {name}: {first}", fix) from None
