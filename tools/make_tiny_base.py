"""Make the base that is shipped as `tiny`: python -m tools.make_tiny_base [FOLDER].

An ordinary transformers folder: a byte-level tokenizer, and a million weights that are written
down, not learned. It can repeat what it has read, and that is all it can: it has never seen a
paper, an instruction or the prompt template; what to repeat, and when to stop, is left to learn.

Repeating needs induction heads (Olsson et al. 2022, arXiv:2209.11895): one layer notes what stood
before a token, the next looks for the place where the same stood before and says what came next
there. From random weights they take minutes to form on a CPU; set by hand they take no time, and
slip at one token of two hundred.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.bases import TINY_FOLDER

PRIMER = Path(__file__).with_name("primer.txt")  # what the tokenizer learns its words from
PAD, START, END = "<pad>", "<s>", "</s>"
ROW = 150  # tokens: over this distance a slow plane turns by less than one radian
# Radians a token: planes faster than FAST tell neighbours apart, those below BROAD neighbourhoods.
FAST, BROAD = 0.03, 0.25
NOTES = 4  # of what stood before: the tokens one, two and three back, and their neighbourhood
NEIGHBOURHOOD = 6  # places back, its centre
# How much each note counts when places are compared, and its share of the dimensions: nearest
# first
WEIGHTS, SHARES = (1.0, 0.7, 0.5, 0.5), (0.4, 0.2, 0.15, 0.25)
SHARPNESS = 8.0  # of the comparison
LOUDNESS = 2.0  # of what is repeated, against the present token


@dataclass(frozen=True)
class Recipe:
    """Sizes, of which widths are multiples of 64, as quantised CPU kernels want."""

    vocabulary: int = 1024
    hidden: int = 256
    layers: int = 2
    heads: int = NOTES
    head: int = 64
    intermediate: int = 128
    rope_theta: float = 1e7


def make_base(folder: Path, seed: int = 0, recipe: Recipe = Recipe()) -> None:
    """Write config, safetensors (bf16) and tokenizer into `folder`."""
    import torch

    torch.manual_seed(seed)
    tokenizer = _make_tokenizer(recipe)
    model = _make_model(recipe, tokenizer)
    with torch.no_grad():
        _wire(model, recipe)
    tokenizer.save_pretrained(folder)
    model.bfloat16().save_pretrained(folder)


def _make_tokenizer(recipe: Recipe) -> Any:
    """Train a byte-level BPE in which a word is one thing wherever it stands."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex('[\\n"“”(]'), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True),
        ]
    )
    tidy = [
        decoders.Replace(loose, tight) for loose, tight in (("( ", "("), ("“ ", "“"), (" ”", "”"))
    ]
    bpe.decoder = decoders.Sequence([decoders.ByteLevel(), *tidy, decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([PRIMER.read_text("utf-8"), "“ ” " * 9], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, bos_token=START, eos_token=END
    )


def _make_model(recipe: Recipe, tokenizer: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.intermediate,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            head_dim=recipe.head,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            attention_bias=True,
            initializer_range=recipe.hidden**-0.5,
            rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def _wire(model: Any, recipe: Recipe) -> None:
    """Set the first two layers to note and to repeat; all other layers pass their input on.

    The first half of the residual stream holds the token itself, the other half the notes, side by
    side.
    """
    import torch

    words = recipe.hidden // 2
    size = words // NOTES
    notes = [slice(words + size * number, words + size * (number + 1)) for number in range(NOTES)]
    short = _orthogonal(words, size).T  # what a note keeps of a token
    half = recipe.head // 2
    frequency = recipe.rope_theta ** (
        -torch.arange(half) / half
    )  # radians a token, of each rotary plane

    model.model.embed_tokens.weight[:, :words] *= 2**0.5
    model.model.embed_tokens.weight[:, words:] = 0
    for layer in model.model.layers:
        layer.mlp.down_proj.weight.zero_()
        layer.self_attn.o_proj.weight.zero_()
    noting, repeating = (layer.self_attn for layer in model.model.layers[:2])
    for number, note in enumerate(notes[:-1]):
        peak = _peak(frequency, number + 1, 6.0 * (frequency > FAST))
        _write_note(noting, number, peak, short, note)
    peak = _peak(frequency, NEIGHBOURHOOD, 5.0 * ((frequency > FAST) & (frequency < BROAD)))
    _write_note(noting, NOTES - 1, peak, 2 * short, notes[-1])

    slow = torch.nonzero(frequency * ROW < 1.0)[
        :, 0
    ]  # in these planes it does not matter how far back a match is
    slow = torch.cat([slow, slow + half])
    parts = _orthogonal(words, words)
    for head in range(recipe.heads):
        _write_match(repeating, head, slow, short, notes)
        _write_copy(repeating, head, parts[head * recipe.head % words :][: recipe.head])


def _orthogonal(rows: int, columns: int) -> Any:
    import torch

    return torch.linalg.qr(torch.randn(rows, columns))[0]


def _peak(frequency: Any, back: int, strength: Any) -> tuple[Any, Any]:
    """Return biases of query and key that the rotary embedding turns into attention `back` places
    back."""
    import torch

    query = torch.cat(
        [torch.cos(frequency * back), -torch.sin(frequency * back)]
    ) * strength.repeat(2)
    return query, torch.cat([strength, torch.zeros_like(strength)])


def _write_note(attention: Any, head: int, peak: tuple[Any, Any], short: Any, note: slice) -> None:
    """Make a head attend where `peak` says, and write `short` of what stands there into the
    note."""
    import torch

    size, words = short.shape
    start = attention.head_dim * head
    rows, kept = slice(start, start + attention.head_dim), slice(start, start + size)
    for projection, bias in zip((attention.q_proj, attention.k_proj), peak, strict=True):
        projection.weight[rows] *= 0.1
        projection.bias[rows] = bias
    attention.v_proj.weight[rows] = 0
    attention.v_proj.weight[kept, :words] = short * words**-0.5
    attention.o_proj.weight[note, kept] = torch.eye(size)


def _write_match(attention: Any, head: int, slow: Any, short: Any, notes: list[slice]) -> None:
    """Make a head look for the token that came after the same tokens.

    The present token is compared with each place's note of one token back, one token back with its
    note of two, and so on; the neighbourhoods of both places are compared as they are.
    """
    import torch

    size, words = short.shape
    start = attention.head_dim * head
    rows = slice(start, start + attention.head_dim)
    attention.q_proj.weight[rows] = 0
    attention.k_proj.weight[rows] = 0
    counts = [min(size, int(share * len(slow))) for share in SHARES]
    dimensions = (start + slow[torch.randperm(len(slow))])[: sum(counts)].split(counts)
    for number, (note, mine) in enumerate(zip(notes, dimensions, strict=True)):
        mix = (SHARPNESS * WEIGHTS[number]) ** 0.5 * _orthogonal(size, len(mine)).T
        if number == 0:
            attention.q_proj.weight[mine, :words] = mix @ short
        else:
            attention.q_proj.weight[mine, notes[number - 1] if number < NOTES - 1 else note] = mix
        attention.k_proj.weight[mine, note] = mix


def _write_copy(attention: Any, head: int, part: Any) -> None:
    """Make a head say `part` of the token that it attends to; the heads together say all of it."""
    size, words = part.shape
    start = attention.head_dim * head
    attention.v_proj.weight[start : start + attention.head_dim] = 0
    attention.v_proj.weight[start : start + size, :words] = part
    attention.o_proj.weight[:words, start : start + size] = LOUDNESS * words**-0.5 * part.T


if __name__ == "__main__":
    make_base(Path(sys.argv[1]) if sys.argv[1:] else TINY_FOLDER)
