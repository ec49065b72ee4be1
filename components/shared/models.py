"""Load bases, tokenizers and adapters: 4-bit on an NVIDIA GPU, plain elsewhere.

Only safetensors are read, and no code that comes with a model is run. What cannot be used is
refused in one line, and as early as it can be known: `load_config` and `load_tokenizer` read no
weights. The only file in shared that needs torch.
"""

import functools
import os
import warnings
from logging import getLogger
from pathlib import Path
from typing import Any

from components.shared.bases import CACHE, check_folder, is_folder, locate, read_json
from components.shared.errors import ModelError, unwritable
from components.shared.progress import say

# Tokens that tokenizers reserve and never use: the first of them pads where no pad token is named.
SPARE_TOKENS = ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>", "<pad>", "<unk>")
UNBOUNDED = 1 << 30  # positions of a model that names no limit, such as one with ALiBi
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")


def device() -> str:
    """Return "cuda" or "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bf16() -> bool:
    """Tell whether the GPU computes in bf16 itself: older ones emulate it, slowly."""
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def chosen_quantisation(asked: str) -> str:
    """Return "nf4" or "none"; "auto" is nf4 on CUDA."""
    if asked != "auto":
        return asked
    return "nf4" if device() == "cuda" else "none"


def published_quantisation(config: Any) -> str:
    """Return "nf4" for a base that was published in 4 bits by bitsandbytes, else "none"."""
    return "nf4" if getattr(config, "quantization_config", None) else "none"


def context_length(config: Any) -> int:
    """Return how many tokens a model has positions for; rows and answers must not be longer."""
    text = config.get_text_config()
    for name in POSITIONS:
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return UNBOUNDED


def hub() -> dict[str, Any]:
    """Return how the hub is read: with HF_TOKEN, into ARXTUNE_MODELS, without code of others."""
    return {
        "token": os.environ.get("HF_TOKEN") or None,
        "cache_dir": _kept(os.environ.get(CACHE, "")),
        "trust_remote_code": False,
    }


@functools.cache  # to say it once
def _kept(folder: str) -> str | None:
    if not folder or not Path(folder).is_dir():
        return None
    if os.access(folder, os.W_OK):
        return folder
    problem = f"{folder}: user {os.getuid()} may not write there"
    say("models", f"{problem}: base models are fetched anew in each run")
    return None


def load_config(name: str) -> Any:
    """Return the configuration of a base by its name (see `bases`); no weights are read.

    Raises ModelError for a folder, or a quantisation, that no adapter can be trained on.
    """
    from transformers import AutoConfig

    config = _load(AutoConfig, name)
    found = getattr(config, "quantization_config", None) or {}
    settings = found if isinstance(found, dict) else found.to_dict()
    method = settings.get("quant_method", "an unnamed method")
    if settings and not (method == "bitsandbytes" and settings.get("load_in_4bit")):
        problem = f"base model {name}: adapters are not trained on what {method} quantised"
        raise ModelError(problem, "name the unquantised base, or one in 4 bits by bitsandbytes")
    return config


def revision(config: Any) -> str:
    """Return the commit of the hub that a configuration came from, or "" for a folder."""
    return str(getattr(config, "_commit_hash", None) or "")


def check_base(name: str) -> None:
    """Raise ModelError for what would stop a training later; weights that lie here are read."""
    load_tokenizer(name)
    if is_folder(name):
        load_base(name, "none")


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of a base: with an end token, a pad token, and ids that the base knows.

    Text of a paper is never a control token: "</s>" in it is read as four characters. The labels
    are ours and padding is masked wherever it is read, so any token pads; unused ones come first.
    """
    from transformers import AutoTokenizer

    rows = load_config(name).get_text_config().vocab_size
    tokenizer = _load(AutoTokenizer, name)
    known = tokenizer.get_vocab()
    if not known:
        raise ModelError(f"base model {name}: its tokenizer is empty", "fetch the model again")
    if tokenizer.eos_token is None or tokenizer.eos_token_id is None:
        problem = f"base model {name}: its tokenizer has no end token"
        raise ModelError(problem, "name one as eos_token in its tokenizer_config.json")
    if (top := max(known.values())) >= rows:
        problem = f"its tokenizer knows token {top}, its weights only {rows} tokens"
        raise ModelError(
            f"base model {name}: {problem}",
            "put the tokenizer beside the model that it was made for",
        )
    if tokenizer.pad_token is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = _spare_token(tokenizer)
    tokenizer.split_special_tokens = True
    tokenizer.model_max_length = UNBOUNDED  # lengths are compared with the base's positions
    return tokenizer


def _spare_token(tokenizer: Any) -> str:
    """Return an unused token, else any special one but the end, else the end itself."""
    known = tokenizer.get_vocab()
    for token in SPARE_TOKENS:
        if token in known and token != tokenizer.eos_token:
            return token
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    others = [token for token in special if token != tokenizer.eos_token]
    unused = [token for token in others if token != tokenizer.bos_token]
    return str([*unused, *others, tokenizer.eos_token][0])


