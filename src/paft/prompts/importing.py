"""Import prompt files of other kinds: mend what is safe to mend, and say all that was done."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from paft.errors import DataError, TemplateError
from paft.prompts.prompt import KEYS, Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.tables import READERS, Row
from paft.prompts.template import Template

Action = Literal["mended", "empty", "duplicate", "skipped", "note"]
_SAID = {
    "mended": "had a two-character \\n, now a line break",
    "empty": "held no text and were left out",
    "duplicate": "repeated an earlier text and were left out",
    "skipped": "could not be read and were skipped",
}


class Change(NamedTuple):
    """One thing the import did: ``position`` is the line of the file, or the row of the sheet."""

    position: int
    action: Action
    message: str


@dataclass
class ImportReport:
    """What an import read, kept and changed.

    Attributes:
        path: the file.
        read: rows in it, the header aside.
        kept: prompts that came out.
        changes: everything that was done, in file order.
    """

    path: Path
    read: int = 0
    kept: int = 0
    changes: list[Change] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each action met."""
        return dict(Counter(change.action for change in self.changes))

    def lines(self) -> list[str]:
        """The report for people: one line per kind of change, with positions."""
        said = [f"{self.path}: {self.read} rows read, {self.kept} prompts kept"]
        said += [change.message for change in self.changes if change.action == "note"]
        for action, what in _SAID.items():
            positions = [change.position for change in self.changes if change.action == action]
            if positions:
                shown = ", ".join(map(str, positions[:10])) + (", …" if len(positions) > 10 else "")
                said.append(f"{len(positions)} rows {what} (row {shown})")
        return said


def import_prompts(path: str | os.PathLike[str], skip_bad: bool = False) -> tuple[PromptSet, ImportReport]:
    """Read a ``.txt``, ``.csv``, ``.xlsx``, ``.yaml`` or ``.jsonl`` file as a prompt set.

    The template stands in the column or key ``text``, or in the only one. ``id``, ``split`` and ``group``
    keep their meaning; every other column goes into ``source`` under its own name. A ``.txt`` file holds one
    template per paragraph where it has blank lines between them, else one per line. A two-character ``\\n``
    becomes a line break; rows without text and exact duplicates (after that) are left out and reported.

    Args:
        skip_bad: leave out rows that cannot be read or parsed, and report them, rather than refuse the file.

    Raises:
        MissingFileError: no such file.
        DataError: another kind of file, a file that is not what its name says, no ``text`` column, a repeated
            id, no prompts, or (without ``skip_bad``) rows that cannot be used; names file and row.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: cannot import {path.suffix or 'a file without a suffix'}; expected {' '.join(READERS)}"
        )
    report = ImportReport(path)
    seen = _Seen(report)
    for row in reader(path, lambda position, message: report.changes.append(Change(position, "note", message))):
        report.read += 1
        seen.add(row)
    _refuse_bad(report, skip_bad)
    if not seen.prompts:
        raise DataError(f"{path}: no prompts in it; expected one template per row")
    report.kept = len(seen.prompts)
    return PromptSet(seen.prompts), report


class _Seen:
    """Prompts kept so far, and where each text and id stood."""

    def __init__(self, report: ImportReport) -> None:
        self.report = report
        self.prompts: list[Prompt] = []
        self.texts: dict[Template, int] = {}
        self.ids: dict[str, int] = {}

    def add(self, row: Row) -> None:
        """Keep the row's prompt, or say why not."""
        text, mended = _mend(row.fields.get("text"))
        if row.problem is None and (text is None or (isinstance(text, str) and not text.strip())):
            return self._say(row, "empty", "no text")
        try:
            if row.problem is not None:
                raise DataError(row.problem)
            prompt = Prompt.from_row({**_known_fields(row.fields, self.report.path), "text": text})
        except (DataError, TemplateError) as bad:
            return self._say(row, "skipped", str(bad))
        if prompt.template in self.texts:
            return self._say(row, "duplicate", f"the same text as row {self.texts[prompt.template]}")
        if prompt.id in self.ids:
            first = self.ids[prompt.id]
            return self._say(row, "skipped", f"id {prompt.id!r} already stands in row {first}; ids must be distinct")
        if mended:
            self._say(row, "mended", "two-character \\n became a line break")
        self.texts[prompt.template] = self.ids[prompt.id] = row.position
        self.prompts.append(prompt)

    def _say(self, row: Row, action: Action, message: str) -> None:
        self.report.changes.append(Change(row.position, action, message))


def _mend(text: Any) -> tuple[Any, bool]:
    """The text, or list of messages, with two-character line breaks made real; and whether there were any."""
    if isinstance(text, str):
        mended = text.replace("\\r\\n", "\n").replace("\\n", "\n")
        return mended, mended != text
    if isinstance(text, list):
        turns = [
            {**turn, "content": _mend(turn["content"])[0]} if isinstance(turn, Mapping) and "content" in turn else turn
            for turn in text
        ]
        return turns, turns != text
    return text, False


def _known_fields(fields: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The fields as a prompt has them; columns it does not know go into its source."""
    source = _object(fields.get("source"))
    facts: dict[str, Any] = {"kind": "import", "file": path.name}
    if isinstance(source, Mapping):
        facts = dict(source)
    elif source is not None:
        facts["name"] = str(source)
    facts |= {key: value for key, value in fields.items() if key not in KEYS}
    kept = {key: str(fields[key]) for key in ("id", "split", "group") if fields.get(key) not in (None, "")}
    return {**kept, "source": {str(key): _plain(value) for key, value in facts.items()}}


def _object(source: Any) -> Any:
    """A source as it is; a cell that holds a JSON object, as an export writes it, as that object."""
    if isinstance(source, str) and source.lstrip().startswith("{"):
        try:
            return json.loads(source)
        except ValueError:
            return source
    return source


def _plain(value: Any) -> Any:
    """A value as JSON can hold it; dates, NaN and the like become text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value


def _refuse_bad(report: ImportReport, skip_bad: bool) -> None:
    bad = [change for change in report.changes if change.action == "skipped"]
    if not bad or skip_bad:
        return
    first = "; ".join(f"row {change.position}: {change.message}" for change in bad[:2])
    more = f"; and {len(bad) - 2} more" if len(bad) > 2 else ""
    raise DataError(f"{report.path}: {len(bad)} of {report.read} rows cannot be used: {first}{more}\nmend or skip them")
