"""A small Llama made on the spot: a byte-level tokenizer and 0.7 million weights, ready in seconds on a CPU.

It is the embedded base model: an ordinary transformers folder that knows some English from primer.txt and can repeat
what it has read. It has never seen a paper, an instruction or the prompt template.

Repeating needs induction heads (Olsson et al. 2022, arXiv:2209.11895): one layer notes which token came before, the
next looks for the place where the present token came before. From random weights they take minutes to form on a CPU.
So the first two layers start with heads that look one and two tokens back, and heads that match; training does the
rest on random spans that repeat, then on the primer's sentences, some of them said again.
"""

import math
import random
import re
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.shared.progress import Progress
from components.shared.records import digest, file_digest

PRIMER = Path(__file__).with_name("primer.txt")
PAD, START, END = "<pad>", "<s>", "</s>"
IGNORE = -100  # label of a position that the loss leaves out


@dataclass(frozen=True)
class Recipe:
    """Sizes and steps; widths are multiples of 64, which quantised CPU kernels want."""

    vocabulary: int = 1024
    hidden: int = 192
    layers: int = 2
    heads: int = 4
    head: int = 64
    intermediate: int = 128
    rope_theta: float = 1e7
    span_steps: int = 25
    text_steps: int = 80
    batch: int = 8
    row: int = 192  # tokens in a row
    learning_rate: float = 3e-3


def recipe_hash(seed: int, recipe: Recipe = Recipe()) -> str:
    """Return the hash of everything that the made weights depend on."""
    return digest([asdict(recipe), seed, file_digest(PRIMER), file_digest(Path(__file__)), version("torch")])


def make_base(folder: Path, seed: int, recipe: Recipe = Recipe()) -> None:
    """Write config, safetensors and tokenizer into `folder`."""
    import torch

    torch.manual_seed(seed)
    tokenizer = _make_tokenizer(recipe)
    model = _make_model(recipe, tokenizer)
    _wire(model, recipe)
    _warm_up(model, _Rows(tokenizer, recipe, seed), recipe)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _make_tokenizer(recipe: Recipe) -> Any:
    """Train a byte-level BPE in which a word is one thing wherever it stands, after a quotation mark too."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex('[\\n"“”(]'), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    tidy = [decoders.Replace(loose, tight) for loose, tight in (("( ", "("), ("“ ", "“"), (" ”", "”"))]
    bpe.decoder = decoders.Sequence([decoders.ByteLevel(), *tidy, decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([PRIMER.read_text("utf-8"), "“ ” " * 9], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=PAD, bos_token=START, eos_token=END)


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
    """Set the start of the first two layers' heads; all other layers start by passing their input on."""
    import torch

    half = recipe.head // 2
    frequency = recipe.rope_theta ** (-torch.arange(half) / half)  # radians a token, of each rotary plane
    readers = [_orthogonal(recipe.hidden, recipe.head).T for _ in range(2)]  # head <- residual
    notes = [_orthogonal(recipe.hidden, recipe.head) for _ in range(recipe.heads)]  # residual <- head
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            layer.mlp.down_proj.weight.zero_()
            if number:
                layer.self_attn.o_proj.weight.zero_()
        for head, back in enumerate((1, 1, 2, 2)):
            _look_back(model.model.layers[0].self_attn, head, back, frequency, readers[head % 2], notes[head])
        for head in range(recipe.heads):
            _match(model.model.layers[1].self_attn, head, frequency, readers[head % 2], notes)


def _orthogonal(rows: int, columns: int) -> Any:
    import torch

    return torch.linalg.qr(torch.randn(rows, columns))[0]


def _look_back(attention: Any, head: int, back: int, frequency: Any, reader: Any, note: Any) -> None:
    """Make a head attend to the token `back` places before, by biases that the rotary embedding turns into a peak."""
    import torch

    half = len(frequency)
    rows = slice(2 * half * head, 2 * half * (head + 1))
    strength = 6.0 * (frequency > 0.03)  # slow planes cannot tell neighbours apart
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[rows] *= 0.1
    attention.q_proj.bias[rows] = torch.cat(
        [torch.cos(frequency * back), -torch.sin(frequency * back)]
    ) * strength.repeat(2)
    attention.k_proj.bias[rows] = torch.cat([strength, torch.zeros(half)])
    attention.v_proj.weight[rows] = 0.1 * reader
    attention.o_proj.weight[:, rows] = note


