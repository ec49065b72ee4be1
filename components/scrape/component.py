"""The scrape stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.SCRAPE, install_kfp_package=False)
def scrape(
    papers: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    query: str,
    published_after: str,
    max_papers: int,
    site: str,
    teacher: str,
    teacher_model: str,
    base_model: str,
    allow_licences: str,
    store: str,
    seed: int,
    settings: str,
):
    """Find the newest papers of a question and fetch their PDFs."""
    from components.scrape.__main__ import stage

    stage.run(locals())
