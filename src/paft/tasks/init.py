"""``paft init``: from a table of a user's own, a first task YAML and a first prompt set."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from paft.errors import DataError, InputError, MissingFileError, OutputError
from paft.files import atomic_writer, write_jsonl
from paft.tasks.base import SPLITS, Task, TaskType
from paft.tasks.custom import task_from_spec
from paft.tasks.dialect import Told, dialect
from paft.tasks.guess import ANSWER_NAMES, Guess, Hints, guess
from paft.tasks.options import option_columns
from paft.tasks.rows import Format, Row, cell, read_rows
from paft.tasks.spec import parse_spec
from paft.tasks.starters import starters
from paft.yamlfile import as_document

MIN_ROWS = 10
SHARES = {"validation": 0.1, "test": 0.1}


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


def init_task(
    data_file: str | Path,
    output_dir: str | Path,
    answer: str | None = None,
    *,
    hints: Hints | None = None,
    told: Told | None = None,
) -> InitReport:
    """Write ``task.yaml`` and ``prompts.jsonl`` for a CSV, TSV, JSONL or parquet file.

    One file is the training data; the YAML's ``split`` parts validation and test off it. The data is read
    whole, so that what is written is known to load.

    Args:
        data_file: the table; its rows are not copied.
        output_dir: where to write; made if needed.
        answer: the answer's column, where the guess would be wrong.
        hints: what else is known of the columns; in place of ``answer``.
        told: how the file is read, where that cannot be told from it.

    Raises:
        MissingFileError: no such file.
        DataError: a row that does not fit; names the line. Nothing is written.
        InputError: nothing can be guessed, two readings fit (names the flag), or there are too few rows to part.
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
    hints = hints or Hints(answer)
    how = dialect(path, told or Told(), said)
    found = guess(_table(path, how, hints, said), hints)
    settings = _settings(path, folder, how, found)
    task = task_from_spec(parse_spec(as_document(settings, str(path))), folder, data=path)
    rows = {split: len(task.examples(split)) for split in SPLITS}
    said += [*found.said, f"one file: parted by `split` into {', '.join(f'{n} {split}' for split, n in rows.items())}"]
    prompts = _prompts(task, found)
    with atomic_writer(task_file) as out:
        out.write(_yaml(settings, said))
    write_jsonl(prompts_file, prompts)
    return InitReport(task_file, prompts_file, found.type, rows, len(prompts), tuple(said))


def _table(path: Path, how: Format, hints: Hints, said: list[str]) -> dict[str, list[str]]:
    """Column -> values as text. Null options are options that a row lacks.

    A column that would be the answer or a slot must be whole, and one that may be the text is not left out in silence.
    """
    rows: list[Row] = list(read_rows(path, how))
    if len(rows) < MIN_ROWS:
        raise DataError(f"{path} holds {len(rows)} rows; expected at least {MIN_ROWS} to part into splits")
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    options = option_columns([name for name in names if name != hints.answer])
    table: dict[str, list[str]] = {}
    for column in names:
        lacking = [where for where, row in rows if column in options and row.get(column, "") is None]
        if lacking and len(lacking) < len(rows):
            said.append(f"column {column!r} is null in {len(lacking)} rows, which have fewer options: {lacking[0]}")
            rows = [(where, row if row.get(column, "") is not None else {**row, column: ""}) for where, row in rows]
        try:
            table[column] = [cell(where, row, column) for where, row in rows]
        except DataError as bad:
            wanted = column in (hints.answer, *(hints.slots or ())) or column.strip().lower() in ANSWER_NAMES
            if wanted or (hints.slots is None and column in options and not lacking):
                raise
            if hints.slots is None:
                _refuse_text(column, rows, bad)
            said.append(f"column {column!r} is left out: {bad}")
    return table


def _refuse_text(column: str, rows: Sequence[Row], bad: DataError) -> None:
    """Stop where a column that cannot be read holds what may be asked for: a list, a dict with text, or text with gaps.

    Raises:
        InputError: it does.
    """
    values = [row[column] for _, row in rows if row.get(column) is not None]
    nested = any(isinstance(value, list) or (isinstance(value, dict) and _holds_text(value)) for value in values)
    if nested:
        todo = "write what a prompt should show into columns of their own"
    elif not any(isinstance(value, str) and " " in value.strip() for value in values):
        return
    elif len(values) == len(rows):
        raise bad
    else:
        todo = f"{len(rows) - len(values)} of {len(rows)} rows lack it: fill them"
    raise InputError(f"{bad}\n{todo}, or name the columns that are slots, without it: --slots A,B")


def _holds_text(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_text, value.values()))
    return isinstance(value, list | str) and bool(value)


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
    settings |= {key: value for key in ("delimiter", "quote") if (value := getattr(how, key))}
    settings |= {"split": {**SHARES, "seed": 0}, "columns": columns}
    if found.choices:
        settings["choices"] = list(found.choices)
    if found.labels:
        settings["labels"] = found.labels
    elif found.answer_is:
        settings["answer_is"] = found.answer_is
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