def _match(attention: Any, head: int, frequency: Any, reader: Any, notes: list[Any]) -> None:
    """Make a head look for the present token among the notes of what came before; odd rows match two tokens back."""
    import torch

    size = 2 * len(frequency)
    rows = slice(size * head, size * (head + 1))
    near = notes[head % 2].T
    query, key = reader, near
    if head >= 2:
        even = (torch.arange(size) % 2 == 0)[:, None]
        query = torch.where(even, reader, near)
        key = torch.where(even, near, notes[head % 2 + 2].T)
    slow = (frequency * 150 < 1.0).repeat(2)[:, None]  # planes that hardly turn within a row: distance does not matter
    attention.q_proj.weight[rows] = 2.5 * query * slow
    attention.k_proj.weight[rows] = 2.5 * key * slow
    attention.v_proj.weight[rows] = reader
    attention.o_proj.weight[:, rows] = reader.T


class _Rows:
    """Training rows: tokens, and labels that leave out what cannot be known."""

    def __init__(self, tokenizer: Any, recipe: Recipe, seed: int) -> None:
        self.tokenizer, self.recipe, self.choose = tokenizer, recipe, random.Random(seed)
        text = PRIMER.read_text("utf-8")
        self.paragraphs = [
            re.split(r"(?<=[.!?]) ", " ".join(block.split())) for block in text.split("\n\n") if block.strip()
        ]
        self.words = [word.strip(".,;:").lower() for word in text.split()]

    def spans(self) -> tuple[list[int], list[int]]:
        """Return random tokens of which parts are said again."""
        row, choose = self.recipe.row, self.choose
        pool = [choose.randrange(3, len(self.tokenizer)) for _ in range(choose.choice((16, 64, 256)))]
        first = [choose.choice(pool) for _ in range(choose.randint(row // 8, row // 2))]
        tokens, labels = list(first), [IGNORE] * len(first)
        while len(tokens) < row:
            start = choose.randrange(len(first) - 8)
            self._again(tokens, labels, first[start : start + choose.randint(8, len(first))])
        return tokens[:row], labels[:row]

    def sentences(self) -> tuple[list[int], list[int]]:
        """Return sentences of the primer, or of its words in random order, of which some are said again."""
        row, choose = self.recipe.row, self.choose
        known = choose.random() < 0.2  # then all of the text is learned, as in ordinary pretraining
        pool = (
            self._salad()
            if choose.random() < 0.5
            else [*choose.choice(self.paragraphs), *choose.choice(self.paragraphs)]
        )
        pool = choose.sample(pool, min(len(pool), choose.randint(4, 6)))
        tokens = [self.tokenizer.bos_token_id, *self.tokenizer.encode(" ".join(pool), add_special_tokens=False)]
        labels = list(tokens) if known else [IGNORE] * len(tokens)
        while len(tokens) < row:
            sentence = choose.choice(pool)
            if choose.random() < 0.3:
                sentence = sentence.split(" ", choose.randint(1, 4))[-1]
            said = self.tokenizer.encode("\n" + sentence, add_special_tokens=False)
            if known:
                tokens += said
                labels += said
            else:
                self._again(tokens, labels, said)
        return tokens[:row], labels[:row]

    def _again(self, tokens: list[int], labels: list[int], said: list[int]) -> None:
        tokens += said
        labels += [IGNORE, IGNORE, *said[2:]][: len(said)]  # where it starts again cannot be known

    def _salad(self) -> list[str]:
        words = (self.choose.choices(self.words, k=self.choose.randint(6, 16)) for _ in range(6))
        return [" ".join(sentence).capitalize() + "." for sentence in words]


def _warm_up(model: Any, rows: _Rows, recipe: Recipe) -> None:
    """Train on spans, then on sentences with a fifth of spans; the rate falls over the last 30% of the steps."""
    import torch

    steps = recipe.span_steps + recipe.text_steps
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    progress = Progress("finetune", "steps of the base", steps)
    model.train()
    for step in range(steps):
        rate = min(1.0, (step + 1) / 15, (steps - step) / (0.3 * steps) + 0.05)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate
        only_spans = step < recipe.span_steps
        batch = [
            rows.spans() if only_spans or rows.choose.random() < 0.2 else rows.sentences() for _ in range(recipe.batch)
        ]
        tokens, labels = (torch.tensor(part) for part in zip(*batch, strict=True))
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        progress.step(f"loss {loss.item():.2f}")
    assert math.isfinite(loss.item()), "the warm-up diverged"
