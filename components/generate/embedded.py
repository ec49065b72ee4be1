"""The embedded teacher: tasks built from a page's own sentences. No key, no network, no cost.

Every task names a cue of the passage and wants what the passage says from there to the end of the sentence, in
quotation marks. So a grounding check can prove every answer, none is solved by copying the input, its beginning or the
instruction, and even a model of a million weights can learn it: the answer's opening mark leads back to the cue.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import asdict

from components.generate.sentences import passages
from components.generate.teacher import Draft, Payload, Reply, Request
from components.shared.records import digest

TASKS_A_PASSAGE = 1
ANSWER_WORDS = 4  # in an answer, at least

WORDINGS = {
    "sentence": (
        "Quote the sentence that begins with “{cue}”.",
        "Which sentence of the passage opens with “{cue}”?",
        "Give in full the statement that starts with “{cue}”.",
    ),
    "term": (
        "What does the passage say about “{cue}”?",
        "Report what is stated about “{cue}”.",
        "How does the passage use the term “{cue}”?",
    ),
    "figure": (
        "What does the passage say of the figure “{cue}”?",
        "Which statement goes with the number “{cue}”?",
    ),
    "continuation": (
        "Quote the passage from “{cue}” to the end of the sentence.",
        "How does the sentence go on from “{cue}”?",
    ),
}
SINGLE_WORDS = {
    "term": r"[^\W\d_]{7,}",
    "figure": r"\d+(?:[.,]\d+)*",
}  # what makes a cue of its own


class EmbeddedTeacher:
    """Deterministic: the same page, seed and wording rules give the same tasks."""

    name = "embedded"
    licence = "Apache-2.0"
    prompt_hash = digest([WORDINGS, TASKS_A_PASSAGE, ANSWER_WORDS])
    paid = False

    def payload(self, request: Request) -> Payload:
        """Return what decides the tasks."""
        return {"teacher": self.name, "prompt": self.prompt_hash, **vars(request)}

    def again(self, payload: Payload, reply: Reply) -> None:
        """Return None: the same page gives the same tasks."""

    def ask(self, payload: Payload) -> Reply:
        """Return JSON {"triples": [...]}: up to TASKS_A_PASSAGE tasks a passage, each of another kind."""
        place = f"{payload['seed']}:{payload['paper']}:{payload['page']}"
        drafts = [
            draft
            for number, sentences in enumerate(passages(payload["text"]))
            for draft in _tasks(sentences, random.Random(f"{place}:{number}"))
        ]
        return Reply(
            json.dumps({"triples": [asdict(draft) for draft in drafts]}, ensure_ascii=False)
        )


def _tasks(sentences: list[str], choose: random.Random) -> list[Draft]:
    """Return tasks about one passage, of kinds in random order."""
    passage = " ".join(sentences)
    drafts: list[Draft] = []
    for kind in choose.sample(sorted(WORDINGS), len(WORDINGS)):
        places = [
            place
            for sentence in sentences
            for place in _cues(kind, sentence)
            if _once(place[0], passage)
        ]
        if places and len(drafts) < TASKS_A_PASSAGE:
            cue, answer = choose.choice(places)
            instruction = choose.choice(WORDINGS[kind]).format(cue=cue)
            drafts.append(
                Draft(instruction=instruction, input=passage, output=f"“{answer}”", kind=kind)
            )
    return drafts


def _cues(kind: str, sentence: str) -> Iterator[tuple[str, str]]:
    """Yield (cue, what the sentence says from the cue on) for every place where a task of this kind can start."""
    words = sentence.split()
    for start in range(len(words) - ANSWER_WORDS + 1):
        word, answer = words[start], " ".join(words[start:])
        if kind == "sentence" and start == 0:
            yield " ".join(words[:3]).rstrip(",;:"), answer
        elif kind == "continuation" and start > 1:
            yield " ".join(words[start : start + 3]).rstrip(",;:.?!"), answer
        elif start > 0 and re.fullmatch(SINGLE_WORDS.get(kind, ""), word):
            yield word, answer


def _once(cue: str, passage: str) -> bool:
    """Tell whether the cue stands in the passage exactly once, as whole words."""
    return len(re.findall(rf"(?<!\w){re.escape(cue)}(?!\w)", passage)) == 1
