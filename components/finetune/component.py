"""The finetune stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.LLM, install_kfp_package=False)
def finetune(
    train: dsl.Input[dsl.Dataset],
    adapter: dsl.Output[dsl.Model],
    curve: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    base_model: str = "meta-llama/Meta-Llama-3-8B",
    store: str = "s3://arxtune",
    seed: int = 42,
    settings: str = "{}",
):
    """Train a LoRA adapter on the training examples."""
    from components.shared.stage import run_stage

    run_stage("finetune", locals())
