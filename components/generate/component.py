"""The generate stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def generate(
    documents: dsl.Input[dsl.Dataset],
    triples: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    teacher: str,
    teacher_model: str,
    allow_licences: str,
    base_model: str,
    store: str,
    seed: int,
    settings: str,
):
    """Have a teacher turn each page into instruction, input and output."""
    from components.generate.__main__ import stage

    stage.run(locals())
