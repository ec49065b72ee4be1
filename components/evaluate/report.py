"""The report: one HTML file that needs nothing else, no script and no other host; verdict first."""

import importlib.metadata
import json
import platform
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from components.evaluate import charts
from components.evaluate.answers import Adapter
from components.evaluate.config import EvaluateConfig
from components.evaluate.rouge import common_subsequence, unicode_tokens
from components.evaluate.verdict import BASE, CHAMPION, MEANING, TUNED, Verdict
from components.shared.ledger import SHOWN
from components.shared.records import Answer, Example, Source, write_atomically

TEMPLATE = Path(__file__).with_name("report.html.j2")
LONGEST = 2_000  # characters shown of any one text; answers.jsonl has all of it
WORST_SHOWN = 10  # papers shown at once; the others are folded away
LIBRARIES = ("torch", "transformers", "peft", "trl", "numpy", "scipy")


@dataclass(frozen=True)
class Material:
    """Everything that the report tells."""

    config: EvaluateConfig
    verdict: Verdict
    examples: Sequence[Example]
    answers: Mapping[str, Sequence[Answer]]  # by system, in the order of examples
    sources: Sequence[Source]
    adapter: Adapter
    lineage: Sequence[Mapping[str, Any]]


def write_report(path: Path, material: Material) -> None:
    """Render the report; whatever comes from papers, teachers and models is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "score": lambda value: "–" if value is None else f"{value:.3f}",
        "gap": lambda value: "–" if value is None else f"{value:+.3f}".replace("-", "−"),
        "percent": lambda value: "–" if value is None else f"{100 * value:.0f} %",
        "licence": lambda url: url.removeprefix("http://").removeprefix("https://").strip("/"),
        "number": lambda value: f"{value:,.0f}",
        "chance": chance,
        "fact": fact,
        "clip": clip,
    }
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    write_atomically(path, template.render(_context(material)))


def _context(material: Material) -> dict[str, Any]:
    verdict, lineage = material.verdict, material.lineage
    titles = {source.paper: source for source in material.sources}
    scale = charts.difference_scale(verdict.comparisons) if verdict.comparisons else None
    return {
        "v": verdict,
        "config": material.config,
        "meaning": MEANING,
        "names": {"base": BASE, "tuned": TUNED, "champion": CHAMPION},
        "against_base": verdict.against(BASE),
        "scale": scale,
        "charts": charts,
        "papers": [(row, titles.get(row.name)) for row in verdict.by_paper],
        "chosen": chosen(material),
        "loss": _losses(material.adapter.folder / "steps.jsonl"),
        "adapter": {
            k: x
            for k, x in material.adapter.about.items()
            if not isinstance(x, dict | list) and x != ""
        },
        "lineage": lineage,
        "shown_rejects": SHOWN,
        "standin": is_standin(lineage),
        "versions": _versions(),
        "marked": marked,
        "worst_shown": WORST_SHOWN,
        "reference_words": sum(len(e.completion.split()) for e in material.examples)
        / (len(material.examples) or 1),
        "tokens": {
            name: sum(answer.tokens for answer in system)
            for name, system in material.answers.items()
        },
    }


def chosen(material: Material) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return examples side by side: where tuned gained most, where it gained least, and random others."""
    base, tuned = (material.answers.get(name, ()) for name in (BASE, TUNED))
    if not base:
        return []
    metric = material.verdict.rules.metric
    gains = [
        mine.scores[metric] - theirs.scores[metric]
        for mine, theirs in zip(tuned, base, strict=True)
    ]
    order = sorted(range(len(gains)), key=lambda index: (-gains[index], index))
    third = min(material.config.examples_shown, len(order)) // 3
    best, worst = order[:third], order[len(order) - third :][::-1]
    others = order[third : len(order) - third]
    drawn = random.Random(material.config.seed).sample(others, min(third, len(others)))

    def rows(indices: Iterable[int]) -> list[dict[str, Any]]:
        found = []
        for index in indices:
            answers = [
                (name, system[index]) for name, system in material.answers.items() if name in _SHOWN
            ]
            row = {"example": material.examples[index], "answers": answers, "gain": gains[index]}
            found.append({**row, "tuned": tuned[index].text})
        return found

    groups = [
        ("Largest gains over the base", best),
        ("Smallest gains, or losses", worst),
        ("Drawn at random", drawn),
    ]
    return [(title, rows(indices)) for title, indices in groups if indices]


_SHOWN = (BASE, TUNED, CHAMPION)


def is_standin(lineage: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the papers came from the stand-in arXiv, on loopback or a host named after it; it invents them."""
    sites = [str(stage["facts"].get("site", "")) for stage in lineage if stage["stage"] == "scrape"]
    return any(site == "loopback" or "standin" in site.replace("-", "") for site in sites)


def _losses(path: Path) -> list[tuple[float, float]]:
    """Return (step, loss) of the training steps that logged a loss."""
    rows = (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )
    return [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]


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


def chance(value: Any) -> str:
    """Return a p-value as text."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def clip(text: str) -> str:
    """Return a text, cut at LONGEST characters with a note of how much is left out."""
    left_out = len(text) - LONGEST
    return (
        text
        if left_out <= 0
        else f"{text[:LONGEST]} … [{left_out:,} more characters in answers.jsonl]"
    )


def marked(text: str, other: str) -> Markup:
    """Return a text, cut as by `clip`, whose words that stand in `other` in the same order are marked."""
    text, other = clip(text), clip(other)
    parts = re.split(r"(\s+)", text)  # words at even places, blanks between them
    words = [" ".join(unicode_tokens(word)) for word in parts[::2]]
    common = common_subsequence([" ".join(unicode_tokens(word)) for word in other.split()], words)
    shown = [escape(part) for part in parts]
    for place, (word, is_common) in enumerate(zip(words, common, strict=True)):
        if is_common and word:
            shown[2 * place] = Markup("<mark>{}</mark>").format(parts[2 * place])
    return Markup("").join(shown).replace(Markup("</mark> <mark>"), Markup(" "))
