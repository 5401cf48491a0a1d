"""Text that anyone may have written, made fit for a figure: no control marks, cut, and wrapped with marks in place."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paft.report.pairs import Piece

ELLIPSIS = "…"
BREAK = "↵"  # stands at the end of a line that the prompt itself ends
KEPT = 160  # characters that stay on either side of a change, and at both ends of a text


@dataclass(frozen=True)
class Segment:
    """A part of a line: its text, whether it is marked, and the cell it starts at."""

    text: str
    changed: bool
    start: int


def clean(text: str) -> str:
    """Text without control, formatting and unassigned characters: no bidi marks, nothing that XML refuses."""
    tidy = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return "".join(c for c in tidy if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


def label(text: str, room: int = 40) -> str:
    """A name on one line, at most ``room`` characters long."""
    line = " ".join(clean(text).split())
    return line if len(line) <= room else line[: room - 1] + ELLIPSIS


def shorten(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces with the middle of long ones left out; what is near a change stays."""
    short = []
    for piece in pieces:
        text = clean(piece.text)
        if len(text) > 2 * KEPT + 40:
            text = f"{text[:KEPT].rstrip()} {ELLIPSIS} {text[-KEPT:].lstrip()}"
        short.append(Piece(text, piece.changed))
    return short


def wrap(pieces: Iterable[Piece], cells: int, lines: int) -> list[list[Segment]]:
    """Lines of at most ``cells`` cells, broken at spaces where there are any; after ``lines`` of them an ellipsis.

    A line break of the text shows as ``BREAK``. Characters of East Asian width take two cells, marks on others none.
    """
    rows: list[list[tuple[str, bool]]] = [[]]
    for char, changed in ((c, piece.changed) for piece in pieces for c in piece.text):
        if char == "\n":
            rows[-1].append((BREAK, changed))
            rows.append([])
            continue
        if sum(_width(c) for c, _ in rows[-1]) + _width(char) > cells:
            rows.append(_overflow(rows[-1], char))
        rows[-1].append((char, changed))
        if len(rows) > lines + 1:
            break
    if len(rows) > lines:
        rows = rows[:lines]
        while sum(_width(c) for c, _ in rows[-1]) > cells - 2:
            rows[-1].pop()
        rows[-1].append((ELLIPSIS, False))
    return [_segments(row) for row in rows if row]


def _overflow(row: list[tuple[str, bool]], char: str) -> list[tuple[str, bool]]:
    """Take the unfinished word off the end of a full row; it begins the next one."""
    at = next((i for i in range(len(row), 0, -1) if row[i - 1][0] == " "), 0)
    if char == " " or at == 0:
        return []
    word = row[at:]
    del row[at:]
    return word


def _segments(row: Sequence[tuple[str, bool]]) -> list[Segment]:
    segments: list[Segment] = []
    at = 0
    for char, changed in row:
        if segments and segments[-1].changed == changed:
            segments[-1] = Segment(segments[-1].text + char, changed, segments[-1].start)
        else:
            segments.append(Segment(char, changed, at))
        at += _width(char)
    return segments


def width(text: str) -> int:
    """Cells that a text takes in a font of one width."""
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
