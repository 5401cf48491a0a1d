"""``compare``: the cells of one or more grids, each done once, by as many processes as share the folder."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from paft.errors import InputError, PaftError
from paft.experiments.bases import settle_bases
from paft.experiments.costs import Costs
from paft.experiments.dating import date_grids
from paft.experiments.folder import POLL_SECONDS, Folder
from paft.experiments.grid import Grid, GridCell
from paft.experiments.methods import add_sweeps, run_cell, wanted
from paft.experiments.preflight import check_grid
from paft.experiments.records import Record
from paft.models import pick_device
from paft.training.records import environment

Job = tuple[Grid, GridCell]


@dataclass(frozen=True)
class Event:
    """Something that happened in a comparison.

    Attributes:
        kind: ``begin`` (of the comparison), ``start``, ``done`` or ``failed`` (of a cell), or ``wait``: all that is
            left is in the hands of other processes.
        done, total: cells finished by anyone, and all.
        seconds_left: an estimate of the work left, done one after another; None where nothing is known.
        error: why the cell failed, in one line.
    """

    kind: Literal["begin", "start", "done", "failed", "wait"]
    done: int
    total: int
    seconds_left: float | None = None
    task: str = ""
    cell: GridCell | None = None
    record: Record | None = None
    error: str = ""


@dataclass(frozen=True)
class Compared:
    """What a comparison came to.

    Attributes:
        records: of every cell that is done.
        failures: ``TASK CELL`` -> why it failed.
    """

    output: Path
    records: Sequence[Record]
    failures: Mapping[str, str] = field(default_factory=dict)


def compare(
    grids: Grid | Sequence[Grid],
    output: str | os.PathLike[str],
    *,
    progress: bool = True,
    watch: Callable[[Event], None] = lambda event: None,
    about: Mapping[str, Any] | None = None,
    date: str | None = None,
) -> Compared:
    """Run every cell of the grids that has no record yet, and keep a record of each.

    Several processes may share ``output``: each takes cells that nobody holds, and waits at the end for those that
    others are busy with. A cell that fails is told and the rest go on; a failed cell is tried again by the next call.

    Args:
        grids: one for each task.
        output: the folder; one that holds cells of the same settings is continued, and may be given more.
        progress: bars for training and sweeping where stderr is a terminal.
        watch: told what happens.
        about: what ``compare.json`` says beside the environment, such as the call.
        date: what a chat template takes for today, such as ``2025-03-01``; by default the day that ``output`` was begun
            with, else today.

    Raises:
        InputError, TemplateError, ModelError: a grid that cannot work, such as two for one task.
        OutputError: the folder holds other work.
    """
    grids = [grids] if isinstance(grids, Grid) else list(grids)
    folder = Folder(output)
    grids, day = date_grids(grids, folder, date)
    jobs, done, costs = _prepared(grids, folder)
    bases = folder.bases()
    if len(done) < len(jobs) or any(Path(grid.model).is_dir() for grid in grids):  # else nothing is run with them
        bases = settle_bases(grids, bases, folder.root)
    dated = {} if day is None else {"date": day}
    folder.claim({"environment": _environment(grids), "bases": bases, **dated, **(about or {})})
    for grid in grids:
        folder.write_texts(grid)
    run = _Run(folder, jobs, costs, progress, watch)
    run.work(done)
    return Compared(Path(output), list(run.records.values()), run.failures)


def plan(
    grids: Sequence[Grid], output: str | os.PathLike[str], date: str | None = None
) -> list[tuple[str, bool, float | None]]:
    """``(TASK CELL, whether it is done, seconds it will take)`` for every cell; nothing is written."""
    folder = Folder(output)
    jobs, done, costs = _prepared(date_grids(grids, folder, date)[0], folder)
    return [(_name(job), _name(job) in done, costs.seconds([job])) for job in jobs]


def _prepared(grids: Sequence[Grid], folder: Folder) -> tuple[list[Job], dict[str, Record], Costs]:
    """The cells, the records of those that are done, and what the rest will take; nothing is written."""
    names = [grid.task.name for grid in grids]
    if len(set(names)) < len(names):
        raise InputError(f"two grids for one task: {', '.join(names)}; give the tasks names of their own")
    for grid in grids:
        check_grid(grid)
    jobs = [(grid, cell) for grid in grids for cell in grid.cells]
    folder.refuse_strangers()
    done = {_name(job): record for job in jobs if (record := folder.record(*job)) is not None}
    costs = Costs(grids, done.values())
    for grid in grids:
        if not costs.knows(grid):
            costs.try_out(grid)
    return jobs, done, costs


class _Run:
    """One process at work on the cells of a folder."""

    def __init__(
        self, folder: Folder, jobs: Sequence[Job], costs: Costs, progress: bool, watch: Callable[[Event], None]
    ) -> None:
        self.folder, self.jobs, self.costs, self.progress, self.watch = folder, jobs, costs, progress, watch
        self.records: dict[str, Record] = {}
        self.failures: dict[str, str] = {}
        self.failed_before = {_name(job): folder.failed_when(*job) for job in jobs}

    def work(self, done: Mapping[str, Record]) -> None:
        """Go through the cells until each has a record or has failed."""
        whole = {_name(job): set(wanted(*job)) for job in self.jobs}
        self.records = {name: record for name, record in done.items() if whole[name] <= set(record.sweeps)}
        self._tell("begin")
        while left := self._left():
            if not any(self._take(job) for job in left):
                self._tell("wait")
                time.sleep(POLL_SECONDS)

    def _take(self, job: Job) -> bool:
        """Do a cell, or see how another process has fared with it; False where one is busy with it."""
        with self.folder.holding(*job) as mine:
            if not mine:
                return False
            record, name = self.folder.record(*job), _name(job)  # another process may have finished it since
            if record is not None and set(wanted(*job)) <= set(record.sweeps):
                self.records[name] = record
            elif self.folder.failed_when(*job) not in (None, self.failed_before[name]):  # or have failed at it
                self.failures[name] = self.folder.failure(*job) or ""
            else:
                self._do(job, record)
        return True

    def _do(self, job: Job, record: Record | None) -> None:
        grid, cell = job
        places = self.folder.places(grid, cell)
        self._tell("start", job)
        try:
            if record is None:
                with self.folder.holding_selection(grid, cell):
                    record = run_cell(grid, cell, places, self.progress)
            else:
                record = add_sweeps(grid, cell, record, places.cell, self.progress)
        except Exception as bad:
            self._fail(job, bad)
            return
        self.folder.save(grid, cell, record)
        self.costs.learn(record)
        self.records[_name(job)] = record
        self._tell("done", job, record)

    def _fail(self, job: Job, bad: Exception) -> None:
        known = isinstance(bad, PaftError)
        text = str(bad) if known else f"{type(bad).__name__}: {bad}"
        whole = text if known else f"{text}\n{''.join(traceback.format_exception(bad))}"
        self.failures[_name(job)] = text
        self.folder.save_failure(*job, whole)
        self._tell("failed", job, error=" ".join(text.split()))

    def _left(self) -> list[Job]:
        return [job for job in self.jobs if _name(job) not in {*self.records, *self.failures}]

    def _tell(self, kind: Any, job: Job | None = None, record: Record | None = None, error: str = "") -> None:
        self.watch(
            Event(
                kind,
                done=len(self.records),
                total=len(self.jobs),
                seconds_left=self.costs.seconds(self._left()),
                task=job[0].task.name if job else "",
                cell=job[1] if job else None,
                record=record,
                error=error,
            )
        )


def _name(job: Job) -> str:
    return f"{job[0].task.name} {job[1].name}"


def _environment(grids: Sequence[Grid]) -> dict[str, str]:
    """Where the cells are run: versions, device and threads."""
    device = pick_device(str(grids[0].train.get("device", "auto"))) if grids else pick_device("auto")
    found = environment(device)
    del found["command"]  # compare.json has it already
    packages = found.pop("packages")
    plain = {**found, "threads": torch.get_num_threads(), **packages}
    return {name: str(value) for name, value in plain.items() if value is not None}
