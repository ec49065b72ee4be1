"""The parser: what models write becomes whole drafts or none, LaTeX and all, in linear time."""

import itertools
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.generate.teacher import Draft
from components.generate.triples import FIELDS, parse
from components.shared.text import clean

PROFILE = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
ASK, PAGE = "Name the cause.", "The loss rose.\nIt then fell."
A, B = (ASK, PAGE, "A bad batch."), ("How long was it?", "The run took 7 hours.", "7 hours.")
ONE, TWO = [A], [A, B]


def row(*fields: str) -> str:
    """Return a row as JSON with nothing escaped but line feeds, as careless models write it."""
    instruction, input, output = (text.replace("\n", "\\n") for text in fields)
    return f'{{"instruction": "{instruction}", "input": "{input}", "output": "{output}"}}'


def labels(instruction: str, input: str, output: str) -> str:
    return "\n\n".join(f"{instruction}{i}\n{input}{p}\n{output}{o}" for i, p, o in TWO)


J, K = row(*A), row(*B)
L = "Instruction: Name the cause.\nInput: The loss rose.\nIt then fell.\nOutput: A bad batch."
M = "Instruction: How long was it?\nInput: The run took 7 hours.\nOutput: 7 hours."
Q = (ASK, PAGE, 'It is called "grokking", while it stays.')
LIST = (ASK, PAGE, 'The "warm", "cold" and "dry" phases.')
CODE = (ASK, PAGE, 'loss = {"ce": 1}')

