"""`arxtune ask`: one question, answered by the base and by a release, as the words come."""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from components.shared.progress import say
from components.shared.prompt import encode_prompt, render_prompt
from components.shared.text import clean
from pipelines.releases import add_store, fetch_release

TOY_QUESTION = "Which sentence of the passage opens with “We”?"


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune ask` to the command line."""
    parser = commands.add_parser("ask", help="ask the base and a release the same question")
    parser.add_argument("question", help="the instruction")
    parser.add_argument(
        "--input", default="", metavar="TEXT", help="the passage it is about; - is stdin"
    )
    parser.add_argument("--release", default="arxtune", metavar="NAME[@VERSION]")
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    add_store(parser)
    parser.set_defaults(command=_ask)


def _ask(arguments: argparse.Namespace) -> None:
    passage = sys.stdin.read() if arguments.input == "-" else arguments.input
    prompt = render_prompt(arguments.question, passage)
    with tempfile.TemporaryDirectory(prefix="arxtune-ask-") as scratch:
        folder = Path(scratch) / "release"
        entry = fetch_release(arguments.store, arguments.home, arguments.release, folder)
        base = entry.base
        if (folder / "base").is_dir():
            base = str(folder / "base")
            say("ask", f"the toy can only quote; ask it: {TOY_QUESTION}")
        say("ask", f"loading {entry.base} and {entry.label}")
        answer(base, folder, prompt, arguments.max_new_tokens)


def answer(base: str, release: Path, prompt: str, most: int) -> None:
    """Print the greedy answers of the base and of the release, of at most `most` tokens."""
    import torch
    from transformers import TextStreamer

    from components.shared.models import attach_adapter, load_base, load_tokenizer

    class Streamer(TextStreamer):  # type: ignore[misc]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            print(clean(text), flush=True, end="\n" if stream_end else "")

    tokenizer = load_tokenizer(base)
    model = attach_adapter(load_base(base), release, "release").eval()
    asked = torch.tensor([encode_prompt(tokenizer, prompt)], device=model.device)
    for name, without in (("base", model.disable_adapter()), ("release", contextlib.nullcontext())):
        print(f"\n{name}:")
        with without, torch.inference_mode():
            model.generate(
                asked,
                attention_mask=torch.ones_like(asked),
                max_new_tokens=most,
                do_sample=False,
                temperature=None,
                top_p=None,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                streamer=Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True),
            )
