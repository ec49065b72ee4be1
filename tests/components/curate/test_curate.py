"""Curate, end to end: what may not be trained on is kept out, and what is written holds
together."""

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from components.curate.config import CurateConfig
from components.shared.errors import ConfigError
from components.shared.feasibility import TooLittleData
from components.shared.licences import Obligation
from components.shared.prompt import render_prompt
from components.shared.records import Triple, read_records
from tests.builders import CC_BY, NONEXCLUSIVE, triple, write_triples
from tests.components.curate.running import OUTPUTS, PAPERS, prose, rejects, run, run_on, side


def many() -> list[Triple]:
    return [
        triple(paper=name, input=prose((name, n)), output=f"Claim {n} of {name}.")
        for name in PAPERS
        for n in range(5)
    ]


def test_no_paper_is_on_both_sides_and_sources_follow(tmp_path: Path) -> None:
    run(tmp_path, many())
    papers = {}
    for name in ("train", "test"):
        papers[name] = {example.paper for example in side(tmp_path, name)}
        listed = {json.loads(line)["paper"] for line in (tmp_path / name / "sources.jsonl").open()}
        assert papers[name] == listed != set()
    assert not papers["train"] & papers["test"]
    assert papers["train"] | papers["test"] == {*PAPERS}
    run(tmp_path / "another", many(), seed=2)
    assert {example.paper for example in side(tmp_path / "another", "test")} != papers["test"]


def test_order_and_number_of_files_do_not_matter(tmp_path: Path) -> None:
    triples = [
        *many(),
        triple(paper=PAPERS[0], input=prose((PAPERS[0], 0)), output=f"Claim 0, of {PAPERS[0]}."),
    ]
    digests = {run(tmp_path / "one", triples)["facts"]["dataset digest"]}
    for seed in range(3):
        random.Random(seed).shuffle(triples)
        folder = write_triples(tmp_path / str(seed), triples)
        lines = (folder / "triples.jsonl").read_text("utf-8").splitlines(keepends=True)
        (folder / "triples.jsonl").write_text("".join(lines[:70]), "utf-8")
        (folder / "more.jsonl").write_text("".join(lines[70:90]), "utf-8")
        (folder / "rest.json").write_text(f"[{','.join(lines[90:])}]", "utf-8")
        digests.add(run_on(tmp_path / f"{seed}-out", folder)["facts"]["dataset digest"])
    assert len(digests) == 1


def test_only_open_licences_pass_unless_named(tmp_path: Path) -> None:
    licences = {PAPERS[0]: CC_BY, PAPERS[1]: NONEXCLUSIVE, PAPERS[2]: "unknown"}
    triples = [triple(paper=name, output=f"Claim of {name}.") for name in PAPERS[:3]]
    triples.append(triple(paper=PAPERS[0], version=2))  # version 1 alone is under CC BY
    default = run(tmp_path / "a", triples, licences)
    assert default["kept"] == 1
    assert default["dropped"] == {
        "licence not allowed: arxiv-nonexclusive": 1,
        "licence not allowed: unknown": 2,
    }
    let_in = "open,arxiv-nonexclusive,unknown"
    assert run(tmp_path / "b", triples, licences, allow_licences=let_in)["kept"] == 4


def test_no_paper_of_a_refused_cell_reaches_train_or_test(tmp_path: Path) -> None:
    urls = ["http://creativecommons.org/licenses/by-nc-nd/4.0/", NONEXCLUSIVE, CC_BY, "unknown"]
    teachers = ["llama3", "llama3.3", "closed", "Apache-2.0", "unknown"]
    cells = dict(zip(PAPERS, itertools.product(urls, teachers), strict=False))
    triples, licences = [], {}
    for name, (licences[name], terms) in cells.items():
        for n in range(4):
            texts = {"input": prose((name, n)), "output": prose((name, n, "out"), 9)}
            triples.append(triple(paper=name, teacher_licence=terms, **texts))
    run(tmp_path, triples, licences, base_model="Qwen/Qwen2.5-7B", seed=3)
    reached = {example.paper for name in ("train", "test") for example in side(tmp_path, name)}
    assert {cells[name] for name in reached} == {(CC_BY, "llama3.3"), (CC_BY, "Apache-2.0")}
    assert len(rejects(tmp_path)) == 4 * (len(cells) - 2)