READ: dict[str, tuple[str, list[tuple[str, str, str]] | None]] = {
    # JSON
    "object with a list": (f'{{"triples": [{J}, {K}]}}', TWO),
    "bare list": (f"[{J}, {K}]", TWO),
    "objects on lines": (f"{J}\n{K}", TWO),
    "objects with commas": (f"{J},\n{K}", TWO),
    "fenced": (f"```json\n[{J}, {K}]\n```", TWO),
    "fence never closed": (f"```json\n[{J}, {K}]", TWO),
    "two fences": (f"First:\n```json\n{J}\n```\nSecond:\n```json\n{K}\n```", TWO),
    "words around, with brackets": (f"See [1] and [a, b]. [{J}, {K}] That is all.", TWO),
    "braces in the words": (f"The set {{x, y}}: [{J}]", ONE),
    "shouted names": (J.replace('"in', '"IN').replace('"output', '"OUTPUT'), ONE),
    "numbered names": (
        '{"instruction_1": "Name the cause.", "input_1": "The loss rose.\\nIt then fell.", '
        '"output_1": "A bad batch.", "instruction_2": "How long was it?", '
        '"input_2": "The run took 7 hours.", "output_2": "7 hours."}',
        TWO,
    ),
    "columns": (
        '{"instruction": ["Name the cause.", "How long was it?"], "output": ["A bad batch.", '
        '"7 hours."], "input": ["The loss rose.\\nIt then fell.", "The run took 7 hours."]}',
        TWO,
    ),
    "object of objects": (f'{{"triple1": {J}, "triple2": {K}}}', TWO),
    "each in a wrapper": (f'[{{"task": {J}}}, {{"task": {K}}}]', TWO),
    "deep": (f'{{"result": {{"data": {{"items": [{J}, {K}]}}}}}}', TWO),
    "a string of JSON": (json.dumps({"triples": f"[{J}, {K}]"}), TWO),
    "other names": (
        J.replace("instruct", "quest").replace("input", "context").replace("output", "answer"),
        ONE,
    ),
    "misspelt names": (J.replace('"instruction', '"intruction').replace('"output', '"ouput'), ONE),
    "field as a list": (
        J.replace('"The loss rose.\\nIt then fell."', '["The loss rose.", "It then fell."]'),
        ONE,
    ),
    "field as an object": (
        '{"instruction": "Sum.", "input": {"a": 1, "b": 2}, "output": 3}',
        [("Sum.", '{"a": 1, "b": 2}', "3")],
    ),
    "all of it a string": (json.dumps(f"[{J}]"), ONE),
    "fields in objects": (
        '{"instruction": "A", "input": {"passage": "B"}, "output": {"answer": "C"}}',
        [("A", "B", "C")],
    ),
    "null input": ('{"instruction": "A", "input": null, "output": "B"}', [("A", "", "B")]),
    "raw line breaks in strings": (J.replace("\\n", "\n"), ONE),
    "unknown fields beside": (J[:-1] + ', "difficulty": "easy", "page": 3}', ONE),
    "reasoning before": (f"<think>Two claims. {{maybe}} {K}</think>[{J}]", ONE),
    "reasoning without its start": (f"A draft: {K}\n</think>\n[{J}]", ONE),
    "reasoning without its end": (f"[{J}]\n<think> or rather {K}", ONE),
    "reasoning in brackets": (f"[THINK]{K}[/THINK]{J}", ONE),
    "channels": (f"<|channel|>analysis<|message|>{K}<|end|><|channel|>final<|message|>{J}", ONE),
    "reasoning is the subject": (row("A", "B", "In <think>."), [("A", "B", "In <think>.")]),
    "byte order mark and line ends": (f"\ufeff[\r\n{J},\r\n{K}\r\n]", TWO),
    # damaged JSON
    "trailing commas": (f'{{"triples": [{J[:-1]},}},]}}', ONE),
    "missing comma between rows": (f'{{"triples": [{J} {K}]}}', TWO),
    "missing comma between fields": ("[" + J.replace(', "input', ' "input') + "]", ONE),
    "missing bracket": (f'{{"triples": [{J[:-1]}]}}', ONE),
    "unquoted names": ("[" + J.replace('"input"', "input") + "]", ONE),
    "single quotes": (f"[{J}]".replace('"', "'"), ONE),
    "a comment": (f"[// first\n{J}]", ONE),
    "an ellipsis": (f"[{J}, ...]", ONE),
    "quotes not escaped": (f"[{row(*Q)}, {K}]", [Q, B]),
    "many quotes not escaped": (f"[{row(*LIST)}]", [LIST]),
    "quotes of code not escaped": (f"[{row(*CODE)}]", [CODE]),
    "cut within an output": (f'{{"triples": [{J}, {K[:-6]}', [A, (*B[:2], "")]),
    "cut, and fenced": (f'```json\n{{"triples": [{J}, {K[:-6]}\n```', [A, (*B[:2], "")]),
    "cut within an input": (f'{{"triples": [{J}, {K[:55]}', [A, (B[0], "", "")]),
    "cut at a quote not escaped": (f"[{J}, {row(*Q)[:-21]}", [A, (ASK, PAGE, "")]),
    "cut within an escape": (f"[{J}, {row(ASK, PAGE, 'one')[:-4]}\\", [A, (ASK, PAGE, "")]),
    "cut before a row": (f'{{"triples": [{J},', ONE),
    "an output without its end": (f'{{"triples": [{J[:-2]}}}]}}', [(ASK, PAGE, "")]),
    "half a row before another": (f"[{K[:-6]}, {J}]", [(*B[:2], "")]),
    # labelled text
    "labels": (f"{L}\n\n{M}", TWO),
    "labels without blank lines": (f"{L}\n{M}", TWO),
    "headed": (f"Triple 1:\n{L}\n\n**Triple 2**\n\n{M}", TWO),
    "numbers alone": (f"1.\n{L}\n\n2.\n{M}", TWO),
    "ruled": (f"{'_' * 40}\n{L}\n\n---\n\n{M}\n{'*' * 40}", TWO),
    "bold": (labels("**Instruction:** ", "**Input**: ", "**Output:** "), TWO),
    "headings": (labels("### Instruction\n", "### Input\n", "### Output:\n"), TWO),
    "bullets": (labels("- Instruction: ", "* **Input:** ", "> Output: "), TWO),
    "numbered": (labels("1. Instruction 1: ", "2. Input 1: ", "3. Output 1: "), TWO),
    "wide colons": (labels("INSTRUCTION：", "Input : ", "output:"), TWO),
    "a note behind": (f"{L}\n\nNote: all is invented.", ONE),
    "greeting and farewell": (f"Here they are:\n\n{L}\n\n{M}\n\nI hope these help!", TWO),
    "labels in a fence": (f"```\n{L}\n\n{M}\n```", TWO),
    "blocks of YAML": (labels("- instruction: |\n    ", "  input: >-\n ", "  output: |\n "), TWO),
    "no input label": ("Instruction: Say it.\nOutput: It.", [("Say it.", "", "It.")]),
    "a number ends the output": ("Instruction: A?\nOutput: It is\n37.", [("A?", "", "It is\n37.")]),
    "labels within a field": (f"{L}\nOutput: and more", None),
    "labels without a mark within an output": (
        labels("- Instruction: ", "- Input: ", "- Output: Output: "),
        [(i, p, f"Output: {o}") for i, p, o in TWO],
    ),
    "labels without a mark on lines of an output": (
        f"- Instruction: {ASK}\n- Input: {PAGE}\n- Output: It.\nOutput: is\n\nNote: one.",
        [(ASK, PAGE, "It.\nOutput: is\n\nNote: one.")],
    ),
    "labels without a mark outside an output": (
        f"- Instruction: {ASK}\n- Input: {PAGE}\nOutput: It.\n- Output: is",
        None,
    ),
    "an instruction in an output": (f"{L}\nInstruction: is the word.\nMore.", None),
    "a task without an output in an output": (f"{L}\nInstruction: a\nInput: b\n\n{M}", None),
    "a whole task in an output": (
        f"**Instruction:** {ASK}\n**Input:** {PAGE}\n**Output:** As in:\n{L}",
        None,
    ),
    "labels in another order": ("Input: x\nInstruction: y\nOutput: z", None),
    # no triple
    "nothing": ("", None),
    "a refusal": ("I am sorry, but I cannot help with that.", None),
    "prose with the words": ("The input is long and the output is short. Instruction helps.", None),
    "other JSON": ('{"summary": "The loss rose.", "n": [1, 2]}', None),
    "a list that is a number": ('{"triples": 3}', None),
    "reasoning alone": (f"<think>{J}", None),
    "an empty list": ('{"triples": []}', []),
}  # fmt: skip


