"""The same pipeline from curate on, for triples of one's own: a file, or a folder of files, in JSON
or JSONL."""

from kfp import dsl

from components.curate.config import CurateConfig
from components.promote.config import PromoteConfig
from pipelines.arxtune import learn
from pipelines.names import STORE
from pipelines.placement import place


@dsl.pipeline(name="arxtune-triples", description="Tune a model on triples of one's own.")
def own_triples(
    triples: str,
    allow_licences: str = CurateConfig.default("allow_licences"),
    base_model: str = CurateConfig.default("base_model"),
    release: str = PromoteConfig.default("release"),
    store: str = STORE,
    seed: int = CurateConfig.default("seed"),
    settings: str = "{}",
    node_selector: dict = {},  # noqa: B006  kfp wants a literal default; nobody mutates it
    tolerations: list = [],  # noqa: B006
):
    """triples -> curate -> finetune -> evaluate -> [verdict is "better"] -> promote; `triples` is a
    path or URI."""
    common = {"store": store, "seed": seed, "settings": settings}
    rows = dsl.importer(artifact_uri=triples, artifact_class=dsl.Dataset, reimport=True)
    rest = learn(
        rows.output, allow_licences=allow_licences, base_model=base_model, release=release, **common
    )
    for task in rest:
        place(task, node_selector=node_selector, tolerations=tolerations)
