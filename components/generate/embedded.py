"""The embedded teacher: tasks built from a page's own sentences. No key, no network, no cost.

Quoting tasks name a cue of the passage and want what the passage says from there to the end of the
sentence, in quotation marks. So a grounding check can prove every answer, none is solved by copying
the input, its beginning or the instruction, and even a model of a million weights can learn it: the
answer's opening mark leads back to the cue.

Reading tasks are for models that can read: the title of an abstract, the heading of a paragraph,
what an acronym stands for, what the authors found. They are made where a page shows the answer.
Every second passage gives them a closed-book task too: to complete a statement of the paper, named
by its title, without seeing the passage.

Passages are whole sentences that follow one another; whatever looks broken ends a passage.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import asdict

from components.generate.teacher import Draft, Payload, Reply, Request
from components.shared.records import CLOSED, digest
from components.shared.teachers import EMBEDDED, teacher

TASKS_A_PASSAGE = 1  # part of the rules' hash
ANSWER_WORDS = 4  # in an answer, at least

WORDINGS = {
    "sentence": (
        "Quote the sentence that begins with “{cue}”.",
        "Which sentence of the passage opens with “{cue}”?",
        "Give in full the statement that starts with “{cue}”.",
    ),
    "term": (
        "Quote the passage from the word “{cue}” to the end of the sentence.",
        "How does the sentence go on from the word “{cue}”?",
        "Give the rest of the sentence that follows from “{cue}” on.",
    ),
    "figure": (
        "Quote the passage from the figure “{cue}” to the end of the sentence.",
        "How does the sentence go on from the number “{cue}”?",
    ),
    "continuation": (
        "Quote the passage from “{cue}” to the end of the sentence.",
        "How does the sentence go on from “{cue}”?",
    ),
}
SINGLE_WORDS = {"term": r"[^\W\d_]{7,}", "figure": r"\d+(?:[.,]\d+)*"}  # cues of one word
READING = {
    "title": (
        "Give the title of the paper that this is from.",
        "What is the paper called whose abstract says this?",
    ),
    "heading": (
        "Give the heading of the section that begins with this paragraph.",
        "Which heading does this paragraph stand under?",
    ),
    "acronym": ("What does “{cue}” stand for?", "Spell out the abbreviation “{cue}”."),
    "finding": ("What do the authors find?", "Which finding does the passage report?"),
}
CLOSED_BOOK = (
    "How does this statement of “{title}” go on: “{start} …”?",
    "Complete what “{title}” says: “{start} …”",
)
SHARED_WORDS = 0.6  # of a title or heading that the passage must hold: it can be told from there
HEADING_WORDS = (2, 8)
NUMBERING = re.compile(r"^(?:(?:\d+|[A-Z])(?:\.\d+)*\.?|[IVX]+\.)\s+")
ACRONYM = re.compile(r"((?:[\w-]+\s+){1,7})\(([A-Z][A-Za-z]*[A-Z])s?\)")
FINDING = re.compile(
    r"\b(?:we|the authors|(?:our|the|these) (?:results|experiments|findings|measurements))"
    r"(?: \w+ly)? (?:find|found|show|showed|observe|observed|demonstrate|report|suggest|indicate)"
    r" that (.+)\.$",
    re.IGNORECASE,
)
PASSAGE_SENTENCES = (3, 6)  # in a passage, at least and at most
PASSAGE_CHARACTERS = 480  # of a passage at most: keeps the longest prompt of a small model short
SENTENCE_WORDS = (6, 30)  # in a sentence

_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|al|etc|resp|approx|Fig|Figs|Eq|Eqs|Sec|Tab|Ref|Refs|No|Dr|[A-Z]))\.$"
)
_END = re.compile(r"(?<=[.!?])\s+(?=[\"“(]?[A-Z0-9])")
_SENTENCE = re.compile(r"[A-Z][^\n@{}\\<>|=_^~]*[.?!]")
_FIGURE = re.compile(r"\d")
_PLAIN = re.compile(r"[\w\s,.;:'’%()\[\]/&?!±–-]")


class EmbeddedTeacher:
    """Deterministic: the same page, seed and wording rules give the same tasks."""

    name = EMBEDDED
    facts = teacher(EMBEDDED)
    licence = facts.licence

    def __init__(self, tasks: str = "quoting") -> None:
        """Make quoting tasks alone, or ("varied") reading tasks too, wherever there are some."""
        self.varied = tasks == "varied"
        kinds = [WORDINGS, READING, CLOSED_BOOK] if self.varied else [WORDINGS]
        self.prompt_hash = digest([*kinds, TASKS_A_PASSAGE, ANSWER_WORDS])

    def payload(self, request: Request) -> Payload:
        """Return what decides the tasks."""
        return {"teacher": self.name, "prompt": self.prompt_hash, **vars(request)}

    def again(self, payload: Payload, reply: Reply) -> None:
        """Return None: the same page gives the same tasks."""

    def ask(self, payload: Payload) -> Reply:
        """Return JSON {"triples": [...]}: up to one task a passage."""
        place = f"{payload['seed']}:{payload['paper']}:{payload['page']}"
        title = ""
        if payload["page"] == 1:
            title = payload.get("title", "")
        rows = []
        for number, (heading, sentences) in enumerate(headed_passages(payload["text"])):
            choose = random.Random(f"{place}:{number}")
            draft = None
            if self.varied:
                draft = _reading_task(sentences, heading, title, choose)
            draft = draft or _quoting_task(sentences, choose)
            if draft:
                rows.append(asdict(draft))
            if self.varied and payload.get("title") and number % 2 == 0:
                rows.append(asdict(_closed_book_task(sentences, payload["title"], choose)))
            title = ""  # stands above the first passage
        return Reply(json.dumps({"triples": rows}, ensure_ascii=False))


def _quoting_task(sentences: list[str], choose: random.Random) -> Draft | None:
    """Return a task about one passage, of a random kind among those that it allows."""
    passage = " ".join(sentences)
    for kind in choose.sample(sorted(WORDINGS), len(WORDINGS)):
        places: list[tuple[str, str]] = []
        for sentence in sentences:
            places += [place for place in _cues(kind, sentence) if _once(place[0], passage)]
        if places:
            cue, answer = choose.choice(places)
            instruction = choose.choice(WORDINGS[kind]).format(cue=cue)
            return Draft(instruction, passage, f"“{answer}”", kind)
    return None


def _reading_task(
    sentences: list[str], heading: str, title: str, choose: random.Random
) -> Draft | None:
    """Return one of the reading tasks that a passage allows."""
    passage = " ".join(sentences)
    found: list[tuple[str, str, str]] = []  # kind, cue and answer
    for kind, text in (("title", title), ("heading", _heading(heading))):
        if text and _told(text, passage):
            found.append((kind, "", text))
    for words, acronym in ACRONYM.findall(passage):
        expansion = words.split()[-len(acronym) :]
        if [word[0].lower() for word in expansion] == list(acronym.lower()):
            found.append(("acronym", acronym, " ".join(expansion)))
    for sentence in sentences:
        finding = FINDING.search(sentence)
        if finding and len(finding[1].split()) >= ANSWER_WORDS:
            found.append(("finding", "", f"{finding[1][0].upper()}{finding[1][1:]}."))
    choose.shuffle(found)
    for kind, cue, answer in found:
        instruction = choose.choice(READING[kind]).format(cue=cue)
        return Draft(instruction, passage, answer, kind)
    return None


def _closed_book_task(sentences: list[str], title: str, choose: random.Random) -> Draft:
    """Return the task to complete one sentence of a passage: a finding, a figure, or any."""
    ranked = sorted(
        sentences, key=lambda text: (not FINDING.search(text), not _FIGURE.search(text))
    )
    words = ranked[0].split()
    middle = len(words) // 2
    start, answer = " ".join(words[:middle]), " ".join(words[middle:])
    instruction = choose.choice(CLOSED_BOOK).format(title=title, start=start)
    return Draft(instruction, " ".join(sentences), answer, CLOSED)


def _heading(line: str) -> str:
    """Return a heading without its number, or "" where it is too short or too long to be told."""
    bare = NUMBERING.sub("", line).strip()
    if HEADING_WORDS[0] <= len(bare.split()) <= HEADING_WORDS[1]:
        return bare
    return ""


def _told(text: str, passage: str) -> bool:
    """Tell whether most words of a title stand in the passage."""
    words = re.findall(r"\w{4,}", text.lower())
    there = set(re.findall(r"\w+", passage.lower()))
    held = sum(word in there for word in words)
    return bool(words) and held / len(words) >= SHARED_WORDS


def _cues(kind: str, sentence: str) -> Iterator[tuple[str, str]]:
    """Yield (cue, what the sentence says from it on) for each place where such a task can start."""
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


def headed_passages(page: str) -> list[tuple[str, list[str]]]:
    """Return the passages of a page, and for each the heading right above it, or ""."""
    found: list[tuple[str, list[str]]] = []
    for heading, block in _blocks(page):
        run: list[str] = []
        for sentence in [*split_sentences(block), ""]:
            if is_whole(sentence):
                run.append(sentence)
            else:
                for passage in _cut(run):
                    found.append((heading, passage))
                    heading = ""  # of the first passage below it
                run = []
    return found


def split_sentences(text: str) -> Iterator[str]:
    """Yield the pieces between sentence ends, white space made single."""
    start = 0
    for end in _END.finditer(text):
        if not _ABBREVIATION.search(text[max(start, end.start() - 8) : end.start()]):
            yield " ".join(text[start : end.start()].split())
            start = end.end()
    yield " ".join(text[start:].split())


def is_whole(sentence: str) -> bool:
    """Tell whether this reads like one unbroken sentence of prose."""
    words = sentence.split()
    return (
        SENTENCE_WORDS[0] <= len(words) <= SENTENCE_WORDS[1]
        and _SENTENCE.fullmatch(sentence) is not None
        and sentence.count("(") == sentence.count(")")
        and len(_PLAIN.findall(sentence)) == len(sentence)
        and sum(word[:1].islower() for word in words) >= len(words) / 2
        and not any(len(word) > 1 and word.endswith("-") for word in words)
    )


def _blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield the stretches of running text between blank lines and headings, below their heading."""
    lines = [line.strip() for line in page.splitlines()]
    width = sorted(map(len, lines))[len(lines) // 2] if lines else 0
    heading = ""
    block: list[str] = []
    for line in lines:
        fresh = not block or block[-1][-1] in ".!?"
        headed = bool(line) and fresh and _is_heading(line, width)
        if line and not headed:
            block.append(line)
            continue
        if block:
            yield heading, "\n".join(block)
            heading, block = "", []
        if headed:
            heading = line
    yield heading, "\n".join(block)


def _is_heading(line: str, width: int) -> bool:
    """Tell a heading: where a sentence might begin, a short line that starts big and has no end."""
    return (
        len(line) < 0.75 * width
        and len(line.split()) <= 9
        and line[-1] not in ".!?,;-"
        and not line[0].islower()
    )


def _cut(run: list[str]) -> Iterator[list[str]]:
    """Yield equal passages of 3 to 6 sentences, none where run or sentences do not allow it."""
    least, most = PASSAGE_SENTENCES
    pieces = -(-len(run) // most)
    for piece in range(pieces):
        passage = run[piece * len(run) // pieces : (piece + 1) * len(run) // pieces]
        while len(" ".join(passage)) > PASSAGE_CHARACTERS:
            passage = passage[:-1]
        if len(passage) >= least:
            yield passage