def load_base(name: str, quantisation: str = "auto", attention: str = "sdpa") -> Any:
    """Return a causal language model by its name; quantisation is nf4, none, or auto (nf4 on CUDA).

    `attention` is one of transformers' implementations. Raises ModelError for weights that are
    missing, damaged or no numbers.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = load_config(name)
    cuda = device() == "cuda"
    dtype = torch.float32
    if cuda:
        dtype = torch.bfloat16 if has_bf16() else torch.float16
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": attention}
    if cuda:
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    if published_quantisation(config) == "none" and chosen_quantisation(quantisation) == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    model, found = _load(
        AutoModelForCausalLM, name, use_safetensors=True, output_loading_info=True, **options
    )
    if missing := sorted(found["missing_keys"]):
        count = len(missing)
        problem = f"base model {name}: {count} of its weights are missing, {missing[0]} first"
        raise ModelError(problem, "fetch the model again")
    _keep_narrow_layers_unpacked(model)
    if bad := not_finite(model):
        problem = f"base model {name}: {bad} holds values that are no numbers"
        raise ModelError(problem, "fetch the model again; nothing can be trained on it")
    return model


def _keep_narrow_layers_unpacked(model: Any) -> None:
    """Keep bitsandbytes from packing 4-bit weights for AVX-512 where widths do not allow it."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            blocks = module.in_features % 64 == 0 and module.out_features % 32 == 0
            module.support_avx512bf16_for_cpu &= blocks


def not_finite(model: Any) -> str:
    """Return the name of the first weight that holds NaN or infinity, or ""."""
    for key, weight in model.named_parameters():
        if weight.is_floating_point() and not weight.is_meta and not weight.isfinite().all():
            return str(key)
    return ""


def attach_adapter(model: Any, folder: Path, name: str, *, trainable: bool = False) -> Any:
    """Return the model with the adapter in `folder`; raise ModelError when it does not fit."""
    from peft import PeftModel

    wanted = _check_adapter(folder)
    # For answering on a GPU an adapter stays in its own precision: float32 without TF32 is slow.
    options = {"is_trainable": trainable, "autocast_adapter_dtype": trainable or device() == "cpu"}
    try:
        with warnings.catch_warnings():  # of settings that a newer peft wrote and this one ignores
            warnings.simplefilter("ignore")
            if isinstance(model, PeftModel):  # beside the adapters that it has
                model.load_adapter(str(folder), adapter_name=name, **options)
                tuned = model
            else:
                tuned = PeftModel.from_pretrained(model, str(folder), adapter_name=name, **options)
    except Exception as error:  # a file from outside: whatever is wrong with it, one line
        problem = f"adapter {folder}: does not fit the base model ({_first_line(error)})"
        raise ModelError(problem, "train it again") from None
    own = [key for key, _ in tuned.named_parameters() if "lora_" in key and f".{name}" in key]
    if len(own) != wanted:
        numbers = f"it has {wanted} weights, the base takes {len(own)}"
        problem = f"adapter {folder}: does not fit the base model ({numbers})"
        raise ModelError(problem, "train it again")
    return tuned


def _check_adapter(folder: Path) -> int:
    """Return how many weights an adapter has; raise ModelError when they are not as it says."""
    from safetensors import SafetensorError, safe_open

    asked, path = f"adapter {folder}", folder / "adapter_model.safetensors"
    if not path.is_file():
        problem = f"{asked}: there is no {path.name}"
        raise ModelError(problem, "only safetensors are read; train it again")
    settings = read_json(folder / "adapter_config.json")
    ranks = {settings.get("r"), *(settings.get("rank_pattern") or {}).values()}
    try:
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118  # safe_open is no dictionary
                weight = file.get_tensor(key)
                if not weight.isfinite().all():
                    problem = f"{asked}: {key} holds values that are no numbers"
                    raise ModelError(problem, "train it again")
                if "lora_A" in key and weight.shape[0] not in ranks:
                    problem = f"{asked}: adapter_config.json says rank {settings.get('r')}"
                    problem += f", its weights have rank {weight.shape[0]}"
                    raise ModelError(problem, "train it again")
            return len(file.keys())
    except (OSError, SafetensorError) as error:
        problem = f"{asked}: its weights cannot be read ({_first_line(error)})"
        raise ModelError(problem, "train it again") from None


def _load(loader: Any, name: str, **options: Any) -> Any:
    """Load by an Auto class of transformers; what goes wrong with files of others is one line."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # of the library's tables we tell the one line that counts
    logging.disable_progress_bar()
    getLogger("bitsandbytes").setLevel("ERROR")  # of what it lacks on a CPU
    place = locate(name)
    if is_folder(name):
        check_folder(name, Path(place))
    else:
        place, _, pinned = place.partition("@")
        options |= {"revision": pinned} if pinned else {}
    try:
        return loader.from_pretrained(place, **hub(), **options)
    except ModelError:
        raise
    except Exception as error:
        if full := unwritable(error):  # the folder that models are kept in
            raise full from None
        problem, fix = _explained(error)
        if loader.__name__ == "AutoTokenizer":
            problem = f"its tokenizer cannot be read ({problem})"
        raise ModelError(f"base model {name}: {problem}", fix) from None


def _first_line(error: Exception) -> str:
    """Return the first sentence of an error of a library; a KeyError's is only a key."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"


def _explained(error: Exception) -> tuple[str, str]:
    """Return what was wrong in a loader and what to do; only texts tell libraries' errors apart."""
    from safetensors import SafetensorError

    text, problem = str(error), _first_line(error)
    if "trust_remote_code" in text or "custom code" in text:
        fix = "use a model that transformers knows by itself"
        return "needs code of its own, and none is run", fix
    if "gated" in text or "401" in text or "403" in text:
        return problem, "ask for access on its page and set HF_TOKEN"
    if "out of memory" in text:
        return problem, "use a larger device, or finetune.quantisation=nf4"
    if isinstance(error, SafetensorError | RuntimeError | KeyError | TypeError):
        return problem, "its files are damaged or belong to another model: fetch it again"
    return problem, "name a folder or a model on the hub by --base-model"
