"""One cell of a grid: choose a prompt where the method chooses one, train where it trains, sweep, keep a record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.evaluation import sweep
from paft.experiments.grid import Grid, GridCell
from paft.experiments.records import UNSEEN, Measured, Record
from paft.experiments.select import SELECTION, Selected, select_prompt
from paft.experiments.selectors import SELECTORS
from paft.prompts import PromptSet
from paft.training import train

Say = Callable[[str], None]


@dataclass(frozen=True)
class Places:
    """Where a cell works.

    Attributes:
        cell: folder for its run and sweeps.
        selection: folder for the choice of its prompt, which cells may share.
    """

    cell: Path
    selection: Path


def run_cell(grid: Grid, cell: GridCell, places: Places, progress: bool = True, say: Say = lambda text: None) -> Record:
    """Train and sweep one cell; what is in its folders already is not done again.

    Args:
        say: told the steps of a selection.

    Raises:
        PaftError: whatever training, selection and sweeping refuse.
    """
    model, training, chosen = grid.model, None, None
    if cell.method in SELECTORS:
        chosen = _select(grid, cell, places.selection, progress, say)
    if cell.method != "base":
        training = _train(grid, cell, places, chosen is not None, progress)
        model = str(places.cell / "run")
    return Record(
        task=grid.task.name,
        model=grid.model,
        method=cell.method,
        seed=cell.seed,
        variant=cell.variant,
        settings=grid.settings(cell),
        sweeps={
            name: _sweep(grid, cell, model, name, p, places.cell, progress) for name, p in wanted(grid, cell).items()
        },
        training=training,
        selection=None if chosen is None else _facts(chosen),
    )


def wanted(grid: Grid, cell: GridCell) -> dict[str, PromptSet]:
    """The prompts that a cell is measured with, by the name of the sweep; variants meet the unseen ones alone."""
    prompts = {UNSEEN: grid.unseen}
    if not cell.variant:
        prompts |= {n: s.prompts for n, s in grid.sweeps.items() if not s.methods or cell.method in s.methods}
    return prompts


def add_sweeps(grid: Grid, cell: GridCell, record: Record, folder: Path, progress: bool = True) -> Record:
    """A record with the sweeps that were asked for after it was made."""
    model = grid.model if cell.method == "base" else str(folder / "run")
    more = {
        name: _sweep(grid, cell, model, name, prompts, folder, progress)
        for name, prompts in wanted(grid, cell).items()
        if name not in record.sweeps
    }
    facts = {name: getattr(record, name) for name in Record.__dataclass_fields__ if name != "sweeps"}
    return Record(sweeps={**record.sweeps, **more}, **facts)


def _select(grid: Grid, cell: GridCell, folder: Path, progress: bool, say: Say) -> Selected:
    options = dict(grid.select.get(cell.method, {}))
    plain = {name: value for name, value in grid.sweep.items() if name not in ("top", "allow_overlap", "seed")}
    limit = grid.axes["limit"]
    chosen = {"limit": limit, "progress": progress, **plain, **options}
    return select_prompt(grid.model, grid.task, grid.prompts, cell.method, folder, seed=cell.seed, say=say, **chosen)


def _train(grid: Grid, cell: GridCell, places: Places, selected: bool, progress: bool) -> dict[str, Any]:
    prompts = grid.training_prompts(cell)
    single = selected or len(prompts) == 1
    varied = {name: value for name, value in cell.variant.items() if name != "train_prompts"}
    options: Mapping[str, Any] = {**grid.train, "limit": grid.axes["limit"], **varied}
    result = train(
        model=grid.model,
        task=grid.task,
        output=places.cell / "run",
        prompts=None if selected else prompts,
        method="user" if single else cell.method,
        selection=places.selection / SELECTION if selected else None,
        seed=cell.seed,
        say=lambda text: None,
        disable_tqdm=not (progress and sys.stderr.isatty()),
        **options,
    )
    axes = {**grid.axes, **cell.variant}
    return {
        "seconds": result.seconds,
        "steps": result.steps,
        "examples": axes["limit"],
        "epochs": axes["num_train_epochs"],
        "prompts": 1 if single else len(prompts),
        "final_loss": result.final_loss,
        "dropped": result.dropped,
        "processor_seconds": result.processor_seconds,
        "tokens": result.tokens,
    }


def _sweep(
    grid: Grid, cell: GridCell, model: str, name: str, prompts: PromptSet, folder: Path, progress: bool
) -> Measured:
    """One sweep in ``folder/sweep``, or ``folder/sweep-NAME`` for further prompts, where training ones are allowed."""
    options = {"allow_overlap": name != UNSEEN, **grid.sweep}
    place = folder / ("sweep" if name == UNSEEN else f"sweep-{name}")
    result = sweep(model, grid.task, prompts, grid.split, output=place, limit=grid.limit, progress=progress, **options)
    return Measured.of(result)


def _facts(chosen: Selected) -> dict[str, Any]:
    """What a record tells of a selection."""
    prompt = chosen.prompt
    counts = {name: getattr(chosen, name) for name in ("score", "queries", "calls", "seconds")}
    return {"prompt_id": prompt.id, "text": prompt.text, **counts}
