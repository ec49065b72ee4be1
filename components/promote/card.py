"""What a release says of itself: model card, NOTICE and LICENSE. What comes from papers is text, never markup."""

import json
from collections.abc import Collection, Iterable
from typing import Any

from components.shared.licences import Obligation
from components.shared.records import Source

METRICS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
HUB_LICENCES = {
    "Apache-2.0",
    "MIT",
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "gemma",
}  # the Hub's ids


def model_card(
    name: str,
    adapter: dict[str, Any],
    verdict: dict[str, Any],
    sources: Collection[Source],
    duties: Collection[Obligation],
) -> str:
    """Return the card as the Hugging Face Hub reads it: metadata in YAML, then Markdown.

    Its metadata is written as JSON values, which are YAML.
    """
    front = [
        f"{key}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in _metadata(name, adapter, verdict).items()
    ]
    rows = [
        f"| {system['name']} | " + " | ".join(f"{system[metric]:.3f}" for metric in METRICS) + " |"
        for system in verdict["systems"]
    ]
    displayed = [f"**{duty.value}**\n" for duty in duties if duty.kind == "display" and duty.value]
    return "\n".join(
        [
            "---",
            *front,
            "---",
            f"# {name}",
            "",
            *displayed,
            f"A LoRA adapter for `{adapter['base']}` ({adapter['base_licence']}), trained by arxtune on "
            f"{adapter['examples']} examples from {len(sources)} arXiv papers (see NOTICE and LICENSE).",
            "",
            "## Evaluation",
            "",
            f"Verdict: **{verdict['word']}**. {verdict['reason']}",
            "",
            f"On {verdict.get('examples', '?')} test examples of {verdict.get('papers', '?')} papers that nobody "
            "trained on. Mean F measures; systems that are no model show what copying scores.",
            "",
            "| system | " + " | ".join(METRICS.values()) + " |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            "## Use",
            "",
            "```python",
            "from peft import AutoPeftModelForCausalLM",
            "",
            'model = AutoPeftModelForCausalLM.from_pretrained("path/to/this/folder")',
            "```",
            "",
            "## Provenance",
            "",
            f"Dataset digest `{adapter['train_digest']}`, adapter digest `{adapter['adapter_digest']}`. "
            "`lineage.jsonl` tells what each stage kept and dropped, `verdict.json` every number of the verdict, "
            "`SHA256SUMS` the hash of each file.",
            "",
        ]
    )


def _metadata(name: str, adapter: dict[str, Any], verdict: dict[str, Any]) -> dict[str, Any]:
    licence = adapter["base_licence"]
    known = licence in HUB_LICENCES
    tuned = next((system for system in verdict["systems"] if system["name"] == "tuned"), None)
    metrics = [
        {"type": metric, "name": title, "value": round(tuned[metric], 4)}
        for metric, title in METRICS.items()
        if tuned
    ]
    result = {
        "task": {"type": "text-generation"},
        "dataset": {
            "type": "arxtune",
            "name": f"arXiv test papers {verdict.get('dataset_digest', '')[:12]}".strip(),
        },
        "metrics": metrics,
    }
    return {
        "base_model": adapter["base"],
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": licence.lower() if known else "other",
        **({} if known else {"license_name": licence, "license_link": "LICENSE"}),
        "tags": ["arxtune", "arxiv", "lora"],
        "metrics": ["rouge"],
        "model-index": [{"name": name, "results": [result]}],
    }


def notice(
    name: str, adapter: dict[str, Any], sources: Iterable[Source], duties: Collection[Obligation]
) -> str:
    """Return the attributions: base model, the lines that licences ask for, and every paper trained on."""
    lines = [f"{name} is adapted from {adapter['base']} ({adapter['base_licence']}).", ""]
    asked = [duty.value for duty in duties if duty.kind in ("notice", "display") and duty.value]
    if not asked and "llama-3" in adapter["base"].lower():
        asked = [
            "Built with Meta Llama 3",
            "Subject to the Meta Llama 3 Community License, section 1.b.",
        ]
    for line in dict.fromkeys(asked):
        lines += [line, ""]
    lines += ["Its training data was made from these papers, changed and shortened:", ""]
    for source in sources:
        work = f"{source.title}. {'; '.join(source.authors)}. arXiv:{source.paper}v{source.version}"
        lines.append(f"- {' '.join(work.split())}. Licence: {source.licence}")
    return "\n".join(lines) + "\n"


def licence(name: str, adapter: dict[str, Any], duties: Iterable[Obligation]) -> str:
    """Return the terms: those of the base model, and each duty that data and teacher brought along."""
    lines = [
        f"{name} is a change of {adapter['base']}. The terms of that model apply to it: {adapter['base_licence']}.",
        "What its training data and its teacher ask for beside that:",
        "",
    ]
    asked = [f"- {duty.text} (due to {duty.due_to}; {duty.source})" for duty in duties]
    return "\n".join([*lines, *(asked or ["- nothing that was recorded"])]) + "\n"
