"""The seven stages, in the order of the pipeline."""

from components.curate.__main__ import stage as curate
from components.evaluate.__main__ import stage as evaluate
from components.extract.__main__ import stage as extract
from components.finetune.__main__ import stage as finetune
from components.generate.__main__ import stage as generate
from components.promote.__main__ import stage as promote
from components.scrape.__main__ import stage as scrape
from components.shared.stage import Stage

STAGES: dict[str, Stage] = {
    stage.name: stage for stage in (scrape, extract, generate, curate, finetune, evaluate, promote)
}
