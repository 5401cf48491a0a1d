"""What a power cut leaves of a file: its bytes at the start of the last fsync that has returned."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path


class Disk:
    """Watches the calls of ``os.fsync``, each of which is made.

    Attributes:
        calls: how many files were synced, folders left out.
        delay: seconds that a call takes longer than it does here.
    """

    def __init__(self, monkeypatch, delay: float = 0.0) -> None:
        self.calls, self.delay = 0, delay
        self._kept: dict[tuple[int, int], bytes] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, handle: int) -> None:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            self._fsync(handle)
            return
        there = os.pread(handle, found.st_size, 0)
        time.sleep(self.delay)
        self._fsync(handle)
        self.calls += 1
        self._kept[found.st_dev, found.st_ino] = there

    def of(self, path: Path) -> bytes:
        """The bytes of ``path`` that are sure."""
        found = path.stat()
        return self._kept.get((found.st_dev, found.st_ino), b"")
