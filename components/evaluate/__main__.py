"""Run by hand: python -m components.evaluate --help."""

from components.shared.stage import main

if __name__ == "__main__":
    main("evaluate")
