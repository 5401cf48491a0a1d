"""The day that a chat template takes for today: settled once, and kept by the folder of the work."""

from __future__ import annotations

import os
from pathlib import Path

from paft.errors import PaftError
from paft.evaluation.cells import IDENTITY_FILE, refuse_other_work
from paft.files import read_json
from paft.models import Encoder, ModelSource
from paft.models.chat_date import read_day
from paft.processes import current


def settled_date(
    asked: str | None,
    source: ModelSource | None,
    output: str | os.PathLike[str] | None = None,
    record: str = IDENTITY_FILE,
    what: str = "sweep",
) -> str:
    """The day asked for, else the one that ``output`` was begun with, else that of the model's run, else today.

    Args:
        record: the file of ``output`` that says what it is of; ``what`` is how messages call the work.

    Raises:
        InputError: no such day.
        OutputError: ``output`` was begun with another day than the one asked for.
    """
    kept = None if output is None else _kept(Path(output) / record)
    if asked is not None:
        day = read_day(asked).isoformat()
        if output is not None and kept is not None:
            refuse_other_work(output, {"date": day}, record, what)
        return day
    return read_day(kept or (None if source is None else source.date())).isoformat()


def agreed_date(asked: str | None, source: ModelSource | None, output: str | os.PathLike[str] | None) -> str:
    """``settled_date`` of the process that leads, for all that sweep together: others need not see its files."""
    team = current()
    if team.world == 1:
        return settled_date(asked, source, output)
    key = f"date/{team.next_round()}"
    if team.first:
        team.put(key, settled_date(asked, source, output).encode())
    return team.take(key).decode()


def dated(encoder: Encoder) -> dict[str, str]:
    """The day as identities and records hold it: nothing where the chat template does not depend on it."""
    return {} if encoder.date is None else {"date": encoder.date}


def _kept(path: Path) -> str | None:
    """The day in a record; None where there is none, or no record that can be read: that is told elsewhere."""
    try:
        found = read_json(path)
    except (PaftError, OSError):
        return None
    day = found.get("date") if isinstance(found, dict) else None
    return day if isinstance(day, str) else None