def test_the_duties_and_attributions_stand_beside_train(tmp_path: Path) -> None:
    run(
        tmp_path,
        [*many(), triple(teacher_licence="llama3.3")],
        base_model="meta-llama/Meta-Llama-3-8B",
    )
    duties = list(read_records(tmp_path / "train" / "obligations.jsonl", Obligation))
    assert {duty.due_to for duty in duties} == {"paper cc-by", "base llama3", "teacher llama3.3"}
    text = (tmp_path / "train" / "NOTICE").read_text("utf-8")
    assert "Meta Llama 3 is licensed under the Meta Llama 3 Community License" in text
    for paper in {example.paper for example in side(tmp_path, "train")}:
        assert f"arXiv:{paper}v1. Licence: {CC_BY}" in text


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"allow_licences": "open-ish"}, "there is no licence open-ish"),
        ({"test_after": "soon"}, "curate.test_after='soon': must be a day"),
        ({"near_duplicate": 0.1}, "near_duplicate=0.1: must be at least 0.5"),
    ],
)
def test_a_wrong_setting_is_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CurateConfig.build(knobs)


def test_no_triples_of_the_stage_before_give_two_empty_sides_and_status_2(tmp_path: Path) -> None:
    with pytest.raises(TooLittleData, match="none of 0 triples was kept"):
        run(tmp_path, [])
    assert (side(tmp_path, "train"), side(tmp_path, "test")) == ([], [])
    assert all((tmp_path / name).exists() for name in OUTPUTS)


def test_nothing_that_a_card_shows_is_markup(tmp_path: Path) -> None:
    """What a stranger wrote closes no cell, opens no link and loads no image."""
    evil = "x | y](javascript:alert(1)) ![i](http://evil.example/p.png) "
    evil += "<img src=//evil.example/q>\n# Heading\n---"
    rows = [
        triple(paper=name, input=f"{prose(name)} {evil}", kind=evil[:60]) for name in PAPERS[:9]
    ]
    run(tmp_path, rows)
    text = (tmp_path / "card.md").read_text("utf-8")
    assert "evil.example" in text
    for markup in ("](", "![", "<img", "\n# Heading", "\n---\n"):
        assert markup not in text.replace("\\" + markup, ""), markup
    html = (tmp_path / "card.html").read_text("utf-8")
    assert "evil.example" in html
    assert "<img" not in html


def test_datasets_reads_both_files_as_prompt_and_completion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    run(tmp_path, many())
    for name in ("train", "test"):
        expected = [(example.prompt, example.completion) for example in side(tmp_path, name)]
        for kind, file in (("json", "examples.jsonl"), ("parquet", "examples.parquet")):
            path = str(tmp_path / name / file)
            loaded = load_dataset(
                kind, data_files=path, split="train", cache_dir=str(tmp_path / "cache")
            )
            assert list(zip(loaded["prompt"], loaded["completion"], strict=True)) == expected
            assert loaded[0]["prompt"] == render_prompt(
                loaded[0]["instruction"], loaded[0]["input"]
            )


@pytest.mark.parametrize("seed", range(5))
def test_what_comes_in_is_kept_or_dropped_for_a_reason(seed: int, tmp_path: Path) -> None:
    """Random rows, random faults: none is lost or counted twice, and the card says the same."""
    chance = random.Random(seed)
    refused = {"output": "I'm sorry, but I cannot."}
    faults = [{}, {}, {"output": ""}, refused, {"grounding": 0.1}, {"input": "a@bc.org it is"}]
    triples = []
    for number in range(chance.randint(50, 150)):
        texts = {"input": prose((seed, chance.randint(0, 60))), "output": prose((seed, number), 12)}
        fields = {"paper": chance.choice(PAPERS), **texts, **chance.choice(faults)}
        triples.append(triple(**fields))
    folder = write_triples(tmp_path / "triples", triples)
    malformed = [b'{"instruction": 1}\n', b"not json\n", b"\xff\xfe\n", b'["list"]\n']
    with (folder / "triples.jsonl").open("ab") as file:
        file.writelines(malformed[: chance.randint(0, 4)])
    rows = len((folder / "triples.jsonl").read_bytes().splitlines())
    summary = run_on(tmp_path, folder)

    kept = [example.triple for name in ("train", "test") for example in side(tmp_path, name)]
    assert summary["seen"] == rows
    assert summary["kept"] == len(kept)
    assert rows == len(kept) + sum(summary["dropped"].values())
    assert Counter(reject["reason"] for reject in rejects(tmp_path)) == summary["dropped"]
    dropped = [r["item"] for r in rejects(tmp_path) if "line" not in r["item"]]
    assert Counter(kept + dropped) == Counter(t.id for t in triples)

    for card in ("card.html", "card.md"):
        text = (tmp_path / card).read_text("utf-8")
        assert f"{rows} rows in = {len(kept)} kept + {rows - len(kept)} dropped." in text
    table = text.split("## Through the gates")[1].split("## ")[0]
    cells = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][2:-1]
    assert {cell[0].removeprefix("| "): int(cell[1]) for cell in cells} == summary["dropped"]
    assert [int(cell[2]) for cell in cells][-1:] in ([len(kept)], [])
