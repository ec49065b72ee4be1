"""Run by hand: python -m components.generate --documents DIR --triples DIR --store DIR --teacher embedded."""

from components.shared.stage import main

if __name__ == "__main__":
    main("generate")
