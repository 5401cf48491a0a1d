"""``paft init``: from a table of a user's own, a first task YAML and a first prompt set."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from paft.errors import DataError, MissingFileError, OutputError
from paft.files import atomic_writer, write_jsonl
from paft.tasks.base import SPLITS, Task, TaskType
from paft.tasks.custom import task_from_spec
from paft.tasks.guess import ANSWER_NAMES, Guess, guess
from paft.tasks.rows import Format, Row, cell, format_of, read_rows
from paft.tasks.spec import parse_spec
from paft.tasks.starters import starters
from paft.tasks.yamlfile import as_document

MIN_ROWS = 10
SHARES = {"validation": 0.1, "test": 0.1}
_NAME = re.compile(r"[^\W\d][\w .?()/-]{0,39}")


@dataclass(frozen=True)
class InitReport:
    """What ``init_task`` wrote and what it guessed.

    Attributes:
        task_file, prompts_file: the two files.
        type: the task's type.
        rows: rows of the data by split.
        prompts: how many templates were written.
        guesses: every guess in words, in the order it was made.
    """

    task_file: Path
    prompts_file: Path
    type: TaskType
    rows: dict[str, int]
    prompts: int
    guesses: tuple[str, ...]


def init_task(data_file: str | Path, output_dir: str | Path, answer: str | None = None) -> InitReport:
    """Write ``task.yaml`` and ``prompts.jsonl`` for a CSV, TSV, JSONL or parquet file.

    One file is the training data; the YAML's ``split`` parts validation and test off it. The data is read
    whole, so that what is written is known to load.

    Args:
        data_file: the table; its rows are not copied.
        output_dir: where to write; made if needed.
        answer: the answer's column, where the guess would be wrong.

    Raises:
        MissingFileError: no such file.
        DataError: a row that does not fit; names the line. Nothing is written.
        InputError: nothing can be guessed, or there are too few rows to part.
        OutputError: one of the two files is there already.
    """
    path, folder = Path(data_file).expanduser(), Path(output_dir).expanduser()
    task_file, prompts_file = folder / "task.yaml", folder / "prompts.jsonl"
    for there in (task_file, prompts_file):
        if there.exists():
            raise OutputError(f"{there} is there already and is not written over; give another output folder")
    if not path.is_file():
        raise MissingFileError(f"no such file: {path}; expected a csv, tsv, jsonl or parquet file")
    said: list[str] = []
    how = _format(path, said)
    found = guess(_table(path, how, answer, said), answer)
    settings = _settings(path, folder, how, found)
    task = task_from_spec(parse_spec(as_document(settings, str(path))), folder, data=path)
    rows = {split: len(task.examples(split)) for split in SPLITS}
    said += [*found.said, f"one file: parted by `split` into {', '.join(f'{n} {split}' for split, n in rows.items())}"]
    prompts = _prompts(task, found)
    with atomic_writer(task_file) as out:
        out.write(_yaml(settings, said))
    write_jsonl(prompts_file, prompts)
    return InitReport(task_file, prompts_file, found.type, rows, len(prompts), tuple(said))


def _format(path: Path, said: list[str]) -> Format:
    """How the file is to be read: encoding, delimiter, and names where it has no header line."""
    kind = format_of(path)
    if kind == "parquet":
        return Format(kind)
    encoding = _encoding(path.read_bytes())
    if encoding != "utf-8":
        said.append(f"encoding: {encoding}, since the file is not UTF-8; check accents and quotes")
    if kind == "jsonl":
        return Format(kind, encoding)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline().removeprefix("\ufeff")
    delimiter = None
    if kind == "csv":
        delimiter = max(",;\t|", key=first.count)
        if delimiter != ",":
            said.append(f"delimiter: {delimiter!r}, the commonest in the first line")
    how = Format(kind, encoding, delimiter=None if delimiter == "," else delimiter)
    counted = _counted(first, how)
    try:
        rows = [list(row.values()) for _, row in read_rows(path, replace(how, header=counted))]
    except DataError:
        return how  # the same error comes again, with the file's own names, where the rows are read
    if not rows or _is_header(rows):
        return how
    said.append("no header line: the first line reads like data; columns are named by their place")
    return replace(how, header=tuple(f"column_{place}" for place in counted))


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: short plain names, all different, none of them a value further down."""
    names = [name.strip() for name in rows[0]]
    given = [name for name in names if name]
    if not given or len(set(given)) < len(given) or not all(_NAME.fullmatch(name) for name in given):
        return False
    return not any(name and name == row[place].strip() for row in rows[1:] for place, name in enumerate(names))


