"""Write a side as trainers read it, in JSONL and Parquet, with its papers and their due."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from components.shared.licences import Obligation
from components.shared.prompt import render_completion, render_prompt
from components.shared.records import (
    CLOSED,
    TEXT,
    Example,
    Source,
    Triple,
    digest,
    is_unnamed,
    write_atomically,
    write_records,
)

COLUMNS = ("triple", "paper", "kind", "instruction", "input", "prompt", "completion")


def shown(triple: Triple) -> str:
    """Return the passage that a model is shown with the instruction: none for closed-book tasks."""
    return "" if triple.kind == CLOSED else triple.input


def example(triple: Triple) -> Example:
    """Render a triple by the one template."""
    return Example(
        triple=triple.id,
        paper=triple.paper,
        kind=triple.kind,
        instruction=triple.instruction,
        input=triple.input,
        prompt=render_prompt(triple.instruction, shown(triple)),
        completion=render_completion(triple.output),
    )


def write_side(folder: Path, triples: Sequence[Triple], sources: Iterable[Source]) -> list[Example]:
    """Write examples.jsonl, examples.parquet and sources.jsonl; return the examples."""
    examples = list(map(example, triples))
    write_records(folder / "examples.jsonl", examples)
    write_records(folder / "sources.jsonl", sources)
    _write_parquet(folder / "examples.parquet", examples)
    return examples


def write_texts(path: Path, triples: Iterable[Triple]) -> None:
    """Write the passages of the triples as plain text, each once, as examples without a prompt."""
    texts: dict[str, Example] = {}
    for triple in triples:
        text = triple.input.strip()
        name = f"text-{digest([triple.paper, text])[:16]}"
        if text:
            texts[name] = Example(
                triple=name,
                paper=triple.paper,
                kind=TEXT,
                instruction="",
                input="",
                prompt="",
                completion=text,
            )
    write_records(path, texts.values())


def _write_parquet(path: Path, examples: Sequence[Example]) -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(dict.fromkeys(COLUMNS, pa.string()))
    table = pa.Table.from_pylist([example.to_dict() for example in examples], schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomically(path, buffer.getvalue())


def notice(sources: Iterable[Source], obligations: Iterable[Obligation]) -> str:
    """Return the NOTICE of a dataset: the lines that its terms ask for, and every paper by name."""
    lines = []
    for duty in obligations:
        if duty.kind == "notice":
            lines.append(duty.value)
    lines += ["", "The training data was made from these papers, changed and shortened:", ""]
    unnamed = 0
    for source in sources:
        if is_unnamed(source.paper):
            unnamed += 1
            continue
        title, authors = source.title or "Title unknown", "; ".join(source.authors)
        lines.append(
            f"- {title}. {authors or 'Authors unknown'}. arXiv:{source.paper}v{source.version}. "
            f"Licence: {source.licence}"
        )
    if unnamed:
        lines.append(f"- and {unnamed} passages whose paper the data does not name")
    return "\n".join(lines).strip() + "\n"
