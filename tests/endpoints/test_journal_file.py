"""The file under every journal: on disk when a call returns, also where many write at a time."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path

import pytest
from endpoints.power import Disk

from paft.endpoints import Entry, Journal, JournalFile, Slot
from paft.errors import DataError, OutputError, RunError

ENTRY = Entry(1, "body", False, None, 0.5, "2026-01-01T00:00:00+00:00", 9)


def rows(raw: bytes) -> list:
    return [json.loads(line) for line in raw.splitlines()]


def test_what_was_added_is_on_disk(tmp_path: Path, monkeypatch) -> None:
    disk, path = Disk(monkeypatch), tmp_path / "j.jsonl"
    journal = Journal(path, {"task": "t"})
    assert [row["kind"] for row in rows(disk.of(path))] == ["header"]
    for number in range(3):
        journal.add(Slot("p", "m", "s", number), ENTRY)
        assert rows(disk.of(path))[-1]["round"] == number
    journal.note_failure(Slot("p", "m", "s", 3), "HTTP 500", "now")
    assert rows(disk.of(path))[-1]["kind"] == "failure"
    journal.close()


def test_many_at_a_time_share_a_sync(tmp_path: Path, monkeypatch) -> None:
    disk, path = Disk(monkeypatch, delay=0.01), tmp_path / "j.jsonl"
    file = JournalFile(path, "a number")

    async def one(number: int) -> None:
        await asyncio.sleep(number % 7 / 500)
        await file.keep({"number": number})
        assert {"number": number} in rows(disk.of(path))

    async def go() -> None:
        await asyncio.gather(*(one(number) for number in range(60)))

    asyncio.run(go())
    assert 2 <= disk.calls < 15
    assert sorted(row["number"] for row in rows(path.read_bytes())) == list(range(60))
    file.close()


def test_whoever_is_cancelled_leaves_a_whole_line(tmp_path: Path, monkeypatch) -> None:
    disk, path = Disk(monkeypatch, delay=0.05), tmp_path / "j.jsonl"
    file = JournalFile(path, "a number")

    async def go() -> None:
        jobs = [asyncio.ensure_future(file.keep({"number": number})) for number in range(3)]
        await asyncio.sleep(0.01)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await file.keep({"number": 3})

    asyncio.run(go())
    file.close()
    assert [row["number"] for row in rows(disk.of(path))] == [0, 1, 2, 3]


def test_a_disk_that_failed_once_is_not_trusted_again(tmp_path: Path, monkeypatch) -> None:
    """The system reports a lost page once; the next call would say that all is well."""
    real, failing = os.fsync, [True]

    def fsync(handle: int) -> None:
        if failing:
            failing.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(handle)

    file = JournalFile(tmp_path / "j.jsonl", "a number")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(RunError, match="could not be kept in .*: Input/output error; nothing more is asked"):
        file.append({"number": 0})
    with pytest.raises(RunError, match="could not be kept"):
        asyncio.run(file.keep({"number": 1}))
    file.close()


def test_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"a": 1}\n[2]\n{"cut')
    file = JournalFile(path, "a number")
    assert list(file.read()) == [(1, {"a": 1}), (2, [2])]
    with pytest.raises(OutputError, match="another process writes"):
        JournalFile(path, "a number")
    file.append({"b": 3})
    file.close()
    assert path.read_text() == '{"a": 1}\n[2]\n{"b": 3}\n'
    path.write_text("what?\n")
    file = JournalFile(path, "a number")
    with pytest.raises(DataError, match=r"j\.jsonl, line 1: not a number; mend or move the file"):
        list(file.read())
    file.close()


def test_nowhere() -> None:
    file = JournalFile(None, "a number")
    file.check_space()
    file.append({"a": 1})
    asyncio.run(file.keep({"a": 1}))
    assert list(file.read()) == []
    file.close()
