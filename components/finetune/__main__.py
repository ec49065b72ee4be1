"""Run by hand: python -m components.finetune --train DIR --adapter DIR --curve FILE --store DIR --base-model tiny."""

from components.shared.stage import main

if __name__ == "__main__":
    main("finetune")
