"""Run by hand: python -m components.promote --train DIR --adapter DIR --evaluation DIR --release-folder DIR."""

from components.shared.stage import main

if __name__ == "__main__":
    main("promote")
