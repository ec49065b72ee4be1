"""The curate stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def curate(
    triples: dsl.Input[dsl.Dataset],
    train: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
    card: dsl.Output[dsl.HTML],
    card_markdown: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    allow_licences: str,
    base_model: str,
    store: str,
    seed: int,
    settings: str,
):
    """Pass the triples through the gates and split them by paper."""
    from components.curate.__main__ import stage

    stage.run(locals())
