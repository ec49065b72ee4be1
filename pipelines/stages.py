"""The seven stages, in the order of the pipeline."""

from importlib import import_module
from itertools import chain

from components.shared.images import STAGES_OF
from components.shared.stage import Stage

STAGES: dict[str, Stage] = {
    name: import_module(f"components.{name}.__main__").stage
    for name in chain.from_iterable(STAGES_OF.values())
}
