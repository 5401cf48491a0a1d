"""The journal of replies to requests that are known by a name: a header that says what was asked for, then entries.

An entry is a ``reply`` or a ``failure``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from paft.endpoints.journal_file import JournalFile
from paft.errors import OutputError


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
        DataError: a line that is none of ours; names it.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.entries: dict[Slot, Entry] = {}
        self._file = JournalFile(path, "a line of a journal of replies")
        try:
            self._read(identity)
        except BaseException:
            self.close()
            raise

    def check_space(self) -> None:
        """Refuse to spend money on a reply that could not be kept.

        Raises:
            RunError: the disk is nearly full.
        """
        self._file.check_space()

    def add(self, slot: Slot, entry: Entry) -> None:
        """Keep a reply: on disk first, then here."""
        row = {"kind": "reply", **slot._asdict(), **{name: getattr(entry, name) for name in entry.__slots__}}
        self._file.append(row)
        self.entries[slot] = entry

    def note_failure(self, slot: Slot, message: str, time: str) -> None:
        """Note a request that brought nothing, for whoever reads the file; it is asked again in the next run."""
        self._file.append({"kind": "failure", **slot._asdict(), "message": message, "time": time})

    def close(self) -> None:
        self._file.close()

    def _read(self, identity: Mapping[str, Any]) -> None:
        rows = [self._checked(number, row) for number, row in self._file.read()]
        if not rows:
            self._file.append({"kind": "header", "format_version": 1, **identity})
            return
        for key, value in identity.items():
            if rows[0].get(key) != value:
                raise OutputError(
                    f"{self.path} holds replies for another {key.replace('_', ' ')}; give another --output"
                )
        for row in rows[1:]:
            if row.get("kind") == "reply":
                slot = Slot(*(row[name] for name in Slot._fields))
                self.entries[slot] = Entry(**{name: row[name] for name in Entry.__slots__})

    def _checked(self, number: int, row: Any) -> dict[str, Any]:
        wanted = {"reply": (*Slot._fields, *Entry.__slots__), "failure": (), "header": ()}
        kind = row.get("kind") if isinstance(row, dict) else None
        if kind not in wanted or not all(name in row for name in wanted[kind]) or (number == 1) != (kind == "header"):
            raise self._file.bad(number)
        checked: dict[str, Any] = row
        return checked
