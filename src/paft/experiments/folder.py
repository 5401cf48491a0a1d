"""The folder of a comparison: where its records, texts and work stand, and who works on what."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paft.errors import OutputError
from paft.experiments.grid import Grid, GridCell
from paft.experiments.methods import Places
from paft.experiments.records import Record
from paft.experiments.selectors import SELECTORS
from paft.files import check_place, read_json, try_lock, write_json, write_jsonl
from paft.prompts import PromptSet

FORMAT_VERSION = 1
ABOUT = "compare.json"
POLL_SECONDS = 2.0


class Folder:
    """``OUT`` of ``paft compare``.

    ``records/TASK/CELL.json`` appears when a cell is done and says by being there that it is; ``failures/`` has the
    same for cells that failed. ``work/`` holds runs and sweeps, ``selections/`` chosen prompts, ``tasks/`` the texts
    that a report shows, ``locks/`` the files by which processes keep out of each other's cells.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def refuse_strangers(self) -> None:
        """Make sure that the folder is free or a comparison's.

        Raises:
            OutputError: it holds something else.
        """
        if not self.root.is_file():
            check_place(self.root)
        if (self.root / ABOUT).is_file() or (self.root / "records").is_dir() or not self.root.exists():
            return
        strangers = sorted(p.name for p in self.root.iterdir()) if self.root.is_dir() else [self.root.name]
        if set(strangers) - {"report"}:
            raise OutputError(f"{self.root} is not empty and holds no comparison; give another --output")

    def bases(self) -> dict[str, Any]:
        """What ``compare.json`` says of the models; nothing where there is none, or one of an earlier version."""
        path = self.root / ABOUT
        found = read_json(path) if path.is_file() else {}
        return dict(found.get("bases", {}))

    def claim(self, about: Mapping[str, Any]) -> None:
        """Write what is being compared."""
        write_json(self.root / ABOUT, {"format_version": FORMAT_VERSION, **about})

    def record_path(self, grid: Grid, cell: GridCell) -> Path:
        return self.root / "records" / grid.task.name / f"{cell.name}.json"

    def failure_path(self, grid: Grid, cell: GridCell) -> Path:
        return self.root / "failures" / grid.task.name / f"{cell.name}.json"

    def places(self, grid: Grid, cell: GridCell) -> Places:
        task = grid.task.name
        picked = self.root / "selections" / task / f"{cell.method}-seed{cell.seed}"
        return Places(self.root / "work" / task / cell.name, picked)

    def record(self, grid: Grid, cell: GridCell) -> Record | None:
        """The record of a cell that is done.

        Raises:
            OutputError: it is the record of other work.
        """
        path = self.record_path(grid, cell)
        if not path.is_file():
            return None
        record = Record.load(path)
        wanted = grid.settings(cell)
        for name in sorted({*wanted, *record.settings}):
            here, there = wanted.get(name), record.settings.get(name)
            if here != there:
                raise OutputError(
                    f"{path} is of other work: {name} is {there!r} there and {here!r} here\n"
                    "give another --output, or the same settings as before"
                )
        return record

    def save(self, grid: Grid, cell: GridCell, record: Record) -> None:
        """Keep a record; an earlier failure of its cell is forgotten."""
        record.save(self.record_path(grid, cell))
        self.failure_path(grid, cell).unlink(missing_ok=True)

    def save_failure(self, grid: Grid, cell: GridCell, error: str) -> None:
        """Keep why a cell failed."""
        facts = {"task": grid.task.name, "method": cell.method, "seed": cell.seed, "variant": dict(cell.variant)}
        write_json(self.failure_path(grid, cell), {**facts, "error": error})

    def failure(self, grid: Grid, cell: GridCell) -> str | None:
        """Why a cell failed, if it did."""
        path = self.failure_path(grid, cell)
        return str(read_json(path)["error"]) if path.is_file() else None

    def failed_when(self, grid: Grid, cell: GridCell) -> int | None:
        """When a cell failed, as the file system tells it; None where it did not."""
        path = self.failure_path(grid, cell)
        return path.stat().st_mtime_ns if path.is_file() else None

    @contextmanager
    def holding(self, grid: Grid, cell: GridCell) -> Iterator[bool]:
        """Keep other processes out of a cell; gives False where one is in already."""
        with self._locked(f"{grid.task.name}-{cell.name}") as mine:
            yield mine

    @contextmanager
    def holding_selection(self, grid: Grid, cell: GridCell) -> Iterator[None]:
        """Wait until no other process chooses the prompt of this cell, which several cells may share."""
        if cell.method not in SELECTORS:
            yield
            return
        while True:
            with self._locked(f"{grid.task.name}-selection-{cell.method}-seed{cell.seed}") as mine:
                if mine:
                    yield
                    return
            time.sleep(POLL_SECONDS)

    def write_texts(self, grid: Grid) -> None:
        """Write the task's facts, prompts and swept examples, which a report shows."""
        place, task = self.root / "tasks" / grid.task.name, grid.task
        facts = ("name", "type", "answers", "match", "top_threshold", "user_prompt", "description", "source")
        write_json(
            place / "task.json",
            {**{name: getattr(task, name) for name in facts}, "split": grid.split, "usage": grid.usage},
        )
        examples = task.examples(grid.split, grid.limit)
        rows = [
            {"id": e.id, "slots": dict(e.slots), "answer": e.answer, "gold": e.gold, "options": e.options}
            for e in examples
        ]
        write_jsonl(place / "examples.jsonl", rows)
        grid.prompts.save(place / "training.jsonl")
        sets = {"unseen": grid.unseen}
        sets |= {name: sweep.prompts for name, sweep in grid.sweeps.items()}
        if task.user_prompt:
            sets["user"] = PromptSet.from_texts([task.user_prompt])
        for name, prompts in sets.items():
            prompts.save(place / "prompts" / f"{name}.jsonl")

    @contextmanager
    def _locked(self, name: str) -> Iterator[bool]:
        path = self.root / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            yield try_lock(file)
