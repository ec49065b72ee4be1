"""The evaluate stage; by hand: python -m components.evaluate --help."""

from components.evaluate.config import EvaluateConfig
from components.evaluate.core import evaluate
from components.shared.stage import Stage

stage = Stage(evaluate, EvaluateConfig)

if __name__ == "__main__":
    stage.main()
