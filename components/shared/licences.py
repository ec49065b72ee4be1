"""Licences: what a paper comes under, what a model and its answers come under, and the duties that follow.

Names are short and stable, because they stand in records: SPDX where there is one ("Apache-2.0"), else our own
("llama3.3"). The rules that combine them are curate's; a release carries the duties that its data brought along.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from components.shared.records import Record

# The licences that arXiv offers or has offered: info.arxiv.org/help/license and the table of its code (arxiv.license).
# CC BY and CC BY-NC-SA exist there in 3.0 and 4.0; the URL, which the attribution repeats, tells them apart.
PAPER_LICENCES: dict[str, str] = {
    "cc-by": "creativecommons.org/licenses/by/",
    "cc-by-sa": "creativecommons.org/licenses/by-sa/",
    "cc0": "creativecommons.org/publicdomain/zero/",
    "cc-by-nc-sa": "creativecommons.org/licenses/by-nc-sa/",
    "cc-by-nc-nd": "creativecommons.org/licenses/by-nc-nd/",
    "arxiv-nonexclusive": "arxiv.org/licenses/nonexclusive-distrib/",
    "arxiv-assumed-1991-2003": "arxiv.org/licenses/assumed-1991-2003/",
    "unknown": "",
}
OPEN = ("cc-by", "cc-by-sa", "cc0")  # they allow copying, adapting and commercial use

# What a model's name tells of its terms; the first that is found counts, so the special stands before the general.
# Terms that cannot be told from a name (sizes and dates under other licences) are left to "unknown" on purpose.
_MODEL_TERMS: tuple[tuple[str, str], ...] = (
    (r"^(?:embedded|tiny)$", "Apache-2.0"),  # arxtune's own teacher and base
    (r"^apache-2\.0$", "Apache-2.0"),  # terms by their own name, as a person's file may give them
    (r"^mit$", "MIT"),
    (r"^(qwen|closed)$", r"\1"),
    (
        r"distill-llama-70b",
        "llama3.3",
    ),  # tuned from Llama 3.3 70B and 3.1 8B, says the card of DeepSeek-R1
    (r"distill-llama-8b", "llama3.1"),
    (r"llama-guard-3(?![a-z\d])", "llama3.1"),
    (r"llama-guard-4(?![a-z\d])", "llama4"),
    (r"llama[-_ ]?3[._]([123])(?![a-z\d])", r"llama3.\1"),
    (r"llama[-_ ]?([234])(?![a-z\d.])", r"llama\1"),
    (r"codellama|code-llama", "llama2"),
    (r"tinyllama|open_?llama", "Apache-2.0"),
    (r"mixtral|mistral-7b|mistral-nemo|mistral-small-(?:24b|3)", "Apache-2.0"),
    (r"qwen2(?:\.5)?-72b", "qwen"),
    (r"qwen2\.5-3b", "unknown"),  # a research licence
    (r"(?:qwen(?:2(?:\.5)?|3)|qwq)-(?:[a-z]+-)*[\d.]+b", "Apache-2.0"),
    (r"gpt-oss|smollm|pythia|olmo|gemma-?4", "Apache-2.0"),
    (r"gemma", "gemma"),
    (r"deepseek-r1|deepseek-v3(?:\.[12]|-0324)|(?<![a-z])phi-[234]|gpt-?2(?![.\d])", "MIT"),
    (r"gpt-[345]|chatgpt|(?<![a-z\d])o[134](?![a-z\d])|claude|gemini|grok", "closed"),
)


def paper_licence(url: str) -> str:
    """Return the short name of a licence URL; "unknown" for anything that is not on arXiv's list."""
    bare = url.strip().lower().split("://", 1)[-1].removeprefix("www.")
    return next(
        (name for name, start in PAPER_LICENCES.items() if start and bare.startswith(start)),
        "unknown",
    )


def model_licence(model: str) -> str:
    """Return the terms that a model, and what it writes, comes under; "unknown" when its name does not tell."""
    for pattern, terms in _MODEL_TERMS:
        if found := re.search(pattern, model.lower()):
            return found.expand(terms)
    return "unknown"


@dataclass(kw_only=True)
class Obligation(Record):
    """A duty that comes with data, teacher or base model; curate writes them to obligations.jsonl beside train."""

    # attribution, name, display, notice, agreement, use-restrictions, non-commercial, share-alike, private, check
    kind: str
    text: str  # what has to be done, in one sentence
    value: str  # the exact words asked for: of a name its beginning, of a display or notice the line; else ""
    due_to: str  # "paper cc-by", "teacher llama3.3" or "base llama3"
    source: str  # where it is written


def named(release: str, obligations: Iterable[Obligation]) -> str:
    """Return the name under which a release may be made available: with the beginning that its terms ask for.

    "Llama 3" (the Llama 3 licence) begins with "Llama" (the later ones), so the longest one meets all.
    """
    prefixes = sorted((o.value for o in obligations if o.kind == "name"), key=len)
    if not prefixes or release.lower().startswith(prefixes[-1].lower()):
        return release
    return f"{prefixes[-1]} {release}"
