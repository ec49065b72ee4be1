"""A base that is shared out over the processes (FSDP): each holds a part, and the adapter whole.

The parts are read at loading, so that no process ever holds the whole base. The adapter is trained as without
sharding: checkpoints, optimizers and what is saved are the same.
"""

import os
from typing import Any

from components.finetune import processes
from components.shared.errors import ModelError
from components.shared.models import device


def load_in_parts(name: str, attention: str) -> Any:
    """Return this process's part of the base, in bf16 on an NVIDIA GPU and float32 elsewhere."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig

    try:
        return AutoModelForCausalLM.from_pretrained(
            name,
            token=os.environ.get("HF_TOKEN") or None,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.bfloat16 if device() == "cuda" else torch.float32,
            attn_implementation=attention,
            distributed_config=DistributedConfig(fsdp_size=processes.count()),
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"base model {name}: {str(error).splitlines()[0]}", "set finetune.sharding=ddp") from None


def adapter_of(model: Any) -> dict[str, Any]:
    """Return the trained weights alone: peft, asked to find them, would gather the whole base in every process."""
    return {name: weight.data for name, weight in model.named_parameters() if weight.requires_grad}
