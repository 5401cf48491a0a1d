"""A table before it is written anywhere: a title, columns, rows, and which cells stand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

NONE = "–"
Better = Literal["more", "less"]


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and how it stands out."""

    text: str
    bold: bool = False
    underline: bool = False


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        head: what it holds.
        group: what it and its neighbours of the same group belong to, such as a task; "" for none.
        better: whether more or less is better, so that the best can be marked; None for neither.
        left: whether its text is aligned to the left.
    """

    head: str
    group: str = ""
    better: Better | None = None
    left: bool = False


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        cells: one for each column.
        kind: ``own`` was measured, ``sum`` is derived from other rows, ``paper`` is quoted from the paper.
    """

    cells: Sequence[Cell]
    kind: Literal["own", "sum", "paper"] = "own"


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        name: what its files are called.
        title: one line.
        columns, rows: its body; a line parts rows of different kinds.
        notes: what one has to know to read it, a sentence each.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    @property
    def grouped(self) -> bool:
        """Whether the columns have a second line of heads above them."""
        return any(column.group for column in self.columns)


def row(texts: Sequence[str], kind: Literal["own", "sum", "paper"] = "own") -> Row:
    """A row of plain cells."""
    return Row([Cell(text) for text in texts], kind)


def emphasised(columns: Sequence[Column], rows: Sequence[Row], second: bool = True) -> list[Row]:
    """The best of each column among the ``own`` rows in bold, the second best underlined, as they are shown.

    Where all are alike nothing is marked. Cells that begin with no number take no part.
    """
    marks: dict[tuple[int, int], Cell] = {}
    for place, column in enumerate(columns):
        if column.better is None:
            continue
        shown = {i: number(r.cells[place].text) for i, r in enumerate(rows) if r.kind == "own"}
        known = {i: value for i, value in shown.items() if value is not None}
        ranked = sorted(set(known.values()), reverse=column.better == "more")
        if len(ranked) < 2:
            continue
        for i, value in known.items():
            cell = rows[i].cells[place]
            if value == ranked[0]:
                marks[i, place] = replace(cell, bold=True)
            elif second and value == ranked[1] and len(ranked) > 2:
                marks[i, place] = replace(cell, underline=True)
    return [
        Row([marks.get((i, place), cell) for place, cell in enumerate(r.cells)], r.kind) for i, r in enumerate(rows)
    ]


def number(text: str) -> float | None:
    """The number that a cell's text begins with; None where there is none."""
    words = text.replace("−", "-").replace(",", "").split()
    try:
        return float(words[0].rstrip("%")) if words else None
    except ValueError:
        return None


def percent(fraction: float | None) -> str:
    """A fraction in per cent with one decimal; a dash for None."""
    return NONE if fraction is None else f"{100 * fraction:.1f}"


def decimal(value: float | None, digits: int = 1) -> str:
    """A number with a fixed count of decimals and commas between thousands; a dash for None."""
    return NONE if value is None else f"{value:,.{digits}f}"


def spread(mean: float | None, std: float | None) -> str:
    """Mean and standard deviation, fractions, as ``93.8 (± 0.7)``."""
    if mean is None:
        return NONE
    return percent(mean) + ("" if std is None else f" (± {percent(std)})")