def _counted(first: str, how: Format) -> tuple[str, ...]:
    separator = how.delimiter or ("," if how.kind == "csv" else "\t")
    fields = next(csv.reader([first], delimiter=separator), [])
    return tuple(str(place) for place in range(1, len(fields) + 1))


def _encoding(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _table(path: Path, how: Format, answer: str | None, said: list[str]) -> dict[str, list[str]]:
    """Column -> values as text. A column that is null, nested or absent in some row is left out, and named.

    A column that would be the answer must be whole.
    """
    rows: list[Row] = list(read_rows(path, how))
    if len(rows) < MIN_ROWS:
        raise DataError(f"{path} holds {len(rows)} rows; expected at least {MIN_ROWS} to part into splits")
    table: dict[str, list[str]] = {}
    for column in dict.fromkeys(name for _, row in rows for name in row):
        try:
            table[column] = [cell(where, row, column) for where, row in rows]
        except DataError as bad:
            if column == answer or column.strip().lower() in ANSWER_NAMES:
                raise
            said.append(f"column {column!r} is left out: {bad}")
    return table


def _settings(path: Path, folder: Path, how: Format, found: Guess) -> dict[str, Any]:
    """The task YAML as a tree, keys in the order they are written."""
    columns: dict[str, Any] = {"id": found.id} if found.id else {}
    columns |= {"slots": found.slots, "answer": found.answer}
    settings: dict[str, Any] = {
        "name": re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "task",
        "type": found.type,
        "files": {"train": Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()},
        "format": how.kind,
    }
    if how.encoding != "utf-8":
        settings["encoding"] = how.encoding
    if how.header:
        settings["header"] = list(how.header)
    if how.delimiter:
        settings["delimiter"] = how.delimiter
    settings |= {"split": {**SHARES, "seed": 0}, "columns": columns}
    if found.choices:
        settings["choices"] = list(found.choices)
    if found.labels:
        settings["labels"] = found.labels
    if found.type == "free":
        settings["match"] = "exact"
    return {**settings, "top_threshold": 0.85, "user_prompt": _texts(found)[1][1], "description": ""}


def _texts(found: Guess) -> list[tuple[str, str]]:
    words = list(dict.fromkeys(found.labels.values())) if found.type == "label" else []
    return starters(found.type, list(found.slots), found.choices, words)


def _prompts(task: Task, found: Guess) -> list[dict[str, Any]]:
    return [
        {
            "id": sha256(text.encode()).hexdigest()[:12],
            "text": text,
            "source": {"kind": "bundled", "author": "paft", "style": style, "task": task.name},
        }
        for style, text in _texts(found)
    ]


def _yaml(settings: dict[str, Any], said: Sequence[str]) -> str:
    """The settings as YAML, every value a quoted string where YAML could read it otherwise."""
    lines = ["# Written by paft init. What it guessed:"]
    lines += ["#   " + "".join(c if c.isprintable() else " " for c in line) for line in said]
    for key, value in settings.items():
        lines.append(_block(key, value) if isinstance(value, str) else f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", value) and yaml.safe_load(value) == value
    if isinstance(value, str) and not plain:
        return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=2**31).rstrip("\n")
    return str(value)


def _block(key: str, text: str) -> str:
    """``key: text``, over several lines where the text has them and each can be read back as it is."""
    lines = text.split("\n")
    if len(lines) == 1 or not all(line.isprintable() for line in lines) or text != text.strip():
        return f"{key}: {_flow(text)}"
    return "\n".join([f"{key}: |-", *(f"  {line}" if line else "" for line in lines)])
