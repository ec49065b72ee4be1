"""Run by hand: python -m components.extract --papers DIR --documents DIR --store DIR."""

from components.shared.stage import main

if __name__ == "__main__":
    main("extract")
