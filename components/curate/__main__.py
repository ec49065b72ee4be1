"""Run by hand: python -m components.curate --triples DIR --train DIR --test DIR --card FILE --card-markdown FILE."""

from components.shared.stage import main

if __name__ == "__main__":
    main("curate")
