"""What a release says of itself; what comes from papers is text, never markup."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from components.shared.licences import Obligation
from components.shared.records import Adapter, Source
from components.shared.text import clean_line, escaped
from components.shared.verdict import TUNED, Verdict, title

METRICS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
REST = """
## Use

In the folder of this card, which `arxtune releases get NAME FOLDER` writes:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), ".")
messages = [
    {{"role": "system", "content": "Name the main result."}},
    {{"role": "user", "content": "The passage that is asked about."}},
]
asked = tokenizer.apply_chat_template(messages, return_dict=True, return_tensors="pt")
end = tokenizer.eos_token_id
answer = model.generate(**asked, max_new_tokens=128, do_sample=False, eos_token_id=end)
print(tokenizer.decode(answer[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))
```

The chat template renders the prompt of the training: the system message is the instruction, the
user's message the input. For servers that know no adapters,
`model.merge_and_unload().save_pretrained("merged")` writes one model; with vLLM:
`vllm serve {base} --enable-lora --max-lora-rank {rank} --lora-modules arxtune=.`

## Training

{training}

## Limits

It was trained and tested on English passages of arXiv papers, one instruction at a time, and may
state what is false.

## Provenance

Digests: `{adapter.train_digest}` of the training data, `{adapter.adapter_digest}` of the adapter.
`lineage.jsonl` tells what each stage kept and dropped, `verdict.json` every number of the verdict,
`SHA256SUMS` the hash of each file.
"""
FIGURES = {
    "examples": "examples",
    "epochs": "epochs",
    "steps": "steps",
    "batch_size": "rows at a time",
    "gradient_accumulation": "batches to a step",
    "warmup_steps": "steps of warm-up",
    "optimizer": "optimizer",
    "max_length": "tokens at most",
    "quantisation": "quantisation of the base",
    "held_out_loss": "held-out loss",
}
# the Hub's ids
HUB_LICENCES = (
    "Apache-2.0",
    "MIT",
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "gemma",
)


def model_card(
    name: str,
    adapter: Adapter,
    verdict: Verdict,
    sources: Collection[Source],
    duties: Collection[Obligation],
    loads: str,
    lora: Mapping[str, Any],
) -> str:
    """Return the card as the Hugging Face Hub reads it: metadata in YAML, then Markdown.

    `loads` is what transformers loads the base from, `lora` the adapter's settings.
    """
    lines = ["---"]
    for key, value in _metadata(name, adapter, verdict).items():
        lines.append(f"{key}: {_yaml(value)}")
    lines += ["---", f"# {escaped(name)}", ""]
    for duty in duties:
        if duty.kind == "display" and duty.value:
            lines += [f"**{escaped(duty.value)}**", ""]
    count = adapter.extra.get("examples", "?")
    lines += [
        f"A LoRA adapter for {escaped(adapter.base)} ({escaped(adapter.base_licence)}), trained by "
        f"arxtune on {count} examples from {len(sources)} arXiv papers (see NOTICE and LICENSE).",
        "",
        "## Evaluation",
        "",
        f"Verdict: **{verdict.word}**. {escaped(verdict.reason)}",
        "",
        f"On {verdict.examples} test examples of {verdict.counted}. "
        "Mean F measures; trivial baselines are no models and show what copying scores.",
        "",
        "| system | " + " | ".join(METRICS.values()) + " |",
        "|---|---:|---:|---:|",
    ]
    for system in verdict.systems:
        figures = f"{system.rouge1:.3f} | {system.rouge2:.3f} | {system.rougeL:.3f}"
        lines.append(f"| {title(system.name)} | {figures} |")
    rank, alpha = lora.get("r", 0), lora.get("lora_alpha", 0)
    training = [f"- LoRA of rank {rank:g}, alpha {alpha:g}"]
    for key, shown in FIGURES.items():
        if key in adapter.extra:
            value = adapter.extra[key]
            if isinstance(value, float):
                value = round(value, 4)
            training.append(f"- {shown}: {escaped(str(value))}")
    rest = REST.format(adapter=adapter, base=loads, rank=f"{rank:g}", training="\n".join(training))
    return "\n".join([*lines, rest])


def _yaml(value: object) -> str:
    """Return a value as JSON in ASCII, which is YAML, whatever it holds."""
    return json.dumps(value)


def _metadata(name: str, adapter: Adapter, verdict: Verdict) -> dict[str, Any]:
    name, licence = clean_line(name), clean_line(adapter.base_licence)
    known = licence in HUB_LICENCES
    metrics = []
    if tuned := verdict.system(TUNED):
        for metric, shown in METRICS.items():
            value = round(getattr(tuned, metric), 4)
            metrics.append({"type": metric, "name": shown, "value": value})
    dataset = f"arXiv test papers {verdict.dataset_digest[:12]}".strip()
    result = {
        "task": {"type": "text-generation"},
        "dataset": {"type": "arxtune", "name": dataset},
        "metrics": metrics,
    }
    metadata = {
        "base_model": clean_line(adapter.base),
        "base_model_relation": "adapter",
        "language": ["en"],
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": licence.lower() if known else "other",
        "tags": ["arxtune", "arxiv", "lora"],
        "metrics": ["rouge"],
        "model-index": [{"name": name, "results": [result]}],
    }
    if not known:
        metadata |= {"license_name": licence, "license_link": "LICENSE"}
    return metadata


def notice(
    name: str, adapter: Adapter, sources: Iterable[Source], duties: Collection[Obligation]
) -> str:
    """Return the attributions: base model, the lines that licences ask for, and every paper trained
    on.

    Whatever comes from outside stays on its line.
    """
    base = clean_line(adapter.base)
    lines = [f"{clean_line(name)} is adapted from {base} ({clean_line(adapter.base_licence)}).", ""]
    asked = [duty.value for duty in duties if duty.kind in ("notice", "display") and duty.value]
    if not asked and "llama-3" in base.lower():
        asked = [
            "Built with Meta Llama 3",
            "Subject to the Meta Llama 3 Community License, section 1.b.",
        ]
    for line in dict.fromkeys(asked):
        lines += [clean_line(line), ""]
    lines += ["Its training data was made from these papers, changed and shortened:", ""]
    for source in sources:
        authors = "; ".join(source.authors)
        work = f"{source.title}. {authors}. arXiv:{source.paper}v{source.version}"
        lines.append(f"- {clean_line(work)}. Licence: {clean_line(source.licence)}")
    return "\n".join(lines) + "\n"


def licence(name: str, adapter: Adapter, duties: Iterable[Obligation]) -> str:
    """Return the terms: the base model's, and each duty of data and teacher."""
    terms = f"The terms of that model apply to it: {adapter.base_licence}."
    lines = [
        clean_line(f"{name} is a change of {adapter.base}. {terms}"),
        "What its training data and its teacher ask for beside that:",
        "",
    ]
    asked = [
        "- " + clean_line(f"{duty.text} (due to {duty.due_to}; {duty.source})") for duty in duties
    ]
    return "\n".join([*lines, *(asked or ["- nothing that was recorded"])]) + "\n"
