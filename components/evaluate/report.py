"""The report: one HTML file that needs nothing else, no script and no other host; verdict first."""

import importlib.metadata
import json
import platform
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from components.evaluate import charts, currency
from components.evaluate.config import EvaluateConfig
from components.evaluate.metrics import FURTHER
from components.evaluate.rouge import unicode_tokens
from components.evaluate.scoring import gains, mean
from components.evaluate.verdict import MEANING
from components.shared.ledger import SHOWN
from components.shared.records import Adapter, Answer, Example, Source, write_atomically
from components.shared.verdict import BASE, CHAMPION, MODELS, TUNED, Verdict, title

LONGEST = 2_000  # characters shown of any one text; answers.jsonl has all of it
WORST_SHOWN = (
    10  # papers shown at once; the others are folded away, with their authors and licences
)
LIBRARIES = ("torch", "transformers", "peft", "trl", "numpy", "scipy")


@dataclass(frozen=True)
class Material:
    """Everything that the report tells."""

    config: EvaluateConfig
    verdict: Verdict
    examples: Sequence[Example]
    answers: Mapping[str, Sequence[Answer]]  # by system, in the order of examples
    sources: Sequence[Source]
    adapter: Path
    about: Adapter
    lineage: Sequence[Mapping[str, Any]]


def write_report(path: Path, material: Material) -> None:
    """Render the report."""
    write_atomically(path, render("report.html.j2", _context(material)))


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template of this folder; whatever comes from outside is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "score": score,
        "gap": gap,
        "percent": percent,
        "number": "{:,.0f}".format,
        "chance": chance,
        "fact": fact,
        "clip": clip,
        "title_of": title,
    }
    environment.filters.update(filters)
    return environment.get_template(template).render(context, charts=charts)


def _context(material: Material) -> dict[str, Any]:
    verdict = material.verdict
    sources = {source.paper: source for source in material.sources}
    words = [float(len(example.completion.split())) for example in material.examples]
    about = material.about.to_dict().items()
    shown = {name: value for name, value in about if _is_plain(value)}
    return {
        "v": verdict,
        "config": material.config,
        "meaning": MEANING,
        "further": FURTHER,
        "findings": currency.findings(verdict),
        "parts": currency.TITLES,
        "names": {"base": BASE, "tuned": TUNED, "champion": CHAMPION},
        "against_base": verdict.against(BASE),
        "scale": charts.difference_scale(verdict.comparisons) if verdict.comparisons else None,
        "papers": [(row, sources.get(row.name)) for row in verdict.by_paper],
        "chosen": chosen(material),
        "loss": _losses(material.adapter / "steps.jsonl"),
        "adapter": shown,
        "lineage": material.lineage,
        "shown_rejects": SHOWN,
        "standin": is_standin(material.lineage),
        "versions": _versions(),
        "marked": marked,
        "worst_shown": WORST_SHOWN,
        "reference_words": mean(words) if words else 0.0,
    }


def _is_plain(value: object) -> bool:
    return value != "" and not isinstance(value, dict | list)


def chosen(material: Material) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return examples side by side: the largest gains, the smallest, and random others."""
    base, tuned = (material.answers.get(name, ()) for name in (BASE, TUNED))
    gained = gains(tuned, base, material.verdict.rules.metric)
    order = sorted(range(len(gained)), key=lambda place: (-gained[place], place))
    third = min(material.config.examples_shown, len(order)) // 3
    others = order[third : len(order) - third]
    drawn = random.Random(material.config.seed).sample(others, min(third, len(others)))
    groups = {
        "Largest gains over the base": order[:third],
        "Smallest gains, or losses": order[len(order) - third :][::-1],
        "Drawn at random": drawn,
    }
    found = []
    for heading, places in groups.items():
        if places:
            found.append((heading, [_row(material, place, gained[place]) for place in places]))
    return found


def _row(material: Material, place: int, gain: float) -> dict[str, Any]:
    """Return an example with what each model answered to it."""
    answers = {name: material.answers[name][place] for name in MODELS if name in material.answers}
    example = material.examples[place]
    return {"example": example, "answers": answers, "gain": gain, "tuned": answers[TUNED].text}


def is_standin(lineage: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the papers came from the stand-in arXiv, which invents them."""
    for stage in lineage:
        site = str(stage["facts"].get("site", "")).replace("-", "")
        is_invented = site == "loopback" or "standin" in site
        if stage["stage"] == "scrape" and is_invented:
            return True
    return False


def _losses(path: Path) -> list[tuple[float, float]]:
    """Return (step, loss) of the training steps that logged a loss."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row.get("loss") is not None:
            found.append((row["step"], row["loss"]))
    return found


def _versions() -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def score(value: float | None) -> str:
    """Return a score as text."""
    return "–" if value is None else f"{value:.3f}"


def gap(value: float | None) -> str:
    """Return a difference as text."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def percent(value: float | None) -> str:
    """Return a share as text."""
    return "–" if value is None else f"{100 * value:.0f} %"


def fact(value: object) -> str:
    """Return a fact of the ledger as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {fact(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(fact, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def chance(value: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def clip(text: str) -> str:
    """Return a text, cut at LONGEST characters with a note of how much is left out."""
    left_out = len(text) - LONGEST
    if left_out <= 0:
        return text
    return f"{text[:LONGEST]} … [{left_out:,} more characters in answers.jsonl]"


def marked(text: str, other: str) -> Markup:
    """Return a text, clipped, with the words marked that `other` has in the same order."""
    parts = re.split(r"(\s+)", clip(text))  # words at even places, blanks between them
    words, wanted = _plain(parts[::2]), _plain(clip(other).split())
    shown = [escape(part) for part in parts]
    for block in SequenceMatcher(None, wanted, words, autojunk=False).get_matching_blocks():
        for place in range(block.b, block.b + block.size):
            if words[place]:
                shown[2 * place] = Markup("<mark>{}</mark>").format(parts[2 * place])
    return Markup("").join(shown).replace(Markup("</mark> <mark>"), Markup(" "))


def _plain(words: Sequence[str]) -> list[str]:
    """Return words as they are compared: lower case, stemmed, without punctuation."""
    return [" ".join(unicode_tokens(word)) for word in words]
