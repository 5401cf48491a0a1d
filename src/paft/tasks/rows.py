"""Files of rows: JSON lines, CSV, TSV, parquet, and lines taken apart by a regular expression.

Every reader yields ``(where, row)``: ``where`` is "file, line N" for errors, ``row`` is column -> value.
Nothing is skipped but blank lines; a row that does not fit is an error that names its line.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from paft.errors import DataError, InputError, MissingFileError
from paft.files import read_jsonl, read_lines

Row = tuple[str, dict[str, Any]]
FORMATS = ("jsonl", "csv", "tsv", "parquet", "lines")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}


@dataclass(frozen=True)
class Format:
    """How files are read.

    Attributes:
        kind: one of ``FORMATS``; None takes it from the file's name.
        encoding: a Python codec name; parquet has its own.
        header: the column names of a csv or tsv file that has no header line.
        delimiter: what parts the fields; a comma for csv, a tab for tsv where absent.
        pattern: for ``lines``: each line must match it whole, and its named groups are the columns.
        quote: what stands around a quoted field, or "none"; ``"`` for csv and none for tsv where absent.

    A quoted field may hold delimiters, newlines and doubled quotes. Without a quote a field is what stands between
    two delimiters, quotes included. A first line such as ``sep=;``, as Excel writes it, names the delimiter and is
    no row.
    """

    kind: str | None = None
    encoding: str = "utf-8"
    header: tuple[str, ...] | None = None
    delimiter: str | None = None
    pattern: str | None = None
    quote: str | None = None


def format_of(path: Path) -> str:
    """The format that the end of a file's name tells."""
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the name does not tell the format; expected one of {', '.join(_SUFFIXES)}, "
            "or `format:` in the task YAML"
        )
    return kind


def read_rows(path: Path, how: Format = Format()) -> Iterator[Row]:
    """``(where, row)`` of each row of ``path``, in file order.

    Raises:
        MissingFileError: no such file.
        InputError: the format cannot be told.
        DataError: a row, a header or a byte that does not fit; names file and line.
    """
    kind = how.kind or format_of(path)
    if kind == "parquet":
        return _read_parquet(path)
    if kind == "jsonl":
        return ((f"{path}, line {number}", row) for number, row in read_jsonl(path, how.encoding))
    if kind == "lines":
        return _read_lines(path, how)
    return _read_delimited(path, kind, how)


def _read_lines(path: Path, how: Format) -> Iterator[Row]:
    pattern = re.compile(how.pattern or "")
    for number, line in enumerate(read_lines(path, how.encoding), start=1):
        line = line.removesuffix("\n")
        if not line.strip():
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise DataError(
                f"{path}, line {number}: {shorten(line)} does not match the pattern {how.pattern!r}; "
                "mend the line or the pattern"
            )
        yield f"{path}, line {number}", match.groupdict()


def declared_delimiter(line: str) -> str | None:
    """The delimiter that a first line ``sep=;`` names."""
    match = re.fullmatch(r'\ufeff?"?sep=([^\w\s"]|\t)"?[ \t]*\n?', line, re.IGNORECASE)
    return match[1] if match else None


def csv_reader(lines: Iterable[str], separator: str, quote: str, strict: bool = True) -> Any:
    """A reader of the csv module; ``quote`` is a character or "none"."""
    csv.field_size_limit(2**31 - 1)  # the module's own limit is 128 kB a cell
    if quote == "none":
        return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, strict=strict)
    return csv.reader(lines, delimiter=separator, quotechar=quote, strict=strict)


def _read_delimited(path: Path, kind: str, how: Format) -> Iterator[Row]:
    lines = read_lines(path, how.encoding)
    first = next(lines, "")
    declared = declared_delimiter(first)
    separator = how.delimiter or declared or ("," if kind == "csv" else "\t")
    quote = how.quote or ('"' if kind == "csv" else "none")
    may_be_quoted = kind == "tsv" and how.kind is None and how.quote is None
    reader = csv_reader(lines if declared else chain((first,) if first else (), lines), separator, quote)
    header = list(how.header) if how.header else None
    while True:
        number = reader.line_num + 1 + bool(declared)
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as bad:
            raise DataError(
                f"{path}, line {number}: the row that starts here is not valid csv: {bad}"
                + ("; write `quote: none` in the task YAML where quotes mean nothing" if '"' in str(bad) else "")
            ) from None
        if not fields:
            continue
        if header is None:
            header = _header(path, number, fields)
            continue
        if len(fields) != len(header):
            raise DataError(
                f"{path}, line {number}: expected {len(header)} fields ({', '.join(header)}), found {len(fields)}; "
                + ('put a field that holds a delimiter in "quotes"' if kind == "csv" else "a tsv field holds no tab")
            )
        if how.header is None and [field.strip() for field in fields] == header:
            raise DataError(f"{path}, line {number}: the header stands here again; remove this line")
        if may_be_quoted:
            _refuse_quoted(f"{path}, line {number}", fields)
        yield f"{path}, line {number}", dict(zip(header, fields, strict=True))
    if header is None:
        raise DataError(f"{path}: the file is empty; expected a header line and rows")


