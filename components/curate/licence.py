"""The licence firewall: paper licence x teacher terms x base-model terms -> allowed or refused, and the duties.

Each rule stands beside its source. This is engineering, not legal advice: where a text leaves room, the stricter
reading is taken, and what is unknown passes only if the user names it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from components.shared.licences import OPEN, PAPER_LICENCES, Obligation

UNKNOWN_TEACHER = "unknown-teacher"
OPT_INS = (*PAPER_LICENCES, UNKNOWN_TEACHER)  # what allow_licences may name, besides "open"

CC = "creativecommons.org/licenses"
LLAMA = {  # terms -> where they are published
    "llama2": "Llama 2 Community License, ai.meta.com/llama/license",
    "llama3": "Meta Llama 3 Community License, llama.meta.com/llama3/license",
    "llama3.1": "Llama 3.1 Community License, llama.com/llama3_1/license",
    "llama3.2": "Llama 3.2 Community License, llama.com/llama3_2/license",
    "llama3.3": "Llama 3.3 Community License, llama.com/llama3_3/license",
    "llama4": "Llama 4 Community License, llama.com/llama4/license",
}
GEMMA = "Gemma Terms of Use, ai.google.dev/gemma/terms"
QWEN = "Qwen License Agreement of 2024-09-19, huggingface.co/Qwen/Qwen2.5-72B-Instruct/blob/main/LICENSE"
# Sections 1.b.v of the Llama 2 and Llama 3 licences: outputs may not improve any other large language model. Each names
# itself and its derivatives as the exception; later Llama models are counted as Llama 3's, Llama 2 is not.
MAY_TRAIN = {
    "llama2": {"llama2"},
    "llama3": {"llama3", "llama3.1", "llama3.2", "llama3.3", "llama4"},
}
CLOSED = (
    "OpenAI Terms of Use, 'What you cannot do'; Anthropic Commercial Terms, D.4; Gemini API Additional Terms, "
    "'Use Restrictions': outputs may not train competing models"
)


@dataclass(frozen=True)
class Ruling:
    """What the firewall says about one combination; `reason` is empty when it is allowed."""

    reason: str
    source: str = ""
    obligations: tuple[Obligation, ...] = ()

    @property
    def allowed(self) -> bool:
        """Tell whether training is allowed."""
        return not self.reason


def allowed_names(setting: str) -> frozenset[str]:
    """Return what the setting allow_licences lets in; "open" stands for the open paper licences."""
    names = {name.strip() for name in setting.split(",") if name.strip()}
    return frozenset((names - {"open"}) | (set(OPEN) if "open" in names else set()))


def judge(paper: str, teacher: str, base: str, allowed: Collection[str]) -> Ruling:
    """Rule on training a base model on a teacher's answers about a paper; `allowed` names what the user lets in."""
    if paper not in allowed:
        return Ruling(f"licence not allowed: {paper}", "let in by allow_licences only")
    if teacher == "closed":
        return Ruling("teacher's terms forbid training on its answers", CLOSED)
    if teacher not in _TEACHER and UNKNOWN_TEACHER not in allowed:
        return Ruling("teacher's terms unknown", f"let in by allow_licences={UNKNOWN_TEACHER} only")
    if teacher in MAY_TRAIN and base not in MAY_TRAIN[teacher]:
        return Ruling(
            f"answers of {teacher} may train Llama models only", f"{LLAMA[teacher]}, section 1.b.v"
        )
    duties = (
        *_PAPER[paper],
        *_TEACHER.get(teacher, _UNKNOWN_TEACHER),
        *_BASE.get(base, _UNKNOWN_BASE),
    )
    return Ruling("", obligations=duties)


def _duty(due_to: str, source: str, kind: str, text: str, value: str = "") -> Obligation:
    return Obligation(kind=kind, text=text, value=value, due_to=due_to, source=source)


def _creative_commons(name: str, section: str, *kinds: str) -> tuple[Obligation, ...]:
    texts = {
        "attribution": "Name title, authors, source and licence of each paper, and say that it was changed.",
        "share-alike": "Pass the data on under the paper's own licence only.",
        "non-commercial": "Use data and release for non-commercial purposes only.",
        "private": "Do not pass the data on: the licence allows adapting, but not sharing what was adapted.",
    }
    source = f"{CC}/{name.removeprefix('cc-')}/4.0/legalcode, {section}"
    return tuple(_duty(f"paper {name}", source, kind, texts[kind]) for kind in kinds)


def _no_licence(name: str) -> tuple[Obligation, ...]:
    text = (
        "The authors gave readers no licence: training needs a legal basis of your own (their consent, a text and data "
        "mining exception), and the data may not be passed on."
    )
    # info.arxiv.org/help/license: the non-exclusive and the assumed licence let arXiv distribute, and nobody else.
    return (_duty(f"paper {name}", "info.arxiv.org/help/license", "private", text),)


