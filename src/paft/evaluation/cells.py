"""The cells of a sweep on disk: written piece by piece, never half, and continued where they stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from paft.errors import DataError, OutputError
from paft.files import atomic_path, check_place, read_json, try_lock, write_json

IDENTITY_FILE, SUMMARY_FILE = "sweep.json", "summary.json"
LATER = ("tokenizer", "chat_template", "end_ids", "date")  # what folders of before may not tell
LOCK_FILE = ".lock"
SECONDS_KEY = b"paft_seconds"
SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("example_id", pa.string()),
        ("gold", pa.int32()),
        ("prediction", pa.int32()),
        ("text", pa.string()),
        ("correct", pa.bool_()),
        ("loglik", pa.list_(pa.float32())),
        ("prompt_tokens", pa.int32()),
        ("generated_tokens", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One (prompt, example) pair of a sweep.

    Attributes:
        gold: index of the right answer among the candidates; -1 for free answers.
        prediction: index of the answer given; -1 where none was found, and for free answers.
        text: the generated text, reasoning included; empty where candidates were compared.
        loglik: for each of the task's answers, the sum of its tokens' log-probabilities (nats), with the end token's
            where one answer begins another, and ``-inf`` where the example does not offer it; empty for generation.
        prompt_tokens: tokens in front of the answer.
        generated_tokens: tokens generated, the end token included.
    """

    prompt_id: str
    example_id: str
    gold: int
    prediction: int
    text: str
    correct: bool
    loglik: tuple[float, ...] = field(default=())
    prompt_tokens: int = 0
    generated_tokens: int = 0


Key = tuple[str, str]


class CellStore:
    """Cells of one sweep in ``folder/cells``, keyed by (prompt id, example id); also a context manager.

    One process writes at a time. ``sweep.json`` says what the sweep is of; a folder that holds another, or
    anything else, is refused. Cells wait in memory for some seconds before a piece is written.

    Args:
        folder: the output folder, or None to keep the cells in memory alone.
        identity: what decides the cells; the same identity continues, another is refused.
        note: more to write into ``sweep.json``, which is not compared.
        flush_seconds: seconds between two pieces in the beginning; an hour on, twice that, so that pieces stay few.

    Raises:
        OutputError: the folder holds other work, or another process writes to it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        identity: Mapping[str, Any],
        note: Mapping[str, Any] | None = None,
        flush_seconds: float = 10.0,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.flush_seconds = flush_seconds
        self.cells: dict[Key, Cell] = {}
        self.seconds = 0.0
        self._waiting: list[Cell] = []
        self._pieces = 0
        self._lock: IO[str] | None = None
        if self.folder is not None:
            refuse_other_work(self.folder, identity)
            self._open(self.folder, {**identity, **(note or {})})
        self._since = time.monotonic()

    def _open(self, folder: Path, record: Mapping[str, Any]) -> None:
        if not (folder / IDENTITY_FILE).exists():
            write_json(folder / IDENTITY_FILE, dict(record))
        self._lock = _lock(folder)
        for partial in (folder / "cells").glob(".*.partial"):  # left by a killed process: we hold the lock
            partial.unlink(missing_ok=True)
        cells, self.seconds, self._pieces = read_cells(folder)
        self.cells = {(c.prompt_id, c.example_id): c for c in cells}

    def __contains__(self, key: object) -> bool:
        return key in self.cells

    def add(self, cells: Iterable[Cell]) -> None:
        """Take new cells; write a piece when it is time."""
        for cell in cells:
            self.cells[cell.prompt_id, cell.example_id] = cell
            self._waiting.append(cell)
        if time.monotonic() - self._since >= self.flush_seconds * (1 + self.seconds / 3600):
            self.flush()

    def flush(self) -> None:
        """Write the cells that wait as one piece, whole or not at all, with the time they took."""
        now = time.monotonic()
        spent, self._since = now - self._since, now
        if not self._waiting:
            return
        if self.folder is not None:
            _write_piece(self.folder / "cells" / f"part-{self._pieces:05d}.parquet", self._waiting, spent)
        self.seconds += spent
        self._pieces += 1
        self._waiting = []

    def start_clock(self) -> None:
        """Leave what happened until now out of ``seconds``."""
        self._since = time.monotonic()

    def close(self) -> None:
        """Give the folder free for others."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> CellStore:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()  # after an error or Ctrl-C too: what is finished stays finished
        finally:
            self.close()


