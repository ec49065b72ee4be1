"""Run by hand: python -m components.evaluate --train DIR --test DIR --adapter DIR --evaluation DIR --report FILE."""

from components.shared.stage import main

if __name__ == "__main__":
    main("evaluate")