_PAPER: dict[str, tuple[Obligation, ...]] = {
    "cc-by": _creative_commons("cc-by", "section 3(a)", "attribution"),
    "cc-by-sa": _creative_commons(
        "cc-by-sa", "sections 3(a) and 3(b)", "attribution", "share-alike"
    ),
    "cc0": (),  # creativecommons.org/publicdomain/zero/1.0/legalcode, section 2: all rights are waived
    "cc-by-nc-sa": _creative_commons(
        "cc-by-nc-sa",
        "sections 2(a)(1), 3(a) and 3(b)",
        "attribution",
        "non-commercial",
        "share-alike",
    ),
    "cc-by-nc-nd": _creative_commons(
        "cc-by-nc-nd", "sections 2(a)(1) and 3(a)", "attribution", "non-commercial", "private"
    ),
    **{
        name: _no_licence(name)
        for name in ("arxiv-nonexclusive", "arxiv-assumed-1991-2003", "unknown")
    },
}


def _llama_name(role: str, terms: str) -> Obligation:
    # Section 1.b.i. Llama 3 speaks of its materials, 3.1 and later also of "outputs or results".
    name = "Llama 3" if terms == "llama3" else "Llama"
    return _duty(
        f"{role} {terms}",
        f"{LLAMA[terms]}, section 1.b.i",
        "name",
        f"Begin the model's name with {name}.",
        name,
    )


def _llama_base(terms: str) -> tuple[Obligation, ...]:
    due, sold_as = f"base {terms}", "Llama " + terms.removeprefix("llama")
    meta, licence = ("Meta ", "Meta ") if terms == "llama3" else ("", "")
    title = "LLAMA 2" if terms == "llama2" else licence + sold_as
    line = (
        f"{meta}{sold_as} is licensed under the {title} Community License, "
        "Copyright © Meta Platforms, Inc. All Rights Reserved."
    )
    common = (
        _duty(
            due,
            f"{LLAMA[terms]}, section 1.b",
            "agreement",
            "Pass a copy of the agreement on with the model.",
        ),
        _duty(
            due,
            f"{LLAMA[terms]}, section 1.b",
            "notice",
            "Keep this line in a text file named Notice.",
            line,
        ),
    )
    if terms == "llama2":
        return common
    words = "Built with Meta Llama 3" if terms == "llama3" else "Built with Llama"
    text = "Display these words prominently where the model is made available."
    return (
        *common,
        _duty(due, f"{LLAMA[terms]}, section 1.b.i", "display", text, words),
        _llama_name("base", terms),
    )


def _gemma(role: str) -> tuple[Obligation, ...]:
    # Section 1.1(e): a model trained on Gemma's outputs to perform like it is a Model Derivative, as a tuned one is.
    line = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
    due, source = f"{role} gemma", f"{GEMMA}, section 3.1"
    return (
        _duty(
            due,
            source,
            "agreement",
            "Pass a copy of the terms on, and say that the files were changed.",
        ),
        _duty(due, source, "notice", "Keep this line in a text file named Notice.", line),
        _duty(
            due,
            source,
            "use-restrictions",
            "Pass on the use restrictions of section 3.2 as an enforceable provision.",
        ),
    )


def _qwen(role: str) -> Obligation:
    text = "Display these words, or 'Improved using Qwen', prominently in the documentation."
    return _duty(f"{role} qwen", f"{QWEN}, section 4", "display", text, "Built with Qwen")


_TEACHER: dict[str, tuple[Obligation, ...]] = {
    "Apache-2.0": (),  # apache.org/licenses/LICENSE-2.0: it covers the model; its answers are no derivative work of it
    "MIT": (),  # opensource.org/license/mit; the card of DeepSeek-R1 allows distillation expressly
    "llama2": (),  # its only duty, the same base, is in MAY_TRAIN
    **{terms: (_llama_name("teacher", terms),) for terms in LLAMA if terms != "llama2"},
    "gemma": _gemma("teacher"),
    "qwen": (_qwen("teacher"),),
}
_UNKNOWN_TEACHER = (
    _duty(
        "teacher unknown",
        "allow_licences",
        "check",
        "Find out whether the teacher's terms allow to train on its answers.",
    ),
)
_BASE: dict[str, tuple[Obligation, ...]] = {
    "Apache-2.0": (
        _duty(
            "base Apache-2.0", "apache.org/licenses/LICENSE-2.0, section 4", "agreement",
            "Pass the licence and the notices of the base model on, and say that it was changed.",
        ),
    ),
    "MIT": (
        _duty("base MIT", "opensource.org/license/mit", "agreement", "Pass the base model's copyright notice on."),
    ),
    **{terms: _llama_base(terms) for terms in LLAMA},
    "gemma": _gemma("base"),
    "qwen": (
        _duty("base qwen", f"{QWEN}, section 3", "agreement", "Pass a copy of the agreement on with the model."),
        _duty(
            "base qwen", f"{QWEN}, section 3", "notice", "Keep this line in a text file named Notice.",
            "Qwen is licensed under the Qwen LICENSE AGREEMENT, Copyright (c) Alibaba Cloud. All Rights Reserved.",
        ),
        _qwen("base"),
    ),
}  # fmt: skip
_UNKNOWN_BASE = (
    _duty(
        "base unknown",
        "the base model's card",
        "check",
        "Read the base model's terms before the release is passed on.",
    ),
)