def found(answer: str, *, cut: bool = False) -> list[tuple[str, str, str]] | None:
    drafts = parse(answer, cut=cut)
    return None if drafts is None else [(d.instruction, d.input, d.output) for d in drafts]


@pytest.mark.parametrize("name", READ)
def test_an_answer_is_read_as_a_person_would(name: str) -> None:
    answer, wanted = READ[name]
    assert found(answer) == wanted


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\frac{1}{\sqrt{d}} \in \mathbb N", None),
        (r"\nabla \theta, \beta \to \rho \times \tau", None),
        (r"\text{so} \textbf{x} \forall \bar{x} \right) \neq \not= \nu_t \ne 0", None),
        (r"\alpha\( x \)\[ y \]\, \% \_ \$", None),
        (r"$\nu$ and $\ni$, $\mu,\nu$", None),
        (
            r"\bm{x} \bigO \rVert \rm \begin{equation} \nRightarrow \toprule \unice \binom{n}{k}",
            None,
        ),
        (r"\\frac{1}{2} and \\nabla", r"\frac{1}{2} and \nabla"),
        (r"\upsilon \underline{x} \u00e9t\u00e9", r"\upsilon \underline{x} été"),
        (r"A.\nThe next\nline, tab\there", "A.\nThe next\nline, tab\there"),
        (r"For\nexample:\nu is.\ni.e. this", "For\nexample:\nu is.\ni.e. this"),
        (r"don\'t say \"no\" at a\/b", 'don\'t say "no" at a/b'),
        (r"Not\rThe \next \nor \texternal \treturn", "Not\nThe \next \nor \texternal \treturn"),
        (r"C:\\new \\text", r"C:\new \text"),
    ],
)
@pytest.mark.parametrize("damaged", [False, True])
def test_latex_survives_json_that_forgot_to_escape_it(
    written: str, meant: str | None, damaged: bool
) -> None:
    answer = f'{{"triples": [{{"instruction": "A", "input": "B", "output": "x {written} y"}}]}}'
    answer = answer[:-2] + ",]}" if damaged else answer
    assert found(answer) == [("A", "B", f"x {written if meant is None else meant} y")]


text = st.text(st.characters(), max_size=60)
latex = st.sampled_from(
    [
        r"\frac{1}{2}",
        r"\nabla",
        r"\text{a}",
        r"\beta",
        r"\in",
        r"\\",
        r"\rho",
        r"\neq",
        r"\[",
        r"\}",
        r"$x_i$",
    ]
)
fields = st.lists(text | latex, max_size=4).map("".join)
rows = st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, fields)), max_size=3)


@PROFILE
@given(rows=rows, ascii=st.booleans())
def test_any_text_with_any_latex_survives_json(rows: list[dict[str, str]], ascii: bool) -> None:
    drafts = parse(json.dumps({"triples": rows}, ensure_ascii=ascii))
    wanted = [tuple(clean(row[name]).strip() for name in FIELDS) for row in rows]
    assert [(d.instruction, d.input, d.output) for d in drafts or []] == wanted


@PROFILE
@given(text=st.text(max_size=300) | st.text('{}[]",:\\ntu`*_<think>/', max_size=200))
def test_no_text_at_all_breaks_the_parser(text: str) -> None:
    for answer in (text, f'{{"triples": [{J}, {text}', f'{{"output": "{text}'):
        drafts = parse(answer)
        assert drafts is None or all(isinstance(draft, Draft) for draft in drafts)


CUT = {
    "object": f'{{"triples": [{J}, {row(*LIST)}, {K}]}}',
    "fenced": f"Here:\n```json\n[{J}, {row(*Q)}, {K}]\n```",
    "labelled": f"{L}\n\n---\n\n{M}",
}


@pytest.mark.parametrize("shape", CUT)
@PROFILE
@given(share=st.floats(0, 1))
def test_a_cut_answer_gives_whole_triples_only(shape: str, share: float) -> None:
    answer = CUT[shape]
    drafts = [draft for draft in parse(answer) or [] if draft.whole]
    whole = [d for d in parse(answer[: int(len(answer) * share)], cut=True) or [] if d.whole]
    assert whole == drafts[: len(whole)]


ALPHABET = "{[(<*_#-`'\"\\/:| \na1é"


@pytest.mark.parametrize(
    "unit", [*ALPHABET, "{[", '{"a":', "\\u", "<think>", "- ", "Output:", "](", "\n* "]
)
def test_an_answer_of_one_thing_is_parsed_in_linear_time(unit: str) -> None:
    for before, after in itertools.product(["", '{"triples": [{"output": "'], ["", " x"]):
        seconds = []
        for size in (30_000, 300_000):
            answer = before + unit * (size // len(unit)) + after
            started = time.process_time()
            parse(answer)
            seconds.append(max(time.process_time() - started, 0.01))
        assert seconds[1] < 40 * seconds[0]  # quadratic time would be a hundredfold
