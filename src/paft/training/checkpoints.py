"""Checkpoints that are known to be whole.

Trainer takes the checkpoint with the highest number, even one that a kill left half written. Here a
checkpoint counts only once a marker that lists its files and sizes has been written, last of all.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paft.errors import DataError, InputError, PaftError
from paft.files import read_json, write_json

MARKER = "paft_complete.json"


@dataclass(frozen=True)
class Progress:
    """What a checkpoint holds beside Trainer's own state.

    Attributes:
        step: optimiser steps done.
        stopped: training was over at this step.
        window_loss: sum of the step losses since the last log line.
        window_start: the step of that line.
        seconds: time trained so far.
        dropped: rows left out as too long.
        processor_seconds, tokens: what all processes spent so far; 0 in checkpoints of before they were counted.
        schedule: what the schedule has learnt, see :class:`paft.schedule.StatefulSchedule`; None where it does not say.
    """

    step: int
    stopped: bool
    window_loss: float
    window_start: int
    seconds: float
    dropped: int
    processor_seconds: float = 0.0
    tokens: int = 0
    schedule: dict[str, Any] | None = None


def seal(folder: Path, progress: Progress) -> None:
    """Write the marker, after everything else has reached the disk."""
    sizes = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as written:
            os.fsync(written.fileno())
        sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    _sync_folder(folder)
    record = {k: v for k, v in asdict(progress).items() if k != "schedule" or v is not None}
    write_json(folder / MARKER, {"format_version": 1, "progress": record, "files": sizes})
    _sync_folder(folder)
    _sync_folder(folder.parent)


def read_progress(folder: Path) -> Progress | None:
    """The progress of a complete checkpoint; None where it is not complete."""
    try:
        marker = read_json(folder / MARKER)
        sizes, progress = marker["files"], Progress(**marker["progress"])
    except (PaftError, KeyError, TypeError):
        return None
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return None
    return progress


def checkpoints(run: Path) -> list[Path]:
    """All checkpoint folders of a run, complete or not, by rising step."""
    found = [p for p in run.glob("checkpoint-*") if p.is_dir() and re.fullmatch(r"checkpoint-\d+", p.name)]
    return sorted(found, key=_step)


def newest_complete(run: Path) -> Path | None:
    """The complete checkpoint with the most steps."""
    return next((p for p in reversed(checkpoints(run)) if read_progress(p) is not None), None)


def choose(run: Path, resume: str | os.PathLike[str] | bool | None) -> tuple[Path | None, Progress | None]:
    """The checkpoint to go on from, and its progress.

    Args:
        resume: a checkpoint; False chooses none, anything else the newest complete one.

    Raises:
        DataError: the checkpoint is not complete.
        InputError: it holds no state of the optimiser, and training is not over there.
    """
    checkpoint = None if resume is False else newest_complete(run)
    if isinstance(resume, str | os.PathLike):
        checkpoint = Path(resume)
        require_complete(checkpoint)
    progress = read_progress(checkpoint) if checkpoint else None
    if checkpoint and progress and not progress.stopped:
        require_optimizer(checkpoint)
    return checkpoint, progress


def clear(run: Path, after: int) -> None:
    """Remove half-written checkpoints and those beyond step ``after``, which the run goes on from."""
    for folder in checkpoints(run):
        if _step(folder) > after or read_progress(folder) is None:
            remove(folder)


def rotate(run: Path, limit: int | None, best: str | None) -> None:
    """Remove the oldest checkpoints beyond ``limit``, but never the newest nor the best."""
    if not limit or limit < 1:
        return
    folders = checkpoints(run)
    kept = {folders[-1].name, Path(best).name if best else folders[-1].name} if folders else set()
    spare = [p for p in folders if p.name not in kept]
    for folder in spare[: max(0, len(folders) - max(limit, len(kept)))]:
        remove(folder)


def remove(folder: Path) -> None:
    """Delete a checkpoint; the marker goes first, so that a kill in between leaves none that looks whole."""
    (folder / MARKER).unlink(missing_ok=True)
    shutil.rmtree(folder)


def require_complete(folder: Path) -> None:
    """Raise DataError unless ``folder`` is a complete checkpoint."""
    if read_progress(folder) is None:
        raise DataError(f"{folder} is not a complete checkpoint: {MARKER} is missing or does not match the files")


def require_optimizer(folder: Path) -> None:
    """Raise InputError where ``folder`` holds no state of the optimiser: what goes on from there is another run."""
    if not any(path.name.startswith(("optimizer", "global_step")) for path in folder.iterdir()):
        raise InputError(
            f"{folder} was saved with --save-only-model: without the optimiser's state the run cannot go on from it\n"
            "start anew in another folder"
        )


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
