"""The reference project's way to train, on today's libraries: what ours is measured against."""

from pathlib import Path
from typing import Any

from components.finetune import recipe
from components.finetune.config import FinetuneConfig
from components.finetune.train import Data, fitted
from components.shared.models import load_base, load_tokenizer


def reference_trainer(config: FinetuneConfig, base: str, data: Data, folder: Path) -> Any:
    """Return trl's plain trainer on the reference recipe: all tokens learned, rows cut anywhere."""
    from datasets import Dataset
    from trl import SFTTrainer

    from components.finetune.trainer import ProgressCallback

    config, _ = fitted(config.changed(recipe="reference", attention="sdpa"), base, data)
    arguments = recipe.arguments(config, folder, recipe.this_device())
    arguments.packing_strategy = "wrapped"
    model = load_base(base, config.quantisation, config.attention)
    rows = [{"input_ids": one.input_ids, "labels": one.input_ids} for one in data.train]
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(base),
        peft_config=recipe.lora(config, model),
    )
    trainer.progress = ProgressCallback()
    trainer.add_callback(trainer.progress)
    return trainer
