"""The licence firewall: paper x teacher x base model -> allowed or not, and the duties that follow.

The facts stand in licences.toml, each beside its source. What is unknown passes only if the user
names it.
"""

import json
import re
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.records import Record


def _read_facts() -> dict[str, dict[str, Any]]:
    """Read licences.toml, and write the terms of each later Llama out."""
    facts = tomllib.loads(Path(__file__).with_name("licences.toml").read_text("utf-8"))
    template = json.dumps(facts.pop("later_llama"))
    for version in json.loads(template)["versions"]:
        page = version.replace(".", "_")
        written = template.replace("VERSION", version).replace("PAGE", page)
        facts["model"][f"llama{version}"] = json.loads(written)
    return facts


_FACTS = _read_facts()
_SPELLED = {name.lower(): name for name in _FACTS["model"]}
UNKNOWN = "unknown"
UNKNOWN_TEACHER = "unknown-teacher"
PAPER_LICENCES = tuple(_FACTS["paper"])
OPEN = tuple(name for name, facts in _FACTS["paper"].items() if facts.get("open"))
OPT_INS = (*PAPER_LICENCES, UNKNOWN_TEACHER)  # what allow_licences may name, besides "open"

# As arXiv writes them; the deed and the legal code of a licence are the same licence.
_VERSION = r"\d\.\d/?(?:(?:deed|legalcode)(?:\.[a-z-]+)?)?"


@dataclass(kw_only=True)
class Obligation(Record):
    """A duty that comes with data, teacher or base model: a line of obligations.jsonl."""

    # attribution, name, display, notice, agreement, use-restrictions, non-commercial, share-alike,
    # private, check
    kind: str
    text: str  # what has to be done, in one sentence
    value: str  # the exact words: of a name its beginning, of a display or notice the line
    due_to: str  # "paper cc-by", "teacher llama3.3" or "base llama3"
    source: str  # where it is written


@dataclass(frozen=True)
class Ruling:
    """What the firewall says about one combination; `reason` is empty when it is allowed."""

    reason: str
    source: str = ""
    obligations: tuple[Obligation, ...] = ()

    @property
    def allowed(self) -> bool:
        """Tell whether training is allowed."""
        return not self.reason


def ruling(paper: str, teacher: str, base: str, allowed: Collection[str]) -> Ruling:
    """Rule on training a base model on a teacher's answers about a paper.

    `paper` is its licence, a URL or a name of PAPER_LICENCES; `teacher` and `base` are the terms
    of the two, as licences.toml or a model's card spells them, and unknown when they are not
    there; `allowed` is what allowed_names returns. Closed terms forbid training whatever the user
    allows.
    """
    paper, teacher, base = paper_licence(paper), terms(teacher), terms(base)
    if paper not in allowed:
        return Ruling(f"licence not allowed: {paper}", "let in by allow_licences only")
    answers = _FACTS["model"][teacher]
    if teacher == "closed":
        return Ruling("teacher's terms forbid training on its answers", answers["source"])
    if teacher == UNKNOWN and UNKNOWN_TEACHER not in allowed:
        return Ruling("teacher's terms unknown", f"let in by allow_licences={UNKNOWN_TEACHER} only")
    if base not in answers.get("trains", [base]):
        section = f"{answers['source']}, section 1.b.v"
        return Ruling(f"answers of {teacher} may train Llama models only", section)
    duties = [
        *_duties("paper", paper, _FACTS["paper"][paper], "duties"),
        *_duties("teacher", teacher, answers, "answers"),
        *_duties("base", base, _FACTS["model"][base], "base"),
    ]
    return Ruling("", obligations=tuple(duties))


def allowed_names(setting: str) -> frozenset[str]:
    """Return what the setting allow_licences lets in; "open" stands for the open paper licences."""
    names = {name.strip() for name in setting.split(",") if name.strip()}
    return frozenset((names - {"open"}) | (set(OPEN) if "open" in names else set()))


def paper_licence(licence: str) -> str:
    """Return the short name of a paper's licence, by URL or that name; "unknown" for other text."""
    bare = licence.strip().lower()
    for name, facts in _FACTS["paper"].items():
        url = facts.get("url", "")
        address = rf"(?:https?://(?:www\.)?)?{re.escape(url)}{_VERSION}"
        if bare == name or (url and re.fullmatch(address, bare)):
            return name
    return UNKNOWN


def terms(name: str) -> str:
    """Return the name of a model's terms as licences.toml spells it, or "unknown"."""
    return _SPELLED.get(name.strip().lower(), UNKNOWN)


def model_licence(model: str) -> str:
    """Return the terms of a model by its published name; "unknown" for a path or another name."""
    for pattern, found in _FACTS["published"].items():
        if match := re.fullmatch(pattern, model.strip().lower()):
            return str(match.expand(found))
    return UNKNOWN


def named(release: str, obligations: Iterable[Obligation]) -> str:
    """Return the name under which a release may be published: beginning as terms ask for.

    "Llama 3" (the Llama 3 licence) begins with "Llama" (later ones), so the longest meets all.
    """
    prefixes = sorted((o.value for o in obligations if o.kind == "name"), key=len)
    if not prefixes or release.lower().startswith(prefixes[-1].lower()):
        return release
    return f"{prefixes[-1]} {release}"


def _duties(party: str, name: str, facts: dict[str, Any], asked: str) -> list[Obligation]:
    """Return the duties of one party, which the facts list as [duty, section, exact words]."""
    found = []
    for duty, *more in facts.get(asked, []):
        section, value = (*more, "", "")[:2]
        found.append(
            Obligation(
                kind=duty.partition(":")[0],
                text=_FACTS["duty"][duty],
                value=value,
                due_to=f"{party} {name}",
                source=", ".join(filter(None, (facts["source"], section))),
            )
        )
    return found
