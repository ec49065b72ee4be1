"""docs/cluster.md: its names and numbers are those of the code."""

import re
from pathlib import Path

from pipelines import kubeflow
from pipelines.manifests import COMPONENTS, OVERLAYS
from pipelines.placement import NEEDS
from pipelines.stages import STAGES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "cluster.md").read_text("utf-8")


def test_names_and_numbers_are_those_of_the_code() -> None:
    for name in (*OVERLAYS, *COMPONENTS[1:]):
        assert f"`{name}`" in TEXT or f"`--component {name}`" in TEXT, name
    assert f"**{kubeflow.MINIMUM[0]}.{kubeflow.MINIMUM[1]}**" in TEXT
    assert {needs.retries for needs in NEEDS.values()} == {0, 2, 3}, "three times or twice"
    for stage, name in re.findall(r"`(?:--set )?(\w+)\.(\w+)(?:=\S+)?`", TEXT):
        if stage in STAGES:
            assert name in STAGES[stage].config.knobs(), name
