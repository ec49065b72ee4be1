"""Words are matched as a person types them, and names are read as arXiv's metadata writes them."""

import pytest

from components.scrape.bylines import parse_authors, untex
from components.scrape.query import parse, stems

TEXT = "Chain of Thought for Large Language Models: low-rank agents of O(n log n), naïve Großmann"


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("*", True),
        ("language models", True),
        ("MODEL languages", True),
        ("language zebras", False),
        ('"chain of thought"', True),
        ('"thought chain"', False),
        ('"chain thought"', False),
        ("the agents of chance OR chains", True),
        ("zebras OR (agents AND thought)", True),
        ("agents NOT thought", False),
        ("agents ANDNOT zebras", True),
        ("NOT zebras", True),
        ("agents AND NOT (zebras OR lions)", True),
        ("low-rank", True),
        ("rank-low", False),
        ("lang* mod*", True),
        ("ang*", False),
        ("naive Grossmann", True),
        (r"$O(n \log n)$", True),
        ("retrieval AND generation", False),
        ('"unclosed chain', False),
        ("agents)", True),
        ("(agents", True),
        ("AND agents OR", True),
        ("of the", False),
    ],
)
def test_words_phrases_and_operators_are_matched(query: str, holds: bool) -> None:
    assert parse(query).holds(stems(TEXT)) is holds


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("code will be released", "all:code AND all:released"),
        ('"chain of thought" x', "all:chain AND all:thought"),
        ("LLM OR GPT", "(all:llm OR all:gpt)"),
        ("LLM OR of*", ""),
        ("agents NOT chess", "all:agents"),
        ("*", ""),
    ],
)
def test_a_server_is_asked_for_no_less_than_matches(query: str, asked: str) -> None:
    assert parse(query).broad(lambda word: f"all:{word}") == asked


@pytest.mark.parametrize(
    ("line", "authors"),
    [
        ("Ada One, Bob Two and Cy Three", ["Ada One", "Bob Two", "Cy Three"]),
        ("Ada One, Jr., Bob Two III", ["Ada One Jr.", "Bob Two III"]),
        ("Ada One (MIT (Boston), X), Bob Two (Y)", ["Ada One", "Bob Two"]),
        ("ATLAS Collaboration: G. Aad, B. Bb", ["ATLAS Collaboration", "G. Aad", "B. Bb"]),
        ("the OpenModel Team, A. Sanders", ["the OpenModel Team", "A. Sanders"]),
        (
            r"Erwin Schr\"{o}dinger, Ren\'e D, Fran{\c c}ois",
            ["Erwin Schrödinger", "René D", "François"],
        ),
        (
            r"Paul Erd\H{o}s; {\AA}ng, S\o ren, Gro{\ss}mann",
            ["Paul Erdős", "Ång", "Søren", "Großmann"],
        ),
        (r"Mar\'{\i}a", ["María"]),
        ("", []),
    ],
)
def test_a_line_of_authors_is_taken_apart(line: str, authors: list[str]) -> None:
    assert parse_authors(line) == authors


def test_mathematics_and_other_commands_stay() -> None:
    text = r"$\alpha$-stable $\hat{o}$ \textbf{x} in $O(n \log n)$"
    assert untex(text) == text
