"""The finetune stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.LLM, install_kfp_package=False)
def finetune(
    train: dsl.Input[dsl.Dataset],
    adapter: dsl.Output[dsl.Model],
    curve: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    base_model: str,
    store: str,
    seed: int,
    settings: str,
):
    """Train a LoRA adapter on the training examples."""
    from components.finetune.__main__ import stage

    stage.run(locals())
