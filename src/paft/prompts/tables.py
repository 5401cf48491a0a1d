"""Rows of prompts as they stand in files of other kinds: text, CSV, Excel, YAML, JSON lines.

Every reader yields ``Row(where, fields)``; a row that cannot be read carries the reason instead of a text.
"""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from paft.errors import DataError, MissingFileError
from paft.files import TextLoader, read_jsonl, read_text
from paft.tasks.rows import declared_delimiter


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: its line (the row number in a spreadsheet) and its fields, or why it has none."""

    position: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


Note = Callable[[int, str], None]
NAMES = ("id", "split", "group")


def read_txt(path: Path, note: Note) -> Iterator[Row]:
    """One template per paragraph where blank lines part the file, else one per line."""
    lines = read_text(path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if all(line.strip() for line in lines):
        yield from (Row(number, {"text": line}) for number, line in enumerate(lines, start=1))
        return
    note(1, "blank lines part the file: every paragraph is one template")
    paragraph: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield Row(number - len(paragraph), {"text": "\n".join(paragraph)})
            paragraph = []


def read_csv(path: Path, note: Note) -> Iterator[Row]:
    """Rows of a CSV file with a header; commas, semicolons or tabs, as ``sep=`` says or a column ``text`` shows."""
    text = read_text(path)
    first, _, rest = text.partition("\n")
    if declared := declared_delimiter(first):
        first, text = rest.partition("\n")[0], "\n" + rest  # the line is blank, and the next keeps its number
    marks = declared or ",;\t"
    mark = next((m for m in marks if "text" in _names(next(csv.reader([first], delimiter=m), []))), marks[0])
    csv.field_size_limit(2**31 - 1)  # a setting of the whole module, which readers of task rows raise as well
    reader = csv.reader(io.StringIO(text), delimiter=mark, strict=True)
    try:
        start, cells = 1, []
        for row in reader:
            cells.append((start, row))
            start = reader.line_num + 1
    except csv.Error as bad:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({bad}); check the quotes") from None
    yield from _with_header(path, cells, note)


def read_xlsx(path: Path, note: Note) -> Iterator[Row]:
    """Rows of the first sheet of an Excel file."""
    from openpyxl import load_workbook  # slow to import, and needed here alone
    from openpyxl.utils.exceptions import InvalidFileException

    if not path.is_file():
        raise MissingFileError(f"no such file: {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that do not matter here
            book = load_workbook(path, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            cells = [(number, list(row)) for number, row in enumerate(sheet.iter_rows(values_only=True), start=1)]
            others = [other.title for other in book.worksheets[1:]]
            book.close()
    except (zipfile.BadZipFile, InvalidFileException, KeyError, IndexError, ValueError, SyntaxError) as bad:
        raise DataError(f"{path}: not an Excel workbook that can be read ({bad}); save it as .xlsx or .csv") from None
    if others:
        note(1, f"sheet {sheet.title!r} was read; other sheets were not: {', '.join(others)}")
    yield from _with_header(path, cells, note)


def read_yaml(path: Path, note: Note) -> Iterator[Row]:
    """Items of a YAML list: strings, or mappings with ``text``; what stands as an id, a split or a group is text."""
    try:
        loader = TextLoader(read_text(path))
        root = loader.get_single_node()
        if not isinstance(root, yaml.SequenceNode):
            raise DataError(f"{path}: expected a YAML list of templates, or of mappings with a key text")
        items = [(node.start_mark.line + 1, loader.construct_object(node, deep=True)) for node in root.value]
        names = _names_of(root)
    except yaml.YAMLError as bad:
        mark = getattr(bad, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(bad, "problem", None) or "unreadable"
        raise DataError(f"{path}{where}: not YAML ({what}); quote templates or write them as blocks after |") from None
    for (line, item), written in zip(items, names, strict=True):
        if item is None or isinstance(item, str):
            yield Row(line, {"text": item})
        elif isinstance(item, Mapping) and "text" in item:
            yield Row(line, {**item, **written})
        else:
            yield Row(line, problem=f"expected text or a mapping with a key text, found {type(item).__name__}")


def _names_of(root: yaml.SequenceNode) -> list[dict[str, str]]:
    """The ids, splits and groups of the items as they are written: ``1.50`` is no number there.

    One ``null`` is an id like another; several cannot be, and mean that there is none.
    """
    found: list[dict[str, yaml.ScalarNode]] = []
    for node in root.value:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found.append({k.value: v for k, v in pairs if k.value in NAMES and isinstance(v, yaml.ScalarNode)})
    nulls = sum("id" in row and row["id"].value == "null" and row["id"].style is None for row in found)
    none = {"", "~"} if nulls == 1 else {"", "~", "null"}
    return [
        {
            key: node.value
            for key, node in row.items()
            if node.style is not None or node.value not in (none if key == "id" else {"", "~", "null"})
        }
        for row in found
    ]


def read_json_lines(path: Path, note: Note) -> Iterator[Row]:
    """Objects of a JSON-lines file: a key ``text``, or one key alone."""
    for line, fields in read_jsonl(path):
        if "text" not in fields and len(fields) == 1:
            fields = {"text": next(iter(fields.values()))}
        if "text" in fields:
            yield Row(line, fields)
        else:
            yield Row(line, problem=f"no key text among {', '.join(fields) or 'none'}")


READERS: dict[str, Callable[[Path, Note], Iterator[Row]]] = {
    ".txt": read_txt,
    ".csv": read_csv,
    ".xlsx": read_xlsx,
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".jsonl": read_json_lines,
}


def _names(header: Iterable[Any]) -> list[str]:
    return ["" if cell is None else str(cell).strip() for cell in header]


def _with_header(path: Path, cells: Sequence[tuple[int, list[Any]]], note: Note) -> Iterator[Row]:
    """Rows under a header line; a file of one column may lack the header."""
    filled = [(position, row) for position, row in cells if any(_names(row))]
    if not filled:
        raise DataError(f"{path}: no rows in it; expected a column 'text' with one template per row")
    top, header = filled[0][0], _names(filled[0][1])
    while header and not header[-1]:
        header.pop()
    if "text" not in header and len(header) != 1:
        raise DataError(f"{path}: expected a column 'text', or one column alone; found {', '.join(header)}")
    rows = [(position, row) for position, row in cells if position > top]
    if "text" not in header:
        if "{" in header[0]:
            note(top, "no header: the first row is a template")
            rows.insert(0, (top, filled[0][1]))
        else:
            note(top, f"column {header[0]!r} was read: it is the only one")
        header = ["text"]
    for position, row in rows:
        if any(_names(row[len(header) :])):
            yield Row(position, problem=f"expected {len(header)} columns, found {len(row)}; quote a text with commas")
        else:
            fields = {name: cell for name, cell in zip(header, row, strict=False) if name and cell not in (None, "")}
            yield Row(position, {"text": None, **fields})
