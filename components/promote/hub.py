"""What may go along with a promotion: a merged model, and an upload to the Hub."""

import importlib.util
from pathlib import Path

from components.promote.config import PromoteConfig
from components.promote.release import seal
from components.shared.errors import ConfigError, ModelError
from components.shared.names import environment
from components.shared.progress import say
from components.shared.records import Adapter
from components.shared.text import clean_line

LIBRARIES = ("torch", "transformers", "peft")


def check(config: PromoteConfig) -> None:
    """Raise an error for a push or a merge that cannot work here."""
    check_token(config.push_to)
    wanted = [("merge", name) for name in LIBRARIES] if config.merge else []
    if config.push_to:
        wanted.append(("push_to", "huggingface_hub"))
    for knob, library in wanted:
        if importlib.util.find_spec(library) is None:
            raise ModelError(
                f"promote.{knob}: {library} is not installed here",
                f"leave out promote.{knob}, or promote where models are",
            )


def check_token(repository: str) -> None:
    """Raise ConfigError for a push without a token."""
    if repository and not environment("HF_TOKEN"):
        problem = f"promote.push_to={repository!r}: needs a token"
        raise ConfigError(problem, "set HF_TOKEN, or leave push_to out")


def merge(adapter: Path, folder: Path) -> None:
    """Write base and adapter as one model in plain precision, for servers that know no adapters."""
    from components.shared.models import attach_adapter, load_base, load_tokenizer

    about = Adapter.read(adapter)
    base = str(adapter / about.base_path) if about.base_path else about.base
    model = attach_adapter(load_base(base, "none"), adapter / "weights", "release")
    model.merge_and_unload().save_pretrained(str(folder), safe_serialization=True)
    load_tokenizer(base).save_pretrained(str(folder))
    seal(folder)
    say("promote", "merged model: merged/ in the release's folder")


def push(folder: Path, repository: str) -> bool:
    """Upload a release as a private repository; tell whether it worked."""
    from httpx2 import HTTPError  # of the client that huggingface_hub 2 speaks through
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=environment("HF_TOKEN"))
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=str(folder), commit_message="A new release by arxtune"
        )
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        first = clean_line(str(error) or type(error).__name__)[:300]
        say("promote", f"NOT pushed to {repository}: {first}")
        say("promote", f"the release stands; push it by: hf upload {repository} {folder}")
        return False
    say("promote", f"pushed to {repository}, private until you change that")
    return True