def _refuse_quoted(where: str, fields: list[str]) -> None:
    """A tsv field with quotes around it and doubled quotes inside was written by a csv writer, and nobody said so."""
    for field in fields:
        inside = field[1:-1]
        if field[:1] == field[-1:] == '"' and '""' in inside and '"' not in inside.replace('""', ""):
            raise DataError(
                f"{where}: {shorten(field)} stands in quotes, which are part of the text in a tsv file; write "
                "`quote: '\"'` in the task YAML to take them off, or `quote: none` to keep them"
            )


def _header(path: Path, number: int, fields: list[str]) -> list[str]:
    """Column names of a header line; a blank one is called by its place."""
    names = [field.strip() or f"column {place}" for place, field in enumerate(fields, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}, line {number}: the header names {', '.join(twice)} more than once; rename one, "
            "or give the names as `header:` in the task YAML if the file has no header line"
        )
    return names


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise MissingFileError(f"no such file: {path}")
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except pyarrow.ArrowException as bad:
        reason = str(bad).split("\n")[0]
        raise DataError(f"{path}: expected a parquet file; {reason}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: a text after row {number} is not UTF-8; write it anew") from None
    except PermissionError:
        raise MissingFileError(f"no permission to read {path}") from None


def cell(where: str, row: Mapping[str, Any], column: str) -> str:
    """The value of a column as text: numbers and booleans as JSON writes them.

    Raises:
        DataError: no such column, or a value that is null, nested or not finite.
    """
    if column not in row:
        found = ", ".join(map(str, row)) or "none"
        raise DataError(f"{where}: no column {column!r}; found {found}{chats_hint(row)}")
    value = row[column]
    if isinstance(value, str):
        return _checked(where, column, value)
    if value is None:
        raise DataError(f"{where}: column {column!r} is null; expected text or a number")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{where}: column {column!r} is {value}; expected text or a finite number")
    if isinstance(value, list | tuple | dict | bytes):
        raise DataError(
            f"{where}: column {column!r} holds a {type(value).__name__}; expected text or a number"
            f"{chats_hint({column: value})}"
        )
    return str(value)


def _checked(where: str, column: str, value: str) -> str:
    """``value`` where a tokenizer and a file can take it."""
    if "\0" in value:
        raise DataError(f"{where}: column {column!r} holds a NUL character; remove it")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as bad:
            raise DataError(
                f"{where}: column {column!r} holds half of a surrogate pair, \\u{ord(value[bad.start]):04x}, at "
                f"character {bad.start}, which is no text; mend the row"
            ) from None
    return value


def chats_hint(row: Mapping[str, Any]) -> str:
    """What to do about a row that is a conversation: a list of messages with a role and a text; "" for others."""
    for name, value in row.items():
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, dict) and {"role", "from"} & set(first) and {"content", "value"} & set(first):
            return f"\n{name!r} holds conversations; write what is asked and what is answered into columns of their own"
    return ""


def cells(where: str, row: Mapping[str, Any], column: str, count: int) -> tuple[str, ...]:
    """The texts of a column that holds a list of exactly ``count``.

    Raises:
        DataError: no such column, not a list, another length, or an item that is not text or a number.
    """
    value = row.get(column)
    if not isinstance(value, list) or len(value) != count:
        found = f"{len(value)}" if isinstance(value, list) else type(value).__name__ if column in row else "no such key"
        raise DataError(f"{where}: expected a list of {count} under {column!r}, found {found}")
    return tuple(cell(where, {f"{column}[{place}]": item}, f"{column}[{place}]") for place, item in enumerate(value))


def shorten(text: str, width: int = 60) -> str:
    """``text`` quoted, and cut in the middle of an error message where it is long."""
    return repr(text if len(text) <= width else text[: width - 1] + "…")
