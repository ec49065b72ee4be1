"""A release as whoever got it uses it: by the lines of its own card, in a process without arxtune."""

import json
import re
import subprocess
import sys
from pathlib import Path

from components.shared.records import Answer, Example, read_records
from pipelines.local import Run

# The card's code as it stands, then the same lines for other messages, then for the merged model.
USE = """
import json, sys
code, tasks = json.load(sys.stdin)
known = {}
exec(code, known)
rest = "asked" + code.split("\\nasked", 1)[1].replace("print(", "answers.append(")
known["answers"] = []
for merged in False, True:
    if merged:
        known["model"] = known["model"].merge_and_unload()
    for instruction, input in tasks:
        known["messages"][0]["content"], known["messages"][1]["content"] = instruction, input
        exec(rest, known)
print(json.dumps(known["answers"]))
"""


def answered(run: Run, most: int) -> list[tuple[Example, str]]:
    """Return test examples and the tuned model's stored answers, of those that ended themselves."""
    examples = {
        one.triple: one
        for one in read_records(run.folder_of("curate") / "test/examples.jsonl", Example)
    }
    found = []
    for answer in read_records(run.folder_of("evaluate") / "evaluation/answers.jsonl", Answer):
        if answer.system == "tuned" and answer.stopped:
            found.append((examples[answer.triple], answer.text))
    return found[:most]


def answers_of_card(folder: Path, asked: list[tuple[Example, str]]) -> tuple[list[str], list[str]]:
    """Return the answers of the adapter and of the merged model, by the card's lines."""
    card = (folder / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    tasks = [(example.instruction, example.input) for example, _ in asked]
    done = subprocess.run(
        [sys.executable, "-I", "-c", USE],
        input=json.dumps([code, tasks]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    texts = [text.strip() for text in json.loads(done.stdout.splitlines()[-1])]
    return texts[: len(tasks)], texts[len(tasks) :]
