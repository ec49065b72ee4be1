"""The training curve: loss by step and held-out loss by epoch, as a PNG and as a page that holds it."""

import base64
import html
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from components.shared.records import write_atomically

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 30, 40  # margins
TRAIN, HELD_OUT, GREY = "#3465a4", "#c4560a", "#999999"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Training curve</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>body{{font:16px system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}}img{{max-width:100%}}
th,td{{padding:.1em 1.5em .1em 0;text-align:left;vertical-align:top;font-weight:normal;overflow-wrap:anywhere}}
</style><main><h1>Training curve</h1><img alt="loss by step" src="data:image/png;base64,{png}">
<table>{rows}</table></main></html>
"""


def draw(steps: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG of the rows of steps.jsonl."""
    from PIL import Image, ImageDraw, ImageFont

    lines = [
        (TRAIN, "training loss", [(row["step"], row["loss"]) for row in steps if "loss" in row]),
        (
            HELD_OUT,
            "held-out loss",
            [(row["step"], row["eval_loss"]) for row in steps if "eval_loss" in row],
        ),
    ]
    points = [point for _, _, line in lines for point in line] or [(0, 0.0)]
    last, top = max(x for x, _ in points) or 1, max(y for _, y in points) * 1.05 or 1.0
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)

    def at(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + wide * x / last, TOP + high * (1 - y / top)

    for tick in range(6):
        level = top * tick / 5
        pen.line([at(0, level), at(last, level)], fill="#dddddd")
        pen.text((LEFT - 8, at(0, level)[1]), f"{level:.2f}", fill=GREY, font=font, anchor="rm")
        pen.text(
            (at(last * tick / 5, 0)[0], HEIGHT - BOTTOM + 8),
            f"{last * tick / 5:.0f}",
            fill=GREY,
            font=font,
        )
    for number, (colour, name, line) in enumerate(lines):
        if len(line) > 1:
            pen.line([at(x, y) for x, y in line], fill=colour, width=2)
        for x, y in line if colour == HELD_OUT else []:
            across, down = at(x, y)
            pen.ellipse([across - 4, down - 4, across + 4, down + 4], fill=colour)
        if line:
            pen.text((LEFT + 180 * number, 6), name, fill=colour, font=font)
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_page(path: Path, png: bytes, facts: Mapping[str, Any]) -> None:
    """Write an HTML page that shows the curve and the figures of the training."""
    rows = "".join(
        f"<tr><th scope=row>{html.escape(name)}<td>{html.escape(str(value))}"
        for name, value in facts.items()
    )
    write_atomically(path, PAGE.format(png=base64.b64encode(png).decode(), rows=rows))
