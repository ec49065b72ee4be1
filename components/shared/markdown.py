"""Text from outside in Markdown: it stays text."""

from components.shared.text import clean_line

_SIGNS = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|#!&"})


def escaped(text: str) -> str:
    """Return a text on one line in which Markdown and HTML see no markup."""
    return clean_line(text).translate(_SIGNS)
