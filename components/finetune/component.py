"""The finetune stage as a Kubeflow component."""

from kfp import dsl

from components.finetune.config import FinetuneConfig
from components.shared import images


@dsl.component(base_image=images.LLM, install_kfp_package=False)
def finetune(
    train: dsl.Input[dsl.Dataset],
    adapter: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    base_model: str = FinetuneConfig.base_model,
    store: str = FinetuneConfig.store,
    seed: int = FinetuneConfig.seed,
    settings: str = "{}",
):
    """Train a LoRA adapter on the training examples."""
    from components.shared.stage import run_stage

    run_stage("finetune", locals())
