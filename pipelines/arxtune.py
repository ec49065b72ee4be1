"""The pipeline: the one graph of arxtune, run here by kfp.local and on a cluster from the compiled
YAML."""

from kfp import dsl

from components.curate.component import curate
from components.curate.config import CurateConfig
from components.evaluate.component import evaluate
from components.extract.component import extract
from components.finetune.component import finetune
from components.finetune.config import FinetuneConfig
from components.generate.component import generate
from components.generate.config import GenerateConfig
from components.promote.component import promote
from components.promote.config import PromoteConfig
from components.scrape.component import scrape
from components.scrape.config import ScrapeConfig
from pipelines.names import STORE
from pipelines.placement import place


def learn(triples, *, allow_licences, base_model, release, **common):
    """curate -> finetune -> evaluate -> [verdict is "better"] -> promote: what each way to triples
    ends in."""
    data = curate(triples=triples, allow_licences=allow_licences, base_model=base_model, **common)
    train, test = data.outputs["train"], data.outputs["test"]
    tuned = finetune(train=train, base_model=base_model, **common)
    adapter = tuned.outputs["adapter"]
    judged = evaluate(train=train, test=test, adapter=adapter, release=release, **common)
    verdict = judged.outputs["Output"]  # kfp.local resolves no other name in a condition
    with dsl.If(verdict == "better", name="verdict-is-better"):
        released = promote(
            train=train,
            adapter=adapter,
            evaluation=judged.outputs["evaluation"],
            release=release,
            store=common["store"],
            settings=common["settings"],
        )
    return data, tuned, judged, released


@dsl.pipeline(
    name="arxtune", description="Keep an open language model current with the newest arXiv papers."
)
def arxtune(
    query: str = ScrapeConfig.default("query"),
    published_after: str = ScrapeConfig.default("published_after"),
    max_papers: int = ScrapeConfig.default("max_papers"),
    site: str = ScrapeConfig.default("site"),
    teacher: str = GenerateConfig.default("teacher"),
    teacher_model: str = GenerateConfig.default("teacher_model"),
    allow_licences: str = CurateConfig.default("allow_licences"),
    base_model: str = FinetuneConfig.default("base_model"),
    release: str = PromoteConfig.default("release"),
    store: str = STORE,
    seed: int = GenerateConfig.default("seed"),
    settings: str = "{}",
    node_selector: dict = {},  # noqa: B006  kfp wants a literal default; nobody mutates it
    tolerations: list = [],  # noqa: B006
):
    """scrape -> extract -> generate -> curate -> finetune -> evaluate -> [verdict is "better"] ->
    promote."""
    common = {"store": store, "seed": seed, "settings": settings}
    terms = {  # decide together which papers may be used
        "teacher": teacher,
        "teacher_model": teacher_model,
        "allow_licences": allow_licences,
        "base_model": base_model,
    }

    papers = scrape(
        query=query,
        published_after=published_after,
        max_papers=max_papers,
        site=site,
        **terms,
        **common,
    )
    documents = extract(papers=papers.outputs["papers"], settings=settings)
    triples = generate(documents=documents.outputs["documents"], **terms, **common)
    rest = learn(
        triples.outputs["triples"],
        allow_licences=allow_licences,
        base_model=base_model,
        release=release,
        **common,
    )

    for task in (papers, documents, triples, *rest):
        place(task, node_selector=node_selector, tolerations=tolerations)
