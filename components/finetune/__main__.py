"""The finetune stage; by hand: python -m components.finetune --help."""

from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.shared.stage import Stage

stage = Stage(finetune, FinetuneConfig)

if __name__ == "__main__":
    stage.main()
