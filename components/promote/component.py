"""The promote stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.LLM, install_kfp_package=False)
def promote(
    train: dsl.Input[dsl.Dataset],
    adapter: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Dataset],
    release_folder: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    release: str,
    store: str,
    settings: str,
):
    """Publish the adapter as the new release."""
    from components.promote.__main__ import stage

    stage.run(locals())
