"""The verdict in Markdown, for the dashboard's own view and for places that show no HTML."""

from components.evaluate.verdict import Verdict


def markdown(verdict: Verdict) -> str:
    """Return verdict, differences and systems."""
    lines = [f"# {verdict.word}", "", f"{verdict.reason}.", ""]
    lines += [f"- {note}" for note in verdict.notes]
    lines.append(
        f"- {verdict.examples} test examples of {verdict.papers} papers that nobody trained on."
    )
    lines.append(
        f"- {verdict.looks_spent} other verdicts in the 365 days before; {verdict.rules.looks_per_year} share an error "
        f"of {verdict.rules.year_error:.0%}."
    )
    if verdict.comparisons:
        lines += [
            "",
            "## Tuned minus each other system, ROUGE-L",
            "",
            "| system | gain | interval | decides | p |",
        ]
        lines.append("|---|---:|---:|---:|---:|")
        lines += [
            f"| {_cell(pair.other)} | {pair.difference:+.3f} | {pair.low:+.3f} to {pair.high:+.3f} | {pair.floor:+.3f} "
            f"| {pair.p_value:.3f} |"
            for pair in verdict.comparisons
        ]
    if verdict.systems:
        lines += [
            "",
            "## Systems",
            "",
            "| system | ROUGE-1 | ROUGE-2 | ROUGE-L | words | stopped | loss |",
        ]
        lines.append("|---|---:|---:|---:|---:|---:|---:|")
        lines += [
            f"| {_cell(row.name)} | {row.rouge1:.3f} | {row.rouge2:.3f} | {row.rougeL:.3f} | {row.words:.1f} "
            f"| {_shown(row.stopped, '.0%')} | {_shown(row.loss, '.3f')} |"
            for row in verdict.systems
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
