"""The extract stage; by hand: python -m components.extract --help."""

from components.extract.config import ExtractConfig
from components.extract.core import extract
from components.shared.stage import Stage

stage = Stage(extract, ExtractConfig)

if __name__ == "__main__":
    stage.main()
