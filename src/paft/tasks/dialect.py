"""How a table of a user's own is to be read: encoding, delimiter, quotes and header line, each told from the file.

What is found is said; where two readings fit, the user is asked for the flag that decides.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from paft.errors import DataError, InputError
from paft.files import read_lines
from paft.tasks.encodings import as_codec, tell_encoding
from paft.tasks.headers import first_row
from paft.tasks.rows import Format, csv_reader, declared_delimiter, format_of, read_rows, shorten

LINES, ROWS = 2000, 10_000  # that are looked at
_MARKS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True)
class Told:
    """What the user says of a table; None is told from the file.

    Attributes:
        encoding: a Python codec name.
        delimiter: one character.
        quote: one character, or "none".
        header: whether the first line names the columns.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: Literal["yes", "no"] | None = None


def dialect(path: Path, told: Told, said: list[str]) -> Format:
    """How to read ``path``; what was guessed is added to ``said``.

    Raises:
        InputError: two readings fit; names the flag.
        DataError: bytes or fields that do not fit.
    """
    kind = format_of(path)
    given = [name for name in ("encoding", "delimiter", "quote", "header") if getattr(told, name) is not None]
    owned = {"parquet": (), "jsonl": ("encoding",)}.get(kind, tuple(given))
    if wrong := [name for name in given if name not in owned]:
        raise InputError(f"{path}: --{wrong[0]} is for text tables; a {kind} file has none")
    if told.delimiter is not None and (len(told.delimiter) != 1 or told.delimiter in '"\r\n'):
        raise InputError(f"--delimiter is {told.delimiter!r}; expected one character, or tab")
    if told.quote not in (None, "none") and (len(told.quote) != 1 or told.quote in ("\r", "\n", told.delimiter)):
        raise InputError(f"--quote is {told.quote!r}; expected one character that is not the delimiter, or none")
    if kind == "parquet":
        return Format(kind)
    encoding, why = (as_codec(told.encoding), "as you said") if told.encoding else tell_encoding(path)
    if why:
        said.append(f"encoding: {encoding}, {why}")
    if kind == "jsonl":
        return Format(kind, encoding)
    how = _delimited(path, Format(kind, encoding, None, told.delimiter, None, told.quote), said)
    if told.header == "yes":
        return how
    return _named(path, how, told.header, said)


def _delimited(path: Path, how: Format, said: list[str]) -> Format:
    """``how`` with a delimiter and a quote where they are not the usual ones of its kind."""
    lines = list(islice(read_lines(path, how.encoding), LINES))
    declared = declared_delimiter(lines[0]) if lines else None
    if declared:
        said.append(f"delimiter: {declared!r}, as the first line says")
        lines = lines[1:]
        how = replace(how, delimiter=how.delimiter or declared)
    if how.delimiter is None:
        how = _with_delimiter(path, lines, how, said)
    mark = how.delimiter or ("," if how.kind == "csv" else "\t")
    quote = how.quote or (_tsv_quote(path, lines, mark) if how.kind == "tsv" else _csv_quote(path, lines, mark))
    usual = "none" if how.kind == "tsv" else '"'
    if quote != usual:
        said.append(f"quote: {quote}" + ("" if how.quote else ", since fields stand in it"))
    return replace(how, quote=None if quote == usual else quote)


def _with_delimiter(path: Path, lines: Sequence[str], how: Format, said: list[str]) -> Format:
    usual = "," if how.kind == "csv" else "\t"
    quotes = [how.quote] if how.quote else ['"', "'"] if how.kind == "csv" else ["none", '"']
    for quote in quotes:
        even = {mark: width for mark in _MARKS if (width := _width(lines, mark, quote)) > 1}
        if len(even) > 1:
            ways = " and ".join(f"by {_MARKS[mark]} into {width} fields" for mark, width in even.items())
            raise InputError(f"{path}: every line is parted {ways}; say which is meant with --delimiter")
        if even:
            break
    first = lines[0] if lines else ""
    mark = next(iter(even), usual if usual in first else max(_MARKS, key=first.count))
    if mark == usual or mark not in first:
        return how
    said.append(f"delimiter: {mark!r}, " + ("which parts every line alike" if even else "the commonest in line 1"))
    return replace(how, delimiter=mark)


def _width(lines: Sequence[str], mark: str, quote: str) -> int:
    """The number of fields that every row has; 0 where they differ."""
    rows = _rows(lines, mark, quote)
    widths = {len(row) for row in rows or ()}
    return widths.pop() if len(widths) == 1 else 0


