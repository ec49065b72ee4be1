"""The curate stage; by hand: python -m components.curate --help."""

from components.curate.config import CurateConfig
from components.curate.core import curate
from components.shared.stage import Stage

stage = Stage(curate, CurateConfig)

if __name__ == "__main__":
    stage.main()
