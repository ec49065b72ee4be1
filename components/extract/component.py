"""The extract stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def extract(
    papers: dsl.Input[dsl.Dataset],
    documents: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    settings: str,
):
    """Read the text of every paper's PDF, page by page."""
    from components.extract.__main__ import stage

    stage.run(locals())
