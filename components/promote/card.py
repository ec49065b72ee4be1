"""What a release says of itself: a model card, and a NOTICE that gives every paper its due."""

from collections.abc import Collection
from typing import Any

from components.shared.records import Source

METRICS = ("rouge1", "rouge2", "rougeL")


def model_card(name: str, adapter: dict[str, Any], verdict: dict[str, Any], sources: Collection[Source]) -> str:
    """Return the card in Markdown: what it was trained from, and the verdict in its own words."""
    rows = [
        f"| {system['name']} | " + " | ".join(f"{system[metric]:.3f}" for metric in METRICS) + " |"
        for system in verdict["systems"]
    ]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"A LoRA adapter for `{adapter['base']}` ({adapter['base_licence']}), trained by arxtune on "
            f"{adapter['examples']} examples from {len(sources)} arXiv papers (see NOTICE).",
            "",
            f"Verdict: **{verdict['word']}**. {verdict['reason']}",
            "",
            "| system | ROUGE-1 | ROUGE-2 | ROUGE-L |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            f"Dataset digest `{adapter['train_digest']}`, adapter digest `{adapter['adapter_digest']}`.",
            "",
        ]
    )


def notice(name: str, adapter: dict[str, Any], sources: Collection[Source]) -> str:
    """Return the attributions: base model and every paper that the training data comes from."""
    lines = [f"{name} is adapted from {adapter['base']} ({adapter['base_licence']}).", ""]
    if "llama-3" in adapter["base"].lower():
        lines += ["Built with Meta Llama 3. Subject to the Meta Llama 3 Community License, section 1.b.", ""]
    lines += ["Its training data was made from these papers, changed and shortened:", ""]
    for source in sources:
        work = f"{source.title}. {'; '.join(source.authors)}. arXiv:{source.paper}v{source.version}"
        lines.append(f"- {work}. Licence: {source.licence}")
    return "\n".join(lines) + "\n"