def _rows(lines: Sequence[str], mark: str, quote: str) -> list[list[str]] | None:
    """The rows, but for a last one that the sample may have cut off; None where the quotes do not close."""
    try:
        rows = [row for row in csv_reader(lines, mark, quote) if row]
    except csv.Error as bad:
        if len(lines) < LINES or "unexpected end" not in str(bad):
            return None
        rows = [row for row in csv_reader(lines, mark, quote, strict=False) if row]
    return rows if len(lines) < LINES else rows[:-1]


def _tsv_quote(path: Path, lines: Sequence[str], mark: str) -> str:
    """Whether quotes around tsv fields belong to the text, as in most such files, or a csv writer put them there."""
    plain, quoted = _rows(lines, mark, "none") or [], _rows(lines, mark, '"')
    fields = [field for row in plain for field in row]
    held = [field for field in fields if len(field) > 1 and field[0] == field[-1] == '"']
    if quoted is None or quoted == plain or len({len(row) for row in quoted}) > 1:
        return "none"
    if len({len(row) for row in plain}) > 1:
        return '"'
    bare = [field for field in fields if field not in set(held)]
    if not held or any('"' in field for field in bare):
        return "none"
    if any('"' in field[1:-1].replace('""', "") for field in held):
        return "none"
    needed = all(any(sign in field[1:-1] for sign in ('""', mark, ",")) for field in held)
    if (needed and not any("," in field for field in bare)) or not any(_is_wordy(field) for field in bare):
        return '"'
    if needed and all('""' in field for field in held):
        return '"'
    raise InputError(
        f"{path}: {len(held)} of {len(fields)} fields stand in quotes, such as {shorten(held[0], 40)}; say with "
        "--quote '\"' that these only hold the field, or with --quote none that they belong to the text"
    )


def _is_wordy(field: str) -> bool:
    return any(sign.isalpha() for sign in field)


def _csv_quote(path: Path, lines: Sequence[str], mark: str) -> str:
    """The double quote, or the single one where whole columns stand in it."""
    rows = _rows(lines, mark, '"')
    single = _rows(lines, mark, "'")
    if rows is None or not any("'" in line for line in lines):
        return '"'
    if len({len(row) for row in rows}) > 1:
        even = single is not None and len({len(row) for row in single}) == 1 and len(single[0]) > 1
        return "'" if even else '"'
    columns = list(zip(*rows[1:], strict=True))
    held = [c for c in columns if c and all(len(f) > 1 and f[0] == f[-1] == "'" for f in c if _is_wordy(f))]
    held = [column for column in held if any(map(_is_wordy, column))]
    if not held:
        return '"'
    if single is not None and {len(row) for row in single} == {len(rows[0])}:
        return "'"
    raise InputError(
        f"{path}: whole columns stand in single quotes, such as {shorten(held[0][0], 40)}, and some hold such a sign "
        "inside; say with --quote '\"' that they belong to the text, or write the file with double quotes"
    )


def _named(path: Path, how: Format, header: str | None, said: list[str]) -> Format:
    """``how`` with names for the columns where the first row is one of data."""
    try:
        rows = [list(row.values()) for _, row in islice(read_rows(path, replace(how, header=_places(path, how))), ROWS)]
    except DataError:
        return how  # the same error comes again, with the file's own names, where the rows are read
    if not rows:
        return how
    verdict = "data" if header == "no" else first_row(rows)
    if verdict == "unsure":
        shown = ", ".join(shorten(cell, 40) for cell in rows[0][:3])
        raise InputError(
            f"{path}: the first line may name the columns or be a row like those below: {shown}; "
            "say which with --header yes or --header no"
        )
    if verdict == "header":
        return how
    why = "as you said" if header else "the first line reads like data"
    said.append(f"no header line: {why}; columns are named by their place")
    return replace(how, header=tuple(f"column_{place}" for place in range(1, len(rows[0]) + 1)))


def _places(path: Path, how: Format) -> tuple[str, ...]:
    """A name for each field of the first row."""
    lines = read_lines(path, how.encoding)
    first = next(lines, "")
    declared = declared_delimiter(first) is not None
    mark = how.delimiter or ("," if how.kind == "csv" else "\t")
    quote = how.quote or ('"' if how.kind == "csv" else "none")
    try:
        fields: list[str] = next(csv_reader(lines if declared else [first, *islice(lines, LINES)], mark, quote), [])
    except csv.Error:
        fields = [""]
    return tuple(str(place) for place in range(1, len(fields) + 1))
