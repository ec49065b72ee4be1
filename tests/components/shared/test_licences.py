"""The licence firewall, cell by cell: the tables are written by hand from the sources."""

import itertools

import pytest

from components.shared import licences
from components.shared.licences import (
    OPT_INS,
    Ruling,
    allowed_names,
    model_licence,
    named,
    paper_licence,
)

# URL on arXiv -> (let in by default, duties). Sources: info.arxiv.org/help/license, legal codes of
# Creative Commons.
PAPERS = {
    "http://creativecommons.org/licenses/by/4.0/": (True, {"attribution"}),
    "http://creativecommons.org/licenses/by/3.0/": (True, {"attribution"}),
    "http://creativecommons.org/licenses/by-sa/4.0/": (True, {"attribution", "share-alike"}),
    "http://creativecommons.org/publicdomain/zero/1.0/": (True, set()),
    "http://creativecommons.org/licenses/by-nc-sa/4.0/": (
        False,
        {"attribution", "non-commercial", "share-alike"},
    ),
    "http://creativecommons.org/licenses/by-nc-sa/3.0/": (
        False,
        {"attribution", "non-commercial", "share-alike"},
    ),
    "http://creativecommons.org/licenses/by-nc-nd/4.0/": (
        False,
        {"attribution", "non-commercial", "private"},
    ),
    "http://arxiv.org/licenses/nonexclusive-distrib/1.0/": (False, {"private"}),
    "http://arxiv.org/licenses/assumed-1991-2003/": (False, {"private"}),
    "unknown": (False, {"private"}),
}
# base model -> (terms, duties). Sources: section 1.b of each Llama licence; Apache-2.0, section 4;
# MIT; Gemma Terms of Use, section 3.1; Qwen License Agreement, sections 3 and 4.
BASES = {
    "meta-llama/Llama-2-7b-hf": ("llama2", {"agreement", "notice"}),
    "meta-llama/Meta-Llama-3-8B": ("llama3", {"agreement", "notice", "display", "name"}),
    "meta-llama/Llama-3.1-8B": ("llama3.1", {"agreement", "notice", "display", "name"}),
    "meta-llama/Llama-3.2-1B": ("llama3.2", {"agreement", "notice", "display", "name"}),
    "meta-llama/Llama-3.3-70B-Instruct": ("llama3.3", {"agreement", "notice", "display", "name"}),
    "mistralai/Mistral-7B-v0.3": ("Apache-2.0", {"agreement"}),
    "Qwen/Qwen2.5-7B": ("Apache-2.0", {"agreement"}),
    "Qwen/Qwen2.5-72B": ("qwen", {"agreement", "notice", "display"}),
    "google/gemma-2-9b": ("gemma", {"agreement", "notice", "use-restrictions"}),
    "openai-community/gpt2": ("MIT", {"agreement"}),
    "tiny": ("Apache-2.0", {"agreement"}),
    "someone/some-model": ("unknown", {"check"}),
}
LLAMA_3 = {"llama3", "llama3.1", "llama3.2", "llama3.3"}
ALL = {terms for terms, _ in BASES.values()}
# teacher -> (terms, terms of the bases that it may train, duties)
TEACHERS = {
    "llama-2-70b-chat": ("llama2", {"llama2"}, set()),  # Llama 2 licence, 1.b.v
    "llama3-70b-8192": ("llama3", LLAMA_3, {"name"}),  # Llama 3 licence, 1.b.v and 1.b.i
    "llama-3.1-8b-instant": ("llama3.1", ALL, {"name"}),  # Llama 3.1 licence, 1.b.i
    "llama-3.3-70b-versatile": ("llama3.3", ALL, {"name"}),  # Llama 3.3 licence, 1.b.i
    "mixtral-8x7b-32768": ("Apache-2.0", ALL, set()),  # Apache-2.0: answers are no derivative work
    "qwen/qwen3-32b": ("Apache-2.0", ALL, set()),
    "deepseek-r1": ("MIT", ALL, set()),  # its model card: distillation is allowed
    "google/gemma-2-27b-it": (
        "gemma",
        ALL,
        {"agreement", "notice", "use-restrictions"},
    ),  # Gemma terms, 1.1(e) and 3.1
    "gpt-4o": ("closed", set(), set()),  # OpenAI Terms of Use, "What you cannot do"
    "claude-sonnet": ("closed", set(), set()),  # Anthropic Commercial Terms, D.4
    "gemini-pro": ("closed", set(), set()),  # Gemini API Additional Terms, "Use Restrictions"
    "embedded": ("Apache-2.0", ALL, set()),  # ships with arxtune
    "someone/else": ("unknown", set(), set()),
}


def ruling(paper: str, teacher: str, base: str, setting: str) -> Ruling:
    return licences.ruling(
        paper, model_licence(teacher), model_licence(base), allowed_names(setting)
    )


