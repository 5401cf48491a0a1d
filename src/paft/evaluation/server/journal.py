"""Every answer of a server on disk before anything else is done with it, so that nothing is asked or paid for twice.

``answers.jsonl`` in the output folder, one JSON object a line.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paft.endpoints import JournalFile
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
        folder: the output folder; None keeps all in memory.

    Raises:
        OutputError: the file cannot be written, or another process writes it.
        DataError: a line that is none of ours; names it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.answers: list[Answered] = []
        self.dropped: set[str] = set()
        self.probes: list[Usage] = []
        self._file = JournalFile(None if folder is None else folder / JOURNAL_FILE, "an answer of a server")
        try:
            for number, row in self._file.read():
                self._take(number, row)
        except BaseException:
            self.close()
            raise

    async def add(self, answered: Answered) -> None:
        """Keep an answer."""
        await self._file.keep(asdict(answered))

    def drop(self, example: str) -> None:
        """Keep that an example is left out."""
        self._file.append({"dropped": example})
        self.dropped.add(example)

    def probe(self, usage: Usage) -> None:
        """Keep what requests took that belong to no cell."""
        self._file.append({"probe": asdict(usage)})

    def close(self) -> None:
        self._file.close()

    def _take(self, number: int, row: dict[str, Any]) -> None:
        try:
            if "dropped" in row:
                self.dropped.add(str(row["dropped"]))
            elif "probe" in row:
                self.probes.append(Usage(**row["probe"]))
            else:
                self.answers.append(Answered(**{**row, "usage": Usage(**row["usage"])}))
        except (TypeError, KeyError):
            raise self._file.bad(number) from None
