"""The embedded teacher: tasks built from a page's own sentences. No key, no network, no cost.

Its tasks are extractive, so a grounding check can prove every answer, and none is solved by copying the input, its
beginning or the instruction: which sentence is wanted hangs on both instruction and input.
"""

import json
import random
import re
from collections.abc import Callable

from components.generate.sentences import passages
from components.generate.teacher import Draft, Request
from components.shared.records import digest

TASKS_A_PASSAGE = 2

WORDINGS = {
    "final claim": (
        "State the final claim of the passage.",
        "With which statement does the passage end?",
        "Give the last sentence of the passage.",
        "What is the closing statement of the passage?",
    ),
    "about": (
        'What does the passage say about "{cue}"?',
        'Report what is stated about "{cue}".',
        'Which statement of the passage is about "{cue}"?',
    ),
    "begins": (
        'Quote the sentence that begins with "{cue}".',
        'Which sentence of the passage opens with "{cue}"?',
        'Give in full the statement that starts with "{cue}".',
    ),
    "finish": (
        'How does the passage go on after "{cue}"?',
        'Finish the sentence that begins with "{cue}".',
        'Complete the statement "{cue}" as the passage does.',
    ),
    "figure": (
        'Which sentence gives the figure "{cue}"?',
        'Quote the statement in which the number "{cue}" occurs.',
    ),
    "next": (
        'Which sentence follows the one that ends in "{cue}"?',
        'What does the passage state right after "{cue}"?',
    ),
}