@pytest.mark.parametrize(("teacher", "base"), list(itertools.product(TEACHERS, BASES)))
def test_every_cell_of_the_table(teacher: str, base: str) -> None:
    _terms, trains, teacher_duties = TEACHERS[teacher]
    base_terms, base_duties = BASES[base]
    fits = base_terms in trains
    for paper, (openly, paper_duties) in PAPERS.items():
        assert ruling(paper, teacher, base, "open").allowed == (openly and fits), paper
        opted_in = ruling(paper, teacher, base, f"open,{paper_licence(paper)}")
        assert opted_in.allowed == fits, paper
        duties = {duty.kind for duty in opted_in.obligations}
        assert duties == (paper_duties | teacher_duties | base_duties if fits else set()), paper
        assert bool(opted_in.reason) != fits


def test_every_rule_names_its_source() -> None:
    for paper, teacher, base in itertools.product(PAPERS, TEACHERS, BASES):
        for setting in ("open", ",".join(OPT_INS)):
            found = ruling(paper, teacher, base, setting)
            assert found.source or found.allowed
            assert all(duty.source and duty.text and duty.due_to for duty in found.obligations)


def test_names_tell_the_terms() -> None:
    for names in (TEACHERS, BASES):
        for name, (terms, *_) in names.items():
            assert model_licence(name) == terms, name


@pytest.mark.parametrize("teacher", ["gpt-4o", "claude-sonnet", "gemini-pro"])
def test_no_opt_in_lets_closed_terms_train(teacher: str) -> None:
    for base in BASES:
        assert not ruling(
            "http://creativecommons.org/publicdomain/zero/1.0/", teacher, base, ",".join(OPT_INS)
        ).allowed


def test_a_teacher_of_unknown_terms_is_let_in_by_name_only_and_has_to_be_checked() -> None:
    cc0 = "http://creativecommons.org/publicdomain/zero/1.0/"
    assert ruling(cc0, "someone/else", "tiny", "open").reason == "teacher's terms unknown"
    let_in = ruling(cc0, "someone/else", "tiny", "open,unknown-teacher")
    assert [duty.kind for duty in let_in.obligations if duty.due_to == "teacher unknown"] == [
        "check"
    ]


@pytest.mark.parametrize(
    ("teacher", "base", "name"),
    [
        ("embedded", "tiny", "arxtune"),
        ("llama-3.3-70b-versatile", "Qwen/Qwen2.5-7B", "Llama arxtune"),
        ("llama-3.3-70b-versatile", "meta-llama/Meta-Llama-3-8B", "Llama 3 arxtune"),
        ("embedded", "meta-llama/Llama-3.1-8B", "Llama arxtune"),
    ],
)
def test_a_release_is_named_as_its_terms_ask(teacher: str, base: str, name: str) -> None:
    duties = ruling(
        "http://creativecommons.org/licenses/by/4.0/", teacher, base, "open"
    ).obligations
    assert named("arxtune", duties) == name
    assert named(name, duties) == name


def test_the_notice_of_llama_3_is_word_for_word() -> None:
    lines = {
        base: next(
            duty.value
            for duty in ruling(next(iter(PAPERS)), "embedded", base, "open").obligations
            if duty.kind == "notice"
        )
        for base, (terms, _) in BASES.items()
        if terms in ("llama3", "llama3.1")
    }
    rights = "Community License, Copyright © Meta Platforms, Inc. All Rights Reserved."
    assert lines == {
        "meta-llama/Meta-Llama-3-8B": f"Meta Llama 3 is licensed under the Meta Llama 3 {rights}",
        "meta-llama/Llama-3.1-8B": f"Llama 3.1 is licensed under the Llama 3.1 {rights}",
    }


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://creativecommons.org/licenses/by/3.0/", "cc-by"),
        ("https://www.creativecommons.org/licenses/by/4.0/", "cc-by"),
        ("http://example.org/creativecommons.org/licenses/by/4.0/", "unknown"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode.en", "cc-by"),
        ("cc-by", "cc-by"),
        ("CC BY 4.0", "unknown"),
        ("javascript://creativecommons.org/licenses/by/4.0/", "unknown"),
        ("ftp://creativecommons.org/licenses/by/4.0/", "unknown"),
        ("http://creativecommons.org/licenses/by/4.0/\n# A heading", "unknown"),
        ("http://creativecommons.org/licenses/by/4.0/../../by-nc-nd/4.0/", "unknown"),
        ("http://creativecommons.org/licenses/by/", "unknown"),
        ("http://creativecommons.org@example.org/licenses/by/4.0/", "unknown"),
        ("", "unknown"),
    ],
)
def test_paper_licences_go_by_their_url(url: str, name: str) -> None:
    assert paper_licence(url) == name


@pytest.mark.parametrize(
    "name",
    [
        "tiny-llama-3f2a",
        "llama-30b",
        "Qwen/Qwen2.5-3B",
        "mistral-large-2407",
        "command-r-plus",
        "qwen-max",
        "/models/meta-llama/Llama-3.1-8B",
        "./Llama-3.1-8B",
        "someone/llama-3.1-8b-tuned",
        "",
    ],
)
def test_a_name_that_does_not_tell_its_terms_is_unknown(name: str) -> None:
    assert model_licence(name) == "unknown"
