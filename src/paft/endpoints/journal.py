"""The journal: every reply, on disk before anything else is done with it, so that nothing is paid for twice.

One JSON object a line: a header that says what was asked for, then ``reply`` and ``failure`` entries. A line is
appended whole and synced. A line that a crash cut short is dropped when the journal is opened again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from paft.errors import DataError, OutputError, RunError
from paft.files import try_lock

SPACE = 32 * 2**20


class Slot(NamedTuple):
    """Which request: a model's n-th under one strategy."""

    provider: str
    model: str
    strategy: str
    round: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A reply as it was received.

    Attributes:
        asked: templates asked for.
        body: the response body, as far as it came.
        cut: whether the connection ended before the body did.
        request_id: from the response's headers.
        seconds: from sending to the last byte, the wait for its turn left out.
        time: when it came, UTC.
        prompt_estimate: about how many tokens the request had.
    """

    asked: int
    body: str
    cut: bool
    request_id: str | None
    seconds: float
    time: str
    prompt_estimate: int


class Journal:
    """Replies by request, and the file that keeps them.

    Args:
        path: the file; made if it is not there. None keeps nothing.
        identity: what the requests are about; a journal of something else is refused.

    Raises:
        OutputError: the file belongs to other work, or another process writes it.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.entries: dict[Slot, Entry] = {}
        self._file: FileIO | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
        except OSError as bad:
            raise OutputError(f"cannot write {path}: {bad.strerror}; give another --output") from bad
        try:
            if not try_lock(self._file):
                raise OutputError(f"another process writes {path}; wait for it or give another --output")
            self._read(identity)
        except BaseException:
            self.close()
            raise

    def check_space(self) -> None:
        """Refuse to spend money on a reply that could not be kept.

        Raises:
            RunError: the disk is nearly full.
        """
        if self.path is not None and shutil.disk_usage(self.path.parent).free < SPACE:
            raise RunError(f"the disk is nearly full: {self.path} could not take more replies; free some space first")

    def add(self, slot: Slot, entry: Entry) -> None:
        """Keep a reply: on disk first, then here."""
        self._append({"kind": "reply", **slot._asdict(), **{name: getattr(entry, name) for name in entry.__slots__}})
        self.entries[slot] = entry

    def note_failure(self, slot: Slot, message: str, time: str) -> None:
        """Note a request that brought nothing, for whoever reads the file; it is asked again in the next run."""
        self._append({"kind": "failure", **slot._asdict(), "message": message, "time": time})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, row: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        line = memoryview((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
        end = self._file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._file.write(line) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as bad:
            self._file.truncate(end)  # half a line would spoil the next one
            raise RunError(
                f"a reply could not be kept in {self.path}: {bad.strerror}; nothing more is asked\n"
                "free some space and run again: all earlier replies are kept"
            ) from bad

    def _read(self, identity: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.seek(0)
        raw = self._file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):  # a crash cut the last line short
            self._file.truncate(len(whole))
        lines = whole.decode("utf-8", "replace").split("\n")[:-1]
        if not lines:
            self._append({"kind": "header", "format_version": 1, **identity})
            return
        rows = [self._row(number, line) for number, line in enumerate(lines, start=1)]
        for key, value in identity.items():
            if rows[0].get(key) != value:
                raise OutputError(
                    f"{self.path} holds replies for another {key.replace('_', ' ')}; give another --output"
                )
        for row in rows[1:]:
            if row.get("kind") == "reply":
                slot = Slot(*(row[name] for name in Slot._fields))
                self.entries[slot] = Entry(**{name: row[name] for name in Entry.__slots__})

    def _row(self, number: int, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        wanted = {"reply": (*Slot._fields, *Entry.__slots__), "failure": (), "header": ()}
        kind = row.get("kind") if isinstance(row, dict) else None
        if kind not in wanted or not all(name in row for name in wanted[kind]) or (number == 1) != (kind == "header"):
            raise DataError(f"{self.path}, line {number}: not a line of a journal of replies; mend or move the file")
        checked: dict[str, Any] = row
        return checked
