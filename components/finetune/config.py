"""The knobs of the finetune stage; the defaults are the QLoRA recipe for Llama-3-8B."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from components.shared.bases import tuned_on_cpu
from components.shared.config import WithForecast, WithSeed, WithStore, knob

# What stands in the place of the defaults where a real base is tuned on a CPU, at some 90 tokens a
# second: a base of 100 to 500 million weights in minutes, within 5 GiB.
CPU_RECIPE: dict[str, Any] = {
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "epochs": 1.0,
    "batch_size": 2,  # of up to 512 tokens each; four need twice the memory
    "gradient_checkpointing": False,
    "learning_rate": 1e-3,
    "max_grad_norm": 1.0,
    "max_length": 512,
    "packing": False,
    "max_examples": 120,
    "text_share": 0.25,  # general English stays, and new papers' text is read better
}
TINY = "tiny"  # as base_model: a small Llama made on the spot


class FinetuneConfig(WithStore, WithSeed, WithForecast):
    """Which model is tuned, and how."""

    stage: ClassVar[str] = "finetune"

    base_model: str = knob(
        "meta-llama/Meta-Llama-3-8B",
        f"hub id or folder of a causal language model; {TINY!r} is a small Llama made on the spot",
        exposed=True,
    )
    continue_from: str = knob(
        "", "name of a release whose latest adapter training goes on from; empty starts afresh"
    )
    quantisation: Literal["auto", "nf4", "none"] = knob(
        "auto", "how the base is loaded; auto is nf4 on CUDA"
    )
    lora_r: int = knob(64, "rank of the adapter", low=1)
    lora_alpha: int = knob(16, "scale of the adapter: its output is multiplied by alpha / r", low=1)
    lora_dropout: float = knob(
        0.1, "share of the adapter's inputs dropped in training", low=0, high=0.9
    )
    recipe: Literal["fitted", "reference"] = knob(
        "fitted",
        "what stands for the four knobs below that are left open: fitted follows the rows of the "
        "data and has at least 20 steps an epoch where there are as many; reference is 3 epochs, "
        "4 x 4 rows a step, 5 steps of warm-up",
    )
    epochs: float = knob(0.0, "passes over the training examples; 0 is the recipe's", low=0)
    batch_size: int = knob(0, "rows on the device at the same time; 0 is the recipe's", low=0)
    gradient_accumulation: int = knob(
        0, "batches to one step of the optimizer; 0 is the recipe's", low=0
    )
    warmup_steps: int = knob(-1, "steps until the peak; -1 is the recipe's, 5% of all", low=-1)
    gradient_checkpointing: bool | None = knob(
        None,
        "compute activations twice to save memory; left out, only where memory asks for it",
    )
    optimizer: str = knob(
        "auto",
        "a name of transformers; auto is paged_adamw_8bit on one GPU, adamw_8bit on several, "
        "adamw_torch on a CPU",
    )
    learning_rate: float = knob(2e-4, "peak learning rate", low=0, high=1e6)
    schedule: Literal["linear", "cosine", "constant"] = knob("linear", "shape of the learning rate")
    weight_decay: float = knob(0.0, "decay of the adapter's weights", low=0)
    max_grad_norm: float = knob(0.3, "gradients are clipped to this norm", low=0)
    max_length: int = knob(
        2048, "longest example, in tokens; longer ones are dropped and counted", low=16
    )
    packing: bool = knob(
        True, "pack short examples into rows of max_length, each attending to itself alone"
    )
    attention: Literal["auto", "sdpa", "varlen", "flex_attention", "flash_attention_2"] = knob(
        "auto",
        "auto is varlen, torch's flash kernel for packed rows, on a GPU; else sdpa",
    )
    held_out: float = knob(
        0.05, "share of training papers whose loss is only watched, once an epoch", low=0, high=0.5
    )
    patience: int = knob(
        0, "stop after so many epochs without a better held-out loss; 0 never stops early", low=0
    )
    processes: int = knob(
        0, "processes that train together on a node; 0 is one for each GPU that is visible", low=0
    )
    nodes: int = knob(
        0,
        "nodes that train together; more than one are the pods of a Kubeflow TrainJob; 0 is "
        "ARXTUNE_NODES, else 1",
        low=0,
    )
    checkpoint_minutes: float = knob(
        10.0, "minutes between checkpoints; 0 writes one at every step", low=0
    )
    max_examples: int = knob(
        0, "training examples used at most, spread over the papers; 0 means all", low=0
    )

    text_share: float = knob(
        0.0,
        "share of the rows trained on that are plain text of the papers, as far as it goes",
        low=0,
        high=0.9,
    )

    report_to: tuple[str, ...] = knob(
        (),
        "trackers that see each step, by comma, such as tensorboard, mlflow or wandb; each needs "
        "its package and settings of its own",
    )

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return CPU_RECIPE for a real base on a CPU, unless the reference recipe is asked for."""
        base = str(values.get("base_model", cls.default("base_model")))
        fitted = values.get("recipe", cls.default("recipe")) == "fitted"
        return CPU_RECIPE if fitted and tuned_on_cpu(base) else {}
