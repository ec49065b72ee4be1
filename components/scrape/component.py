"""The scrape stage as a Kubeflow component."""

from kfp import dsl

from components.scrape.config import ScrapeConfig
from components.shared import images


@dsl.component(base_image=images.SCRAPE, install_kfp_package=False)
def scrape(
    papers: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    query: str = ScrapeConfig.query,
    published_after: str = ScrapeConfig.published_after,
    max_papers: int = ScrapeConfig.max_papers,
    site: str = ScrapeConfig.site,
    store: str = ScrapeConfig.store,
    seed: int = ScrapeConfig.seed,
    settings: str = "{}",
):
    """Find the newest papers of a question and fetch their PDFs."""
    from components.shared.stage import run_stage

    run_stage("scrape", locals())
