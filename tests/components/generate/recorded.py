"""Recorded shapes of answers: how models write triples when asked for JSON, and when not. All content is invented."""

A = ("Name the cause.", "The loss rose.\nIt then fell.", "A bad batch.")
B = ("How long was it?", "The run took 7 hours.", "7 hours.")
ONE, TWO = [A], [A, B]
_J = '{"instruction": "Name the cause.", "input": "The loss rose.\\nIt then fell.", "output": "A bad batch."}'
_K = '{"instruction": "How long was it?", "input": "The run took 7 hours.", "output": "7 hours."}'
_L = "Instruction: Name the cause.\nInput: The loss rose.\nIt then fell.\nOutput: A bad batch."
_M = "Instruction: How long was it?\nInput: The run took 7 hours.\nOutput: 7 hours."


def _named(instruction: str, input: str, output: str) -> str:
    return "\n\n".join(f"{instruction}{i}\n{input}{p}\n{output}{o}" for i, p, o in TWO)


RECORDED: dict[str, tuple[str, list[tuple[str, str, str]] | None]] = {
    # JSON
    "object with a list": (f'{{"triples": [{_J}, {_K}]}}', TWO),
    "bare list": (f"[{_J}, {_K}]", TWO),
    "single object": (_J, ONE),
    "objects on lines": (f"{_J}\n{_K}", TWO),
    "objects with commas": (f"{_J},\n{_K}", TWO),
    "fenced with language": (f"```json\n[{_J}, {_K}]\n```", TWO),
    "fenced without language": (f"```\n[{_J}]\n```", ONE),
    "fence never closed": (f"```json\n[{_J}, {_K}]", TWO),
    "two fences": (f"First:\n```json\n{_J}\n```\nSecond:\n```json\n{_K}\n```", TWO),
    "words before": (f'Sure! Here are they:\n{{"triples": [{_J}]}}', ONE),
    "words after": (f'{{"triples": [{_J}]}}\nI hope this helps!', ONE),
    "words around a list": (f"Below is the list. [{_J}, {_K}] That is all.", TWO),
    "capital names": (
        _J.replace("instruction", "Instruction")
        .replace('"input', '"Input')
        .replace("output", "Output"),
        ONE,
    ),
    "shouted names": (
        _J.replace("instruction", "INSTRUCTION")
        .replace('"input', '"INPUT')
        .replace("output", "OUTPUT"),
        ONE,
    ),
    "numbered names": (
        '{"instruction_1": "Name the cause.", "input_1": "The loss rose.\\nIt then fell.", "output_1": "A bad batch.",'
        ' "instruction_2": "How long was it?", "input_2": "The run took 7 hours.", "output_2": "7 hours."}',
        TWO,
    ),
    "object of objects": (f'{{"triple1": {_J}, "triple2": {_K}}}', TWO),
    "each in a wrapper": (f'[{{"triple": {_J}}}, {{"triple": {_K}}}]', TWO),
    "deep": (f'{{"result": {{"data": {{"items": [{_J}, {_K}]}}}}}}', TWO),
    "question, context, answer": (
        _J.replace('"instruction', '"question')
        .replace('"input', '"context')
        .replace('"output', '"answer'),
        ONE,
    ),
    "task, passage, response": (
        _J.replace('"instruction', '"task')
        .replace('"input', '"passage')
        .replace('"output', '"response'),
        ONE,
    ),
    "prompt, text, completion": (
        _J.replace('"instruction', '"prompt')
        .replace('"input', '"text')
        .replace('"output', '"completion'),
        ONE,
    ),
    "expected output": (_J.replace('"output', '"expected_output'), ONE),
    "misspelt names": (_J.replace('"instruction', '"intruction').replace('"output', '"ouput'), ONE),
    "field as a list": (
        _J.replace('"The loss rose.\\nIt then fell."', '["The loss rose.", "It then fell."]'),
        ONE,
    ),
    "number as output": (
        '{"instruction": "How many?", "input": "There were 7.", "output": 7}',
        [("How many?", "There were 7.", "7")],
    ),
    "null input": (
        '{"instruction": "Say it.", "input": null, "output": "It."}',
        [("Say it.", "", "It.")],
    ),
    "no input": ('{"instruction": "Say it.", "output": "It."}', [("Say it.", "", "It.")]),
    "raw line breaks in strings": (_J.replace("\\n", "\n"), ONE),
    "unknown fields beside": (_J[:-1] + ', "difficulty": "easy", "page": 3}', ONE),
    "trailing comma": (f"[{_J}, {_K},]", TWO),
    "unfinished list": (f'{{"triples": [{_J}, {_K}', TWO),
    "cut within the last output": (
        f'{{"triples": [{_J}, {{"instruction": "How long?", "input": "7 hours.", "output": "7 ho',
        [A, ("How long?", "7 hours.", "")],
    ),
    "cut within the last instruction": (f'{{"triples": [{_J}, {{"instruction": "How lo', ONE),
    "python notation": (f"[{_J}]".replace('"', "'"), ONE),
    "thoughts before": (f"<think>The page has two claims. {{maybe}}</think>[{_J}, {_K}]", TWO),
    "byte order mark": (f"\ufeff[{_J}]", ONE),
    "windows line ends": (f"[\r\n{_J},\r\n{_K}\r\n]", TWO),
    # labelled text
    "labels": (f"{_L}\n\n{_M}", TWO),
    "labels without blank lines": (f"{_L}\n{_M}", TWO),
    "headed by number": (f"Triple 1:\n{_L}\n\nTriple 2:\n{_M}", TWO),
    "headed with blank lines": (f"Triple 1:\n\n{_L}\n\nTriple 2:\n\n{_M}", TWO),
    "headed without number": (f"Triple:\n{_L}\n\nTriple:\n{_M}", TWO),
    "headed in bold": (f"**Triple 1:**\n{_L}\n\n**Triple 2:**\n{_M}", TWO),
    "headed in markdown": (f"## Triple 1\n{_L}\n\n## Triple 2\n{_M}", TWO),
    "headed as examples": (f"Example 1\n{_L}\n\nExample 2\n{_M}", TWO),
    "numbers alone": (f"1.\n{_L}\n\n2.\n{_M}", TWO),
    "ruled": (f"{_L}\n\n---\n\n{_M}", TWO),
    "bold labels": (_named("**Instruction:** ", "**Input:** ", "**Output:** "), TWO),
    "bold labels, colon outside": (_named("**Instruction**: ", "**Input**: ", "**Output**: "), TWO),
    "italic labels": (_named("*Instruction:* ", "*Input:* ", "*Output:* "), TWO),
    "underscored labels": (_named("__Instruction__: ", "__Input__: ", "__Output__: "), TWO),
    "markdown headings": (_named("### Instruction\n", "### Input\n", "### Output\n"), TWO),
    "markdown headings with colon": (
        _named("### Instruction:\n", "### Input:\n", "### Output:\n"),
        TWO,
    ),
    "labels on their own line": (_named("Instruction:\n", "Input:\n", "Output:\n"), TWO),
    "bullets": (_named("- Instruction: ", "- Input: ", "- Output: "), TWO),
    "starred bullets": (_named("* **Instruction:** ", "* **Input:** ", "* **Output:** "), TWO),
    "numbered labels": (_named("1. Instruction: ", "2. Input: ", "3. Output: "), TWO),
    "lettered labels": (_named("a) Instruction: ", "b) Input: ", "c) Output: "), TWO),
    "labels with numbers": (_named("Instruction 1: ", "Input 1: ", "Output 1: "), TWO),
    "capitals": (_named("INSTRUCTION: ", "INPUT: ", "OUTPUT: "), TWO),
    "small letters": (_named("instruction: ", "input: ", "output: "), TWO),
    "space before the colon": (_named("Instruction : ", "Input : ", "Output : "), TWO),
    "wide colon": (_named("Instruction：", "Input：", "Output："), TWO),
    "dashes": (_named("Instruction - ", "Input - ", "Output - "), TWO),
    "brackets": (_named("[Instruction]: ", "[Input]: ", "[Output]: "), TWO),
    "quoted block": (_named("> Instruction: ", "> Input: ", "> Output: "), TWO),
    "misspelt labels": (_named("Intruction: ", "Imput: ", "Ouput: "), TWO),
    "question and answer": (_named("Question: ", "Context: ", "Answer: "), TWO),
    "quoted fields": (
        'Instruction: Name the cause.\nInput: "The loss rose.\nIt then fell."\nOutput: "A bad batch."',
        ONE,
    ),
    "curly quotes": (
        "Instruction: Name the cause.\nInput: “The loss rose.\nIt then fell.”\nOutput: “A bad batch.”",
        ONE,
    ),
    "greeting and farewell": (f"Here are the triples:\n\n{_L}\n\n{_M}\n\nI hope these help!", TWO),
    "labels in a fence": (f"```\n{_L}\n\n{_M}\n```", TWO),
    "no input label": ("Instruction: Say it.\nOutput: It.", [("Say it.", "", "It.")]),
    "last without output": (
        f"{_L}\n\nInstruction: How long?\nInput: 7 hours.",
        [A, ("How long?", "7 hours.", "")],
    ),
    # tags and tables
    "tags": (
        "<triple><instruction>Name the cause.</instruction><input>The loss rose.\nIt then fell.</input>"
        "<output>A bad batch.</output></triple>",
        ONE,
    ),
    "tags cut short": (
        "<instruction>Name the cause.</instruction><input>It fell.</input><output>A bad ba",
        [("Name the cause.", "It fell.", "")],
    ),
    "table": (
        "| Instruction | Input | Output |\n|---|---|---|\n"
        "| Name the cause. | The loss rose.<br>It then fell. | A bad batch. |\n"
        "| How long was it? | The run took 7 hours. | 7 hours. |",
        TWO,
    ),
    "table with numbers": (
        "| # | Instruction | Input | Output |\n|---|---|---|---|\n"
        "| 1 | How long was it? | The run took 7 hours. | 7 hours. |",
        [B],
    ),
    # no triple
    "nothing": ("", None),
    "blank": (" \n\n ", None),
    "refusal": ("I am sorry, but I cannot help with that.", None),
    "prose with the words": (
        "The input is long and the output is short. An instruction would help.",
        None,
    ),
    "a string": ('"triples"', None),
    "numbers": ("[1, 2, 3]", None),
    "other JSON": ('{"summary": "The loss rose."}', None),
    "list is a number": ('{"triples": 3}', None),
    "an open brace": ("{", None),
    "deep nonsense": ("[" * 3000, None),
    "only an output label": ("Output: something", None),
    "an empty list": ('{"triples": []}', []),
}
