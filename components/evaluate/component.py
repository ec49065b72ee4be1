"""The evaluate stage as a Kubeflow component."""

from kfp import dsl

from components.shared import images


@dsl.component(base_image=images.LLM, install_kfp_package=False)
def evaluate(
    train: dsl.Input[dsl.Dataset],
    test: dsl.Input[dsl.Dataset],
    adapter: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    release: str,
    store: str,
    seed: int,
    settings: str,
) -> str:
    """Score base, adapter and trivial baselines on papers that nobody trained on, and return the
    verdict."""
    from components.evaluate.__main__ import stage

    return stage.run(locals())["facts"]["verdict"]
