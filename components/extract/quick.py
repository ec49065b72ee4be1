"""Make pypdf quicker without another text: for a process that reads one file and ends.

TeX shows "Towards" as `[(T)83(o)28(w)28(ards)] TJ` (ISO 32000-1, 9.4.3), and pypdf treats each piece as a text of its
own, which is most of its work. The text is the same when the pieces are one.
"""

import math
import re
from typing import Any

import fontTools.cffLib  # type: ignore[import-untyped]  # noqa: F401  pypdf would load it in each child that needs it
import pypdf._text_extraction as extraction
import pypdf.filters  # noqa: F401  the same
from pypdf.generic._font import Font

GAP = 60  # thousandths of an em that are no space between words
SPACE_SEEN = 0.475  # of a space's width: from there on pypdf sees one

_LITERAL = rb"\((?:[^()\\]|\\(?:[0-7]{3}|[^0-7\r\n]))*+\)"  # without escapes that what follows could change
_HEX = rb"<(?:[0-9A-Fa-f]{2})*+>"
_ARRAY = rb"\[((?:\s*+(?:%b|%b|[-+.\d]++))*+)\s*+\]\s*+TJ" % (_LITERAL, _HEX)
_STRING = (
    rb"(?<!\\)\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*+\))*+\)"  # what is shown may look like an array
)
_SHOWS = re.compile(rb"%b|%b" % (_ARRAY, _STRING), re.DOTALL)
# The end of a piece, an offset that is no gap, the start of the next piece; a bracket after a backslash is a letter.
_CUT = rb"%b\s*+(-[0-5]?\d(?:\.\d*+)?|\d{1,3}(?:\.\d*+)?)?+\s*+%b"
_LITERAL_CUT, _HEX_CUT = re.compile(_CUT % (rb"(?<!\\)\)", rb"\(")), re.compile(_CUT % (b">", b"<"))


def quicken() -> None:
    """Let pypdf see words whole, pass over content without text, and build a font once a file, not once a page."""
    content_of, build = extraction._get_content_stream_for_text, Font.from_font_resource
    built: dict[int, tuple[Any, Font]] = {}

    def content_without_kerning(*arguments: Any, has_visitor: bool) -> Any:
        content = content_of(*arguments, has_visitor=False)
        narrow = any(SPACE_SEEN * font.space_width < GAP for _, font in built.values())
        if content is not None and not narrow:
            content.set_data(without_kerning(content.get_data()))
        return content

    def font_once(resource: Any) -> Any:
        if id(resource) not in built:
            built[id(resource)] = resource, build(resource)  # kept, so that its id stays its own
        return built[id(resource)][1]

    extraction._get_content_stream_for_text = content_without_kerning  # type: ignore[assignment]
    Font.from_font_resource = font_once  # type: ignore[assignment, method-assign]


def without_kerning(content: bytes) -> bytes:
    """Return the content stream with the pieces of each word joined; what moved between them stands at the end."""
    return _SHOWS.sub(_joined, content)


def _joined(shown: re.Match[bytes]) -> bytes:
    pieces = shown[1]
    if pieces is None:
        return shown[0]
    cut = _LITERAL_CUT if b"(" in pieces else _HEX_CUT
    moved = sum(float(offset) for offset in cut.findall(pieces) if offset)
    parts = max(
        1, math.ceil(-moved / (GAP - 1))
    )  # nobody shall take the sum of many small moves for a gap
    return b"[%b%b] TJ" % (
        cut.sub(b"", pieces),
        b" %.3f" % (moved / parts) * parts if moved else b"",
    )
