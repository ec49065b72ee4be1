"""THE instruction template. Training and evaluation render through it; nobody else builds a prompt.

The completion starts right after the prompt and carries no end token: the trainer adds it, and the loss covers
completion and end token only, so that the model learns to stop.
"""

TEMPLATE = """\
Carry out the instruction, using the input.

### Instruction:
{instruction}

### Input:
{input}

### Response:
"""


def render_prompt(instruction: str, input: str) -> str:
    """Return the prompt for one task; the model's answer is to follow it directly."""
    return TEMPLATE.format(instruction=instruction.strip(), input=input.strip())


def render_completion(output: str) -> str:
    """Return the completion that training teaches for one task."""
    return output.strip()
