"""The journal: kept whole, whatever happens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from paft.endpoints.journal import Entry, Journal, Slot
from paft.errors import DataError, OutputError, RunError

ABOUT = {"task": "t 1", "language": "english"}
ENTRY = Entry(10, 'a "body"\nwith {braces} \ud83d and é', True, "id", 1.5, "2026-01-01T00:00:00+00:00", 90)


def test_entries_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "j.jsonl"
    journal = Journal(path, ABOUT)
    for number in range(3):
        journal.add(Slot("p", "m", "zero-shot", number), ENTRY)
        lines = path.read_bytes().splitlines()  # on disk at once, while the file is still open
        assert len(lines) == number + 2
        assert json.loads(lines[-1])["round"] == number
    journal.note_failure(Slot("p", "m", "zero-shot", 3), "HTTP 500", "now")
    journal.close()
    again = Journal(path, ABOUT)
    assert list(again.entries) == [Slot("p", "m", "zero-shot", n) for n in range(3)]
    assert again.entries[Slot("p", "m", "zero-shot", 0)].body.startswith('a "body"\nwith {braces} ')
    again.close()


def test_a_journal_as_older_versions_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    slot = '"provider": "p", "model": "m", "strategy": "s", "round": 2'
    path.write_text(
        '{"kind": "header", "format_version": 1, "task": "t 1", "language": "english"}\n'
        f'{{"kind": "failure", {slot}, "message": "HTTP 500", "time": "now"}}\n'
        f'{{"kind": "reply", {slot}, "asked": 5, "body": "é", "cut": false, "request_id": null, "seconds": 0.25, '
        '"time": "then", "prompt_estimate": 90}\n',
        encoding="utf-8",
    )
    journal = Journal(path, ABOUT)
    assert journal.entries == {Slot("p", "m", "s", 2): Entry(5, "é", False, None, 0.25, "then", 90)}
    journal.close()


@pytest.mark.parametrize("lost", [1, 20, 200])
def test_a_line_that_was_cut_is_dropped_and_the_next_is_whole(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path, ABOUT)
    journal.add(Slot("p", "m", "s", 0), ENTRY)
    journal.add(Slot("p", "m", "s", 1), ENTRY)
    journal.close()
    path.write_bytes(path.read_bytes()[:-lost])
    journal = Journal(path, ABOUT)
    assert list(journal.entries) == [Slot("p", "m", "s", 0)]
    journal.add(Slot("p", "m", "s", 1), ENTRY)
    journal.close()
    assert len(Journal(path, ABOUT).entries) == 2


def test_other_work(tmp_path: Path) -> None:
    Journal(tmp_path / "j.jsonl", ABOUT).close()
    with pytest.raises(OutputError, match="holds replies for another task; give another --output"):
        Journal(tmp_path / "j.jsonl", {**ABOUT, "task": "t 2"})


def test_two_writers(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j.jsonl", ABOUT)
    with pytest.raises(OutputError, match="another process writes"):
        Journal(tmp_path / "j.jsonl", ABOUT)
    first.close()
    Journal(tmp_path / "j.jsonl", ABOUT).close()


@pytest.mark.parametrize("text", ["hello\n", '{"kind": "reply"}\n', '{"text": "{x}"}\n', "[1]\n"])
def test_some_other_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(text)
    with pytest.raises((DataError, OutputError)):
        Journal(path, ABOUT)
    assert path.read_text() == text


def test_a_file_that_takes_no_more(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    journal = Journal(tmp_path / "j.jsonl", ABOUT)
    journal.add(Slot("p", "m", "s", 0), ENTRY)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(RunError, match="could not be kept in .*; nothing more is asked"):
            journal.add(Slot("p", "m", "s", 1), ENTRY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        journal.close()
    assert list(Journal(tmp_path / "j.jsonl", ABOUT).entries) == [Slot("p", "m", "s", 0)]


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch) -> None:
    journal = Journal(tmp_path / "j.jsonl", ABOUT)
    journal.check_space()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    with pytest.raises(RunError, match="the disk is nearly full"):
        journal.check_space()
    journal.close()
