"""Every answer of a server on disk before anything else is done with it, so that nothing is asked or paid for twice.

``answers.jsonl`` in the output folder, one JSON object a line. A line that a crash cut short is dropped.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from paft.errors import DataError, OutputError, RunError
from paft.evaluation.server.replies import Usage

JOURNAL_FILE = "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Answered:
    """What one request brought for a cell.

    Attributes:
        part: index of the candidate that was scored; 0 where one request serves the whole cell.
        loglik: log-likelihood of that candidate, or of all of them; None for one that the server did not list.
        text: the generated text.
        answer_tokens: tokens of the candidate.
        before: tokens in front of the answer.
        usage: what the request took.
    """

    prompt: str
    example: str
    part: int
    loglik: list[float | None]
    text: str
    answer_tokens: int
    before: int
    usage: Usage


class ServerJournal:
    """The answers so far, the examples that the server has no room for, and what the probes took.

    Args:
        folder: the output folder, locked by whoever opens this; None keeps all in memory.

    Raises:
        DataError: a line that is none of ours; names it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.answers: list[Answered] = []
        self.dropped: set[str] = set()
        self.probes: list[Usage] = []
        self.path = None if folder is None else folder / JOURNAL_FILE
        self._file: FileIO | None = None
        if self.path is not None:
            try:
                self._file = self.path.open("ab+", buffering=0)
            except OSError as bad:
                raise OutputError(f"cannot write {self.path}: {bad.strerror}; give another --output") from bad
            self._read(self.path, self._file)

    def add(self, answered: Answered) -> None:
        """Keep an answer."""
        self._append(asdict(answered))

    def drop(self, example: str) -> None:
        """Keep that an example is left out."""
        self.dropped.add(example)
        self._append({"dropped": example})

    def probe(self, usage: Usage) -> None:
        """Keep what requests took that belong to no cell."""
        self._append({"probe": asdict(usage)})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, row: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = memoryview((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
        end = self._file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._file.write(line) or 0 :]
        except OSError as bad:
            self._file.truncate(end)  # half a line would spoil the next one
            raise RunError(
                f"an answer could not be kept in {self.path}: {bad.strerror}\n"
                "free some space and run again: all earlier answers are kept"
            ) from bad

    def _read(self, path: Path, file: FileIO) -> None:
        file.seek(0)
        raw = file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            file.truncate(len(whole))
        for number, line in enumerate(whole.decode("utf-8", "replace").split("\n")[:-1], start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError):
                raise DataError(f"{path}, line {number}: not an answer of a server; mend or move the file") from None

    def _take(self, row: dict[str, Any]) -> None:
        if "dropped" in row:
            self.dropped.add(str(row["dropped"]))
        elif "probe" in row:
            self.probes.append(Usage(**row["probe"]))
        else:
            self.answers.append(Answered(**{**row, "usage": Usage(**row["usage"])}))
