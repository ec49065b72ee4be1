"""Find text that a reader of the page does not see: white, invisible, tiny or off the page.

Authors hide instructions to language models in papers that way. pypdf shows a visitor every operator before it carries
it out; text that is hidden is blanked there, so that it never reaches the page's text, and kept aside as evidence.
Graphics state and operators: ISO 32000-1, 8.4 and 9.4.
"""

from typing import Any

TINY = 1.5  # points; footnotes and indices of papers are 4 and more
EDGE = 2.0  # points that text may begin beyond the page's edge
_SHOWS = (b"Tj", b"TJ", b"'", b'"')
_WHITE = {b"g": (1,), b"rg": (1, 1, 1), b"k": (0, 0, 0, 0)}
_OTHER_COLOURS = (b"sc", b"scn")
_FOLLOWED = frozenset({*_SHOWS, *_WHITE, *_OTHER_COLOURS, b"q", b"Q", b"Do", b"cs", b"Tr", b"Tf"})
_INVISIBLE = (3, 7)  # text rendering modes that paint nothing

Reason = str  # "white", "invisible", "tiny" or "off the page"


class HiddenText:
    """Follows one page's operators; `found` holds (reason, text) of what was blanked, `seen` counts the rest."""

    def __init__(
        self, box: tuple[float, float, float, float], ignore: frozenset[Reason] = frozenset()
    ) -> None:
        self.found: list[tuple[Reason, str]] = []
        self.seen = 0
        self._box, self._ignore = box, ignore
        self._white, self._mode, self._size = False, 0, 10.0
        self._forms = (
            0  # forms, such as figures, that this operator stands in: their matrices are relative
        )
        self._stack: list[tuple[bool, int, float]] = []

    def before(self, operator: bytes, operands: Any, cm: list[float], tm: list[float]) -> None:
        """Follow the state; blank what an operator is about to show where nobody would see it."""
        if operator not in _FOLLOWED:  # most draw lines
            return
        if operator in _SHOWS:
            self._show(operands, cm, tm)
        elif operator in (b"q", b"Do"):
            self._forms += operator == b"Do"
            self._stack.append((self._white, self._mode, self._size))
        elif operator == b"Q":
            self._restore()
        elif operator in _WHITE:
            self._white = _equal(operands, _WHITE[operator])
        elif operator in _OTHER_COLOURS:
            self._white = len(operands) in (1, 3) and _equal(operands, (1,) * len(operands))
        elif operator == b"cs":
            self._white = False
        elif operator == b"Tr" and operands:
            self._mode = int(operands[0])
        elif operator == b"Tf" and len(operands) > 1:
            self._size = float(operands[1])

    def after(self, operator: bytes, operands: Any, cm: list[float], tm: list[float]) -> None:
        """Leave a form: what it set does not outlive it."""
        if operator == b"Do":
            self._forms -= 1
            self._restore()

    def _restore(self) -> None:
        if self._stack:
            self._white, self._mode, self._size = self._stack.pop()

    def _show(self, operands: Any, cm: list[float], tm: list[float]) -> None:
        shown = operands[-1] if operands else ""
        pieces = shown if isinstance(shown, list) else [shown]
        text = "".join(map(_readable, pieces))
        reason = self._reason(cm, tm)
        if not reason or reason in self._ignore:
            self.seen += len(text.strip())
        elif text.strip():
            if self.found and self.found[-1][0] == reason:
                text = self.found.pop()[1] + text
            self.found.append((reason, text))
            operands[-1] = type(shown)() if isinstance(shown, list | str | bytes) else shown

    def _reason(self, cm: list[float], tm: list[float]) -> Reason:
        if self._mode in _INVISIBLE:
            return "invisible"
        if self._white:
            return "white"
        if self._forms:
            return ""
        a, b, x, y = _placed(cm, tm)
        if abs(self._size) * (a * a + b * b) ** 0.5 < TINY:
            return "tiny"
        left, bottom, right, top = self._box
        inside = left - EDGE <= x <= right + EDGE and bottom - EDGE <= y <= top + EDGE
        return "" if inside else "off the page"


def _placed(cm: list[float], tm: list[float]) -> tuple[float, float, float, float]:
    """Return the vertical scale (two components) and the origin of text matrix times page matrix."""
    return (
        tm[2] * cm[0] + tm[3] * cm[2],
        tm[2] * cm[1] + tm[3] * cm[3],
        tm[4] * cm[0] + tm[5] * cm[2] + cm[4],
        tm[4] * cm[1] + tm[5] * cm[3] + cm[5],
    )


def _equal(operands: Any, wanted: tuple[int, ...]) -> bool:
    try:
        return len(operands) == len(wanted) and all(
            abs(float(value) - want) < 0.02 for value, want in zip(operands, wanted, strict=True)
        )
    except (TypeError, ValueError):
        return False


def _readable(piece: object) -> str:
    return (
        piece
        if isinstance(piece, str)
        else piece.decode("latin-1")
        if isinstance(piece, bytes)
        else ""
    )
