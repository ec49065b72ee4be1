"""Curate: what may not be trained on is kept out with its reason, and no paper stands on both sides."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from components.curate.config import CurateConfig
from components.curate.core import curate
from components.curate.licence import licence_name
from components.curate.split import choose_test_papers
from components.shared.errors import ConfigError
from components.shared.records import Example, Triple, read_records
from tests.builders import CC_BY, NONEXCLUSIVE, triple, write_triples

PAPERS = [f"2405.9{number:04}" for number in range(40)]


def run(folder: Path, triples: list[Triple], licences: dict[str, str] | None = None, **knobs: Any) -> dict[str, Any]:
    write_triples(folder / "triples", triples, licences)
    return curate(CurateConfig(**knobs), folder / "triples", folder / "train", folder / "test")


def side(folder: Path, name: str) -> list[Example]:
    return list(read_records(folder / name / "examples.jsonl", Example))


def many() -> list[Triple]:
    return [triple(paper=name, output=f"Claim {n} of {name}.") for name in PAPERS for n in range(5)]


def test_no_paper_is_on_both_sides(tmp_path: Path) -> None:
    run(tmp_path, many())
    train, test = ({example.paper for example in side(tmp_path, name)} for name in ("train", "test"))
    assert train
    assert test
    assert not train & test
    assert train | test == set(PAPERS)


def test_order_of_the_triples_does_not_matter(tmp_path: Path) -> None:
    shuffled = many()
    random.Random(1).shuffle(shuffled)
    first, again = run(tmp_path / "a", many()), run(tmp_path / "b", shuffled)
    assert first["facts"]["dataset digest"] == again["facts"]["dataset digest"]


def test_another_seed_gives_another_split(tmp_path: Path) -> None:
    digests = {run(tmp_path / str(seed), many(), seed=seed)["facts"]["dataset digest"] for seed in (1, 2, 3)}
    assert len(digests) == 3


def test_new_papers_never_move_an_old_one_to_the_other_side() -> None:
    old = choose_test_papers(PAPERS[:20], 0.25, seed=7)
    assert choose_test_papers(PAPERS, 0.25, seed=7) & set(PAPERS[:20]) == old


@pytest.mark.parametrize("count", range(2, 9))
def test_few_papers_still_leave_something_on_both_sides(count: int) -> None:
    for seed, fraction in itertools.product(range(30), (0.05, 0.9)):
        assert 0 < len(choose_test_papers(PAPERS[:count], fraction, seed)) < count


def test_only_open_licences_pass_unless_named(tmp_path: Path) -> None:
    licences = {PAPERS[0]: CC_BY, PAPERS[1]: NONEXCLUSIVE, PAPERS[2]: "unknown"}
    triples = [triple(paper=name, output=f"Claim of {name}.") for name in PAPERS[:3]]
    default = run(tmp_path / "a", triples, licences)
    assert default["kept"] == 1
    assert default["dropped"] == {
        "licence not allowed: arxiv-nonexclusive": 1,
        "licence not allowed: unknown": 1,
    }
    opted_in = run(tmp_path / "b", triples, licences, allow_licences="open,arxiv-nonexclusive,unknown")
    assert opted_in["kept"] == 3


def test_an_unknown_licence_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no licence open-ish"):
        CurateConfig(allow_licences="open-ish")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://creativecommons.org/licenses/by/4.0/", "cc-by"),
        ("https://creativecommons.org/licenses/by/3.0/", "cc-by"),
        ("http://creativecommons.org/licenses/by-sa/4.0/", "cc-by-sa"),
        ("http://creativecommons.org/licenses/by-nc-sa/4.0/", "cc-by-nc-sa"),
        ("http://creativecommons.org/licenses/by-nc-nd/4.0/", "cc-by-nc-nd"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "cc0"),
        ("http://arxiv.org/licenses/nonexclusive-distrib/1.0/", "arxiv-nonexclusive"),
        ("http://arxiv.org/licenses/assumed-1991-2003/", "arxiv-assumed-1991-2003"),
        ("http://example.org/creativecommons.org/licenses/by/4.0/", "unknown"),
        ("unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_licences_go_by_their_url(url: str, name: str) -> None:
    assert licence_name(url) == name


def test_each_gate_keeps_its_rejects(tmp_path: Path) -> None:
    triples = [
        triple(output="A good answer."),
        triple(output="A   good answer."),
        triple(output="Made up.", grounding=0.1),
        triple(input="The same text.", output="the same text."),
        triple(output="word " * 2000),
    ]
    summary = run(tmp_path, triples)
    assert summary["kept"] == 1
    assert summary["dropped"] == {
        "duplicate": 1,
        "output is empty or equals the input": 1,
        "output not grounded in its evidence": 1,
        "too long": 1,
    }
    assert len((tmp_path / "train/rejects.jsonl").read_text().splitlines()) == 4


def test_sources_follow_their_side(tmp_path: Path) -> None:
    run(tmp_path, many())
    for name in ("train", "test"):
        listed = {json.loads(line)["paper"] for line in (tmp_path / name / "sources.jsonl").open()}
        assert listed == {example.paper for example in side(tmp_path, name)}


def test_no_triples_give_two_empty_sides(tmp_path: Path) -> None:
    summary = run(tmp_path, [])
    assert (summary["kept"], side(tmp_path, "train"), side(tmp_path, "test")) == (0, [], [])
