"""THE instruction template and THE way from text to tokens, for training and evaluation alike.

Prompt and completion are tokenised apart, so that no token merges over the border and the loss
covers exactly the completion, whatever the tokenizer. A prompt may open with the tokenizer's begin
token but never closes with a token of its own; the end token closes every completion, because a
model that never sees it never learns to stop. Plain text is a completion without a prompt: it
begins at the begin token, and goes on beyond what is shown, so that no end token closes it.
"""

from dataclasses import dataclass
from typing import Any

TEMPLATE = """\
Carry out the instruction, using the input.

### Instruction:
{instruction}

### Input:
{input}

### Response:
"""
# A system message is the instruction and the user's message its input; without one, the user's
# message is the instruction.
CHAT = """\
{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}
{%- set user = messages[-1].content -%}
{%- set instruction = system or user -%}
{%- set input = user if system else '' -%}
{%- if messages | length > (2 if system else 1) -%}
{{- raise_exception('it was trained on one instruction and one input, not on conversations') -}}
{%- endif -%}
"""
IGNORE = -100  # label of a position that the loss leaves out


@dataclass(frozen=True)
class Encoded:
    """One example as tokens; `completion` ends with the end token."""

    prompt: list[int]
    completion: list[int]

    @property
    def input_ids(self) -> list[int]:
        """Return what the model reads."""
        return self.prompt + self.completion

    @property
    def labels(self) -> list[int]:
        """Return what the model is taught: the completion, and IGNORE over the prompt."""
        return [IGNORE] * len(self.prompt) + self.completion

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def render_prompt(instruction: str, input: str) -> str:
    """Return the prompt for one task; the model's answer is to follow it directly."""
    return TEMPLATE.format(instruction=instruction.strip(), input=input.strip())


def chat_template(tokenizer: Any) -> str:
    """Return the prompt as a Jinja template, as tokenizers carry it (transformers' chat templates).

    It begins with the begin token where `encode_prompt` does.
    """
    text = TEMPLATE.format(instruction="{{ instruction | trim }}", input="{{ input | trim }}")
    begins = encode_prompt(tokenizer, "x")[0] == tokenizer.bos_token_id
    return CHAT + ("{{- bos_token }}" if begins else "") + text.rstrip("\n") + "{{ '\n' }}"


def render_completion(output: str) -> str:
    """Return the completion that training teaches for one task."""
    return output.strip()


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """Return the tokens that an answer is to follow: without an end that a tokenizer appends."""
    encoded = tokenizer(prompt, return_special_tokens_mask=True)
    ids: list[int] = encoded["input_ids"]
    mask = encoded["special_tokens_mask"]
    end = len(ids)
    while end > 0 and (mask[end - 1] or ids[end - 1] == tokenizer.eos_token_id):
        end -= 1
    # An empty prompt is the begin token; a tokenizer without one parts texts by its end token.
    first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return ids[:end] or [first]


def encode(tokenizer: Any, prompt: str, completion: str) -> Encoded:
    """Return an example as tokens, in full: whoever has a limit compares `len` with it."""
    answer: list[int] = tokenizer(completion, add_special_tokens=False)["input_ids"]
    end = [tokenizer.eos_token_id] if prompt else []
    return Encoded(encode_prompt(tokenizer, prompt), answer + end)
