"""What may follow a promotion: the adapter merged into its base, and the release on the Hugging Face Hub."""

import json
import os
from pathlib import Path

from components.shared.errors import ConfigError, ModelError
from components.shared.progress import say


def merge(adapter: Path, folder: Path) -> None:
    """Write base and adapter as one model in plain precision, for servers that know no adapters."""
    try:
        from components.shared.models import attach_adapter, load_base, load_tokenizer

        about = json.loads((adapter / "adapter.json").read_text("utf-8"))
        base = str(adapter / about["base_path"]) if about["base_path"] else about["base"]
        merged = attach_adapter(
            load_base(base, "none"), adapter / "weights", "release"
        ).merge_and_unload()
        tokenizer = load_tokenizer(base)
    except ImportError as error:
        raise ModelError(
            f"promote.merge: {error.name} is not in this image",
            "set promote.merge=false, or promote where models are",
        ) from None
    merged.save_pretrained(str(folder), safe_serialization=True)
    tokenizer.save_pretrained(str(folder))
    say("promote", f"merged model: {folder}")


def push(folder: Path, repository: str) -> None:
    """Upload a release folder as a private repository, with the token in HF_TOKEN; a person makes it public."""
    from httpx2 import HTTPError  # of the client that huggingface_hub 2 speaks through
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    token = os.environ.get("HF_TOKEN")
    if not token:
        raise ConfigError(f"promote.push_to={repository!r}: needs a token", "set HF_TOKEN")
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=str(folder), commit_message="A new release by arxtune"
        )
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"promote.push_to={repository!r}: {first}",
            "the release itself stands; check HF_TOKEN and the network and run promote again",
        ) from None
    say("promote", f"pushed to {repository}, private until you change that")
