"""The scrape stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.SCRAPE, install_kfp_package=False)
def scrape(
    papers: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    query: str = "language models",
    published_after: str = "2024-04-18",
    max_papers: int = 60,
    site: str = "https://arxiv.org",
    store: str = "s3://arxtune",
    seed: int = 42,
    settings: str = "{}",
):
    """Find the newest papers of a question and fetch their PDFs."""
    from components.shared.stage import run_stage

    run_stage("scrape", locals())
