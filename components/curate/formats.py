"""Rows of a dataset file: JSON, JSON Lines, CSV or Parquet, told apart by content, never by name.

A file of another kind, or of another encoding than UTF-8, is refused with what it was found to be.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

Rows = Iterator[tuple[int, object]]  # (line, row); a ValueError in a row's place says what is wrong

OTHER_KINDS = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"ARROW1": "Arrow IPC",
    b"Obj\x01": "Avro",
    b"SQLite format 3": "SQLite",
    b"\x89HDF": "HDF5",
    b"%PDF": "PDF",
    b"<": "HTML or XML",
    b"---": "YAML",
    b"|": "a Markdown table",
    b"//": "JSON with comments",
    b"/*": "JSON with comments",
    b"#": "text with comments",
    b"{'": "Python's notation",
    b"[{'": "Python's notation",
}
MARKS = {  # of the order of bytes, longest first
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# Which of the first four bytes are not zero tells the encoding of a file that begins in ASCII (RFC
# 4627, section 3).
ENCODINGS = {
    b"\1\0\1\0": "UTF-16",
    b"\0\1\0\1": "UTF-16",
    b"\1\0\0\0": "UTF-32",
    b"\0\0\0\1": "UTF-32",
    b"\0\0\0\0": "binary data",
}
MAX_ROWS = 5_000_000  # of a Parquet file, whose size says little about what it unpacks to
MAX_SEARCHES = 1_000  # broken rows after which no end is looked for any more: each look may be long
_DECODER = json.JSONDecoder()
DELIMITERS = ",\t;|"
_NAME = re.compile(r"\s*[\w.-]*(?: [\w-]+){0,2}\s*")
_BETWEEN_LINES = re.compile(r"\s*")
_BETWEEN_ITEMS = re.compile(r"[\s,\]]*")
_NEXT_LINE = re.compile(r"\n")
_NEXT_ITEM = re.compile(r"\n[ \t]*(?=\{)|\}[ \t]*,\s{0,99}(?=\{)")


def read_rows(path: Path) -> tuple[str, Rows]:
    """Return what kind of file it is and its rows; raise ValueError for one that cannot be read."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"PAR1"):
        return "Parquet", _parquet_rows(path)
    if problem := _other_kind(head.removeprefix(b"\xef\xbb\xbf")):
        raise ValueError(problem)
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    if not text.strip():
        raise ValueError("empty file")
    start = len(text) - len(text.lstrip())
    if text[start] == "[":
        return "JSON", _items(text, start + 1)
    if text[start] != "{" and (delimiter := _delimiter(text)):
        return "CSV", _csv_rows(text, delimiter)
    return "JSON Lines", _values(text, start)


def _other_kind(head: bytes) -> str:
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return f"{encoding}, not UTF-8"
    if encoding := ENCODINGS.get(bytes(map(bool, head[:4])), ""):
        return f"{encoding}, not UTF-8"
    bare = re.sub(rb"\s+", b"", head)
    for start, kind in OTHER_KINDS.items():
        if head.startswith(start) or bare.startswith(start):
            return f"{kind}, not JSON, CSV or Parquet"
    return ""


def _items(text: str, place: int) -> Rows:
    """Yield the items of a JSON list; behind one that is broken, on from where another may
    begin."""
    line, counted, broken = 1, 0, 0
    while (place := _skip(_BETWEEN_ITEMS, text, place)) < len(text):
        line, counted = line + text.count("\n", counted, place), place
        try:
            row, place = _DECODER.raw_decode(text, place)
            yield line, row
        except (ValueError, RecursionError):
            yield line, ValueError("not JSON")
            broken += 1  # each failure counts the lines of all text before it
            if broken == MAX_SEARCHES:
                yield line, ValueError(f"{broken:,} rows are not JSON: the rest was not read")
                return
            place = _skip_to(_NEXT_ITEM, text, place)


def _values(text: str, place: int) -> Rows:
    """Yield the values of a text that holds one after the other, on a line or over several."""
    line, counted, broken = 1, 0, 0
    first, stop, row_line = 0, 0, ""
    while (place := _skip(_BETWEEN_LINES, text, place)) < len(text):
        line, counted = line + text.count("\n", counted, place), place
        if place >= stop:
            first, stop = place, _skip_to(_NEXT_LINE, text, place)
            row_line = text[first:stop]
        try:
            row, end = _DECODER.raw_decode(row_line, place - first)
            place = first + end
        except (ValueError, RecursionError):
            row, place = _over_lines(text, place, stop, broken < MAX_SEARCHES)
            broken += isinstance(row, ValueError)
        yield line, row


def _over_lines(text: str, place: int, stop: int, search: bool) -> tuple[object, int]:
    """Return a value that goes on behind its line, or why there is none; and where to go on."""
    if search and text[place] in "{[":
        try:
            return _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            pass
    return ValueError("not JSON"), stop


def _skip(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _skip_to(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.search(text, place + 1)
    return found.end() if found else len(text)


def _delimiter(text: str) -> str:
    """Return what separates the columns of a text that begins with a line of names, or nothing."""
    line = text.lstrip().splitlines()[0][:10_000]
    for delimiter in DELIMITERS:
        names = line.replace('"', "").split(delimiter)
        if len(names) > 1 and any(names) and all(_NAME.fullmatch(name) for name in names):
            return delimiter
    return ""


def _csv_rows(text: str, delimiter: str) -> Rows:
    csv.field_size_limit(1 << 30)  # a field that is too long costs its row, not the file
    reader = csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter)
    names = next(reader)
    start = reader.line_num + 1
    try:
        for cells in reader:
            if cells and len(cells) != len(names):
                yield start, ValueError(f"has {len(cells)} cells under {len(names)} names")
            elif cells:
                yield start, dict(zip(names, cells, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        yield start, ValueError(f"not CSV ({error})")


def _parquet_rows(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 1
    try:
        file = pq.ParquetFile(path)
        if file.metadata.num_rows > MAX_ROWS:
            raise ValueError(f"Parquet of more than {MAX_ROWS:,} rows")
        for batch in file.iter_batches(1_000):
            for row in batch.to_pylist():
                yield number, row
                number += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        yield number, ValueError(f"damaged Parquet ({error})")
