"""The promote stage; by hand: python -m components.promote --help."""

from components.promote.config import PromoteConfig
from components.promote.core import promote
from components.shared.stage import Stage

stage = Stage(promote, PromoteConfig)

if __name__ == "__main__":
    stage.main()
