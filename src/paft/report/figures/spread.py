"""Figures 3 to 5: how the accuracy of each method spreads over prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from paft.experiments.records import UNSEEN, Record
from paft.experiments.summary import over_seeds
from paft.report.comparison import Comparison
from paft.report.figures.words import label
from paft.report.plots import Row, colour, rows_figure
from paft.report.sweeps import with_sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KNOWN = {UNSEEN: "unseen prompt", "hostile": "hostile prompt", "train": "training prompt"}
SHOWN = 2  # rows that make a comparison
MEANING = (
    "A point is a prompt, its accuracy the mean over seeds; "
    "the curve holds every prompt of every seed, all curves at one height."
)
NUMBERS = "Bar: mean. Numbers are means over seeds."


def spread_figure(
    comparison: Comparison,
    task: str,
    methods: Sequence[str] | None = None,
    sweep: str = UNSEEN,
    needs: Sequence[str] = (),
) -> Figure | None:
    """Accuracy over the prompts of a sweep, a row for each method; Figures 4 and 5 of arXiv 2502.12859.

    Args:
        methods: which, in this order; all by default.
        needs: draw only where one of these is there.
    """
    found = with_sweep(comparison, task, sweep)
    chosen = {name: found[name] for name in methods or found if name in found}
    if len(chosen) < SHOWN or (needs and not set(needs) & set(chosen)):
        return None
    rows = [_row(name, group, sweep, _seeds(group), place) for place, (name, group) in enumerate(chosen.items())]
    title = f"{label(task)}: accuracy under each {KNOWN.get(sweep, label(sweep) + ' prompt')}"
    return rows_figure(rows, title, _note(next(iter(chosen.values()))[0], sweep))


def training_figure(comparison: Comparison, task: str) -> Figure | None:
    """``base`` and ``user`` over the training prompts and over the unseen ones; Figure 3 of arXiv 2502.12859."""
    rows = []
    for sweep in ("train", UNSEEN):
        for name, group in with_sweep(comparison, task, sweep).items():
            if name in ("base", "user"):
                count = len(group[0].sweeps[sweep].prompt_ids)
                detail = f"{count} {'training' if sweep == 'train' else 'unseen'} prompts"
                rows.append(_row(name, group, sweep, detail))
    if not any("training" in row.detail for row in rows):
        return None
    rows.sort(key=lambda row: row.name)
    title = f"{label(task)}: base and user under training prompts and unseen ones"
    examples = {len(r.sweeps[s].example_ids) for r in comparison.records if r.task == task for s in r.sweeps}
    tail = f"{examples.pop()} examples a prompt. " if len(examples) == 1 else ""
    return rows_figure(rows, title, f"{MEANING} {tail}{NUMBERS}")


def _note(record: Record, sweep: str) -> str:
    measured = record.sweeps[sweep]
    size = f"{len(measured.prompt_ids)} prompts x {len(measured.example_ids)} {label(measured.split)} examples."
    top = f"Top: share of prompts at or above {100 * measured.numbers['top']['threshold']:g}%."
    return f"{size} {MEANING} {NUMBERS} {top}"


def _row(name: str, group: Sequence[Record], sweep: str, detail: str, place: int = 0) -> Row:
    numbers = over_seeds(group, sweep)
    beside = {key: numbers[key] for key in ("mean", "std", "min")} | {"top": numbers["top"]["share"]}
    every = np.concatenate([record.sweeps[sweep].correct_pn.mean(axis=1) for record in group])
    points = list(numbers["per_prompt"].values())
    return Row(label(name, 20), points, beside, colour(name, place), detail, every.tolist())


def _seeds(group: Sequence[Record]) -> str:
    if all(record.training is None for record in group):
        return "not trained"
    return "1 seed" if len(group) == 1 else f"{len(group)} seeds"
