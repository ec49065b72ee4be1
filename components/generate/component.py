"""The generate stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def generate(
    documents: dsl.Input[dsl.Dataset],
    triples: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    teacher: str = "groq",
    teacher_model: str = "llama-3.3-70b-versatile",
    store: str = "s3://arxtune",
    seed: int = 42,
    settings: str = "{}",
):
    """Have a teacher turn each page into instruction, input and output."""
    from components.shared.stage import run_stage

    run_stage("generate", locals())
