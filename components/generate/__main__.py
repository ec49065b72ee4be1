"""The generate stage; by hand: python -m components.generate --help."""

from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.shared.stage import Stage

stage = Stage(generate, GenerateConfig)

if __name__ == "__main__":
    stage.main()
