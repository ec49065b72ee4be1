"""Run the scrape stage by hand.

python -m components.scrape --papers out/papers --store out/store --query "language models" --max-papers 20
"""

from components.shared.stage import main

if __name__ == "__main__":
    main("scrape")
