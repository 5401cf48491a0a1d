"""A file of replies that are on disk before anything else is done with them, so that nothing is paid for twice."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from paft.errors import DataError, OutputError, RunError
from paft.files import try_lock

SPACE = 32 * 2**20


class JournalFile:
    """Rows of JSON, one a line, that are only ever appended: whole, and synced before the call returns.

    Args:
        path: the file, made with its folder if it is not there. None keeps nothing.
        holds: what a line is, for errors.

    Raises:
        OutputError: it cannot be written, or another process writes it.
    """

    def __init__(self, path: Path | None, holds: str) -> None:
        self.path, self.holds = path, holds
        self._file: FileIO | None = None
        self._written = self._synced = 0  # rows of this process
        self._failed: OSError | None = None
        self._turn = asyncio.Lock()
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
        except OSError as bad:
            raise OutputError(f"cannot write {path}: {bad.strerror}; give another --output") from bad
        if not try_lock(self._file):
            self.close()
            raise OutputError(f"another process writes {path}; wait for it or give another --output")
        _sync_folder(path.parent)

    def check_space(self) -> None:
        """Refuse to spend money on a reply that could not be kept.

        Raises:
            RunError: the disk is nearly full.
        """
        if self.path is not None and shutil.disk_usage(self.path.parent).free < SPACE:
            raise RunError(f"the disk is nearly full: {self.path} could not take more replies; free some space first")

    def read(self) -> Iterator[tuple[int, Any]]:
        """``(line number, row)`` of what is there; a line that a crash cut short is removed.

        Raises:
            DataError: a line that is not JSON; names it.
        """
        if self._file is None:
            return
        self._file.seek(0)
        raw = self._file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            self._file.truncate(len(whole))
        for number, line in enumerate(whole.decode("utf-8", "replace").split("\n")[:-1], start=1):
            try:
                yield number, json.loads(line)
            except ValueError:
                raise self.bad(number) from None

    def bad(self, number: int) -> DataError:
        """The error of a line that is none of ours."""
        return DataError(f"{self.path}, line {number}: not {self.holds}; mend or move the file")

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row.

        Raises:
            RunError: it could not be kept.
        """
        self._write(row)
        self._sync(self._written)

    async def keep(self, row: Mapping[str, Any]) -> None:
        """As ``append``, for many at a time: rows that come while the disk is busy are synced together."""
        self._write(row)
        mine = self._written
        async with self._turn:
            if self._synced < mine:
                await asyncio.to_thread(self._sync, self._written)

    def close(self) -> None:
        if self._file is None:
            return
        if self._synced < self._written:  # whoever waited for it was cancelled
            with suppress(RunError):
                self._sync(self._written)
        self._file.close()
        self._file = None

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        line = memoryview((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
        end = self._file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._file.write(line) or 0 :]
        except OSError as bad:
            self._file.truncate(end)  # half a line would spoil the next one
            raise self._not_kept(bad) from bad
        self._written += 1

    def _sync(self, written: int) -> None:
        if self._file is None:
            return
        try:
            if self._failed is not None:  # a second call would report success for what the first one lost
                raise self._failed
            os.fsync(self._file.fileno())
        except OSError as bad:
            self._failed = bad
            raise self._not_kept(bad) from bad
        self._synced = written

    def _not_kept(self, bad: OSError) -> RunError:
        return RunError(
            f"a reply could not be kept in {self.path}: {bad.strerror}; nothing more is asked\n"
            "free some space and run again: all earlier replies are kept"
        )


def _sync_folder(folder: Path) -> None:
    """See that a file which was just made is found again; not every system knows how."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
