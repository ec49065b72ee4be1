"""Attention over packed rows by torch's own flash kernel, known to transformers as `varlen`.

transformers' sdpa takes a mask of all pairs of tokens for packed rows, and no flash kernel takes a
mask. torch >= 2.10 brings one that takes the lengths of the examples instead, without the
flash-attn package.
"""

from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from components.shared.errors import ModelError

UNSUPPORTED = ("softcap", "s_aux")  # what some bases ask of attention beyond its scale and window


def varlen_attention(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Let each token attend to those before it in its own example.

    `query`, `key` and `value` are (1, heads, tokens of all rows, width of a head); `cu_seq_lens_q`
    (examples + 1) has where each example begins and the last one ends, as trl's collator counts.
    """
    for name in UNSUPPORTED:
        if options.get(name) is not None:
            fix = "set finetune.attention=flex_attention"
            raise ModelError(f"finetune.attention=varlen: this base asks for {name}", fix)
    groups = query.shape[1] // key.shape[1]
    attended: Any = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1).repeat_interleave(groups, dim=1),
        value[0].transpose(0, 1).repeat_interleave(groups, dim=1),
        *(cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q),
        scale=scaling,
        window_size=((sliding_window or 0) - 1, 0),
    )
    return attended.unsqueeze(0), None


def register() -> None:
    """Make `varlen` known to transformers."""
    AttentionInterface.register("varlen", varlen_attention)
