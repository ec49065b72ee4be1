"""The verdict in Markdown, for the dashboard's own view and for places that show no HTML."""

from components.evaluate.currency import findings
from components.evaluate.report import gap, percent, score
from components.shared.text import escaped
from components.shared.verdict import Verdict, title


def markdown(verdict: Verdict) -> str:
    """Return verdict, differences and systems; text from outside is text, never markup."""
    lines = [f"# {verdict.word}", "", f"{escaped(verdict.reason)}.", ""]
    for found in findings(verdict):
        numbers = escaped("; ".join(found.numbers)) or "no figure"
        lines.append(f"- {found.title}: **{found.word}**. {found.sentence} ({numbers})")
    lines += [f"- {escaped(note)}" for note in verdict.notes]
    lines += [
        f"- Run {escaped(verdict.run)}, {verdict.at}.",
        f"- {verdict.examples} test examples of {verdict.counted}.",
        f"- {verdict.looks_spent} other verdicts in the 365 days before; a year of them shares an "
        f"error of {verdict.rules.year_error:.0%}.",
    ]
    if verdict.comparisons:
        lines += ["", "## Tuned minus each other system, ROUGE-L", ""]
        lines += ["| system | gain | interval | decides | p |", "|---|---:|---:|---:|---:|"]
    for pair in verdict.comparisons:
        span = f"{gap(pair.low)} to {gap(pair.high)}"
        figures = f"{gap(pair.difference)} | {span} | {gap(pair.floor)} | {pair.p_value:.3f}"
        lines.append(f"| {title(pair.other)} | {figures} |")
    if verdict.systems:
        lines += ["", "## Systems", ""]
        lines.append("| system | ROUGE-1 | ROUGE-2 | ROUGE-L | words | stopped | loss |")
        lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for row in verdict.systems:
        figures = " | ".join(map(score, (row.rouge1, row.rouge2, row.rougeL)))
        rest = f"{row.words:.1f} | {percent(row.stopped)} | {score(row.loss)}"
        lines.append(f"| {title(row.name)} | {figures} | {rest} |")
    return "\n".join(lines) + "\n"