def refuse_other_work(
    folder: str | os.PathLike[str],
    identity: Mapping[str, Any],
    record: str = IDENTITY_FILE,
    what: str = "sweep",
    result: str = SUMMARY_FILE,
) -> None:
    """Refuse a folder that belongs to other work; fields absent from ``identity`` are not compared.

    Folders of earlier versions do not tell all of them: finished ones are taken as they are, others are refused.

    Args:
        record: the file of the folder that says what it is of.
        what: how messages call the work.
        result: the file that is written when the work is done.

    Raises:
        OutputError: names the first field that differs, or a file that is no such work.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; give a folder for the {what}")
    check_place(folder)
    if not folder.is_dir():
        return
    if not (folder / record).exists():
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise OutputError(f"{folder} holds other work ({others[0]}); give a new or empty folder as the output")
        return
    found = read_json(folder / record)
    found = found if isinstance(found, dict) else {}
    unsaid = unrecorded(folder, identity, record)
    for name, value in identity.items():
        if name in unsaid and not _finished(folder / result):
            raise OutputError(
                f"{folder} holds a {what} begun by an earlier version of paft, which did not record its {name}, "
                "so that the rest may not fit it\ngive another output folder, or delete this one"
            )
        if name not in unsaid and found.get(name) != value:
            raise OutputError(
                f"{folder} holds another {what}: its {name} is {_short(found.get(name))}, not {_short(value)}\n"
                "give another output folder, or delete this one"
            )


def unrecorded(folder: str | os.PathLike[str], identity: Mapping[str, Any], record: str = IDENTITY_FILE) -> list[str]:
    """The fields of ``identity`` that a folder of an earlier version says nothing of."""
    path = Path(folder) / record
    found = read_json(path) if path.is_file() else identity
    return [name for name in LATER if identity.get(name) is not None and name not in found]


def _finished(result: Path) -> bool:
    """Whether ``result`` sums up all of the work: a quick sweep leaves cells to be computed."""
    return result.is_file() and "quick" not in read_json(result)


def read_cells(folder: str | os.PathLike[str]) -> tuple[list[Cell], float, int]:
    """``(cells, seconds spent on them, number of the next piece)`` of a sweep folder.

    Raises:
        DataError: a piece that is not what a sweep writes; names the file.
    """
    cells: list[Cell] = []
    seconds, following = 0.0, 0
    for path in sorted((Path(folder) / "cells").glob("part-*.parquet")):
        try:
            table = pq.read_table(path, partitioning=None)
            number = int(path.stem.removeprefix("part-"))
        except (pa.ArrowException, OSError, ValueError) as bad:
            raise DataError(f"{path} cannot be read; delete the file and run again to compute its cells") from bad
        if not table.schema.equals(SCHEMA):
            raise DataError(f"{path} has other columns than a sweep writes; delete the file and run again")
        cells += [Cell(**{**row, "loglik": tuple(row["loglik"])}) for row in table.to_pylist()]
        seconds += float((table.schema.metadata or {}).get(SECONDS_KEY, 0))
        following = number + 1
    return cells, seconds, following


def _write_piece(path: Path, cells: list[Cell], seconds: float) -> None:
    columns = {name: [getattr(cell, name) for cell in cells] for name in SCHEMA.names}
    table = pa.table(columns, schema=SCHEMA.with_metadata({SECONDS_KEY: repr(seconds)}))
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _lock(folder: Path) -> IO[str]:
    """Keep other processes from writing here, for as long as the file is open."""
    handle = (folder / LOCK_FILE).open("w", encoding="utf-8")
    if not try_lock(handle):
        handle.close()
        raise OutputError(f"another process is sweeping into {folder}; wait for it or give another output")
    return handle


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
