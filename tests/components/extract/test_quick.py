"""What makes pypdf quicker changes no text."""

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, _text_extraction
from pypdf.generic._font import Font

from components.extract.quick import GAP, quicken, without_kerning
from tests.benchmarks.extraction import sample_papers
from tests.components.extract.test_hostile import FONT, raw_pdf, stream

# What strings may hold: letters, both kinds of bracket, escapes, and what looks like the seam between two pieces.
WORDS = st.text(st.sampled_from("abc xyz"), min_size=1) | st.sampled_from(
    [r"\)5\(", "><", r"\\", r"\051", "]", "[", "TJ"]
)
OFFSETS = st.integers(-GAP + 1, 999) | st.sampled_from([-250, -300.5, -GAP, -1000, 5000, 0.25])


def text_of(content: bytes, font: bytes = FONT) -> str:
    """Return what pypdf reads on a page of this content."""
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources %b /Contents 4 0 R >>"
        % font
    )
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    file = raw_pdf({1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: pages, 3: page, 4: stream(content)})
    return PdfReader(io.BytesIO(file)).pages[0].extract_text()


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pypdf quicker until the test's end."""
    for owner, name in (
        (_text_extraction, "_get_content_stream_for_text"),
        (Font, "from_font_resource"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # to have it back afterwards
    quicken()


def shown(pieces: Sequence[tuple[str, float]], line: int = 0) -> bytes:
    array = " ".join(f"({word}){offset:g}" for word, offset in pieces)
    return f"1 0 0 1 50 {700 - 20 * line} Tm [{array}]TJ\n".encode()


@given(
    st.lists(st.lists(st.tuples(WORDS, OFFSETS), min_size=1, max_size=8), min_size=1, max_size=4)
)
def test_words_joined_before_reading_give_the_same_text(
    lines: list[list[tuple[str, float]]],
) -> None:
    content = (
        b"BT /F1 10 Tf\n"
        + b"".join(shown(pieces, line) for line, pieces in enumerate(lines))
        + b"ET"
    )
    assert text_of(without_kerning(content)) == text_of(content)


def test_the_pieces_of_a_word_are_one() -> None:
    assert (
        without_kerning(b"[(T)83(o)28(w)28(ards)-333(it)]TJ") == b"[(Towards)-333(it) 139.000] TJ"
    )
    assert without_kerning(b"[<0001>-20<0002> 5 <0003>] TJ") == b"[<000100020003> -15.000] TJ"


def test_many_small_moves_do_not_add_up_to_a_gap() -> None:
    content = b"BT /F1 10 Tf 50 700 Td [" + b"-50".join([b"(a)"] * 12) + b"]TJ ET"
    assert without_kerning(content).count(b"(") == 1
    assert text_of(without_kerning(content)) == text_of(content) == "a" * 12


@pytest.mark.parametrize(
    "content",
    [
        b"[(see (a) 5 (b))]TJ",  # brackets inside a string
        rb"[(a\\)5(b)]TJ",  # after an escaped backslash: left as it is, which is right too
        b"[(a> 5 <b)]TJ",
        b"(a) 5 (b) foo [ (c) 5 (d) ] d",
        b"[(a) 5 (b)",
        b"[(a)-61(b)]TJ",
        b"([(a)5(b)] TJ) Tj",  # shown, not done
        rb"[(x\5)(1y)]TJ",  # an escape that would swallow the next piece's start
    ],
)
def test_what_is_no_kerning_stays(content: bytes) -> None:
    assert without_kerning(content).replace(b" TJ", b"TJ") == content.replace(b" TJ", b"TJ")


def test_real_papers_give_the_text_that_plain_pypdf_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sample_papers(tmp_path)[:4]
    plain = [[page.extract_text() for page in PdfReader(path).pages] for path in paths]
    quick(monkeypatch)
    assert [[page.extract_text() for page in PdfReader(path).pages] for path in paths] == plain


def test_a_font_with_narrow_spaces_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = b" ".join([b"100"] + [b"500"] * 94)
    font = b"/Type /Font /Subtype /TrueType /BaseFont /N /FirstChar 32 /LastChar 126 /Widths [%b]"
    fonts = b"<< /Font << /F1 << %b >> >> >>" % (font % widths)
    content = b"BT /F1 10 Tf 50 700 Td [(one)-50(two)-50(three)]TJ ET"
    plain = text_of(content, fonts)
    quick(monkeypatch)
    assert text_of(content, fonts) == plain == "one two three"


def test_the_stage_itself_does_not_load_pypdf() -> None:
    """A dozen children share what the fork server loaded; the stage needs none of it."""
    code = "import sys, components.extract.core; sys.exit('pypdf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
