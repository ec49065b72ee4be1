"""The scrape stage; by hand:

python -m components.scrape --papers out/papers --store out/store --query "language models"
--max-papers 20"""

from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
from components.shared.stage import Stage

stage = Stage(scrape, ScrapeConfig)

if __name__ == "__main__":
    stage.main()
