"""Table 1: accuracy over prompts by method, what PAFT gains, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from paft.experiments import paper
from paft.experiments.records import UNSEEN, Record, same_cells
from paft.experiments.summary import over_seeds
from paft.report.comparison import Comparison
from paft.report.sheet import NONE, Better, Column, Row, Sheet, emphasised, percent, row
from paft.report.tables import number_cells, number_columns
from paft.report.verdict import PAFT, compared, points, shared_seeds, signed, unequal_seeds

INTERVALS = (
    "Intervals hold 95% of 2,000 bootstrap draws of prompts, examples and, from three on, seeds; both methods meet the "
    "same draws."
)
PROMPTS = {UNSEEN: "unseen prompts", "hostile": "hostile prompts", "train": "training prompts"}
SHORT = ("mean", "std", "top")
KEYS = ("mean", "std", "std_corrected", "min", "q05")


def accuracy_sheets(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 1 of all tasks; for each task its own with all columns, the paired differences, and the other sweeps."""
    several = len(tasks) > 1
    sheets = [task_averages(comparison, tasks)] if several else []
    for task in tasks:
        for sweep in sweeps_of(comparison, task):
            name = "table-1" + (f"-{slug(sweep)}" if sweep != UNSEEN else "") + (f"-{slug(task)}" if several else "")
            sheets.append(accuracy(comparison, task, sweep, name))
            sheets += differences(comparison, task, sweep, name)
    return sheets


def accuracy(comparison: Comparison, task: str, sweep: str = UNSEEN, name: str = "table-1") -> Sheet:
    """Every method of a task: numbers over prompts, each averaged over seeds, and what PAFT gains on the best other."""
    groups = groups_with(comparison, task, sweep)
    numbers = {method: over_seeds(group, sweep) for method, group in groups.items()}
    columns = [Column("method"), Column("seeds"), *number_columns(numbers)]
    rows = [row([method, str(len(groups[method])), *number_cells(n)]) for method, n in numbers.items()]
    rows = emphasised(columns, rows)
    others = [method for method in groups if method != PAFT] if PAFT in groups else []
    rows += _improvement(columns, [_gains(groups[PAFT], groups[other], sweep) for other in others], NONE)
    rows += _paper_rows(task) if sweep == UNSEEN else []
    measured = next(iter(groups.values()))[0].sweeps[sweep]
    size = f"{len(measured.prompt_ids)} {PROMPTS.get(sweep, sweep)} x {len(measured.example_ids)} examples"
    title = f"Table 1. Accuracy in % over {size} ({measured.split} of {task})"
    return Sheet(name, title, columns, rows, _notes(rows) + unequal_seeds(groups))


def differences(comparison: Comparison, task: str, sweep: str = UNSEEN, name: str = "table-1") -> list[Sheet]:
    """PAFT minus each other method, paired; no table where PAFT or all others are missing."""
    groups = groups_with(comparison, task, sweep)
    others = [method for method in groups if method != PAFT]
    if PAFT not in groups or not others:
        return []
    heads = ("mean (95% interval)", "std (95% interval)", "seeds", "higher mean", "lower std")
    columns = [Column("paft minus"), *map(Column, heads)]
    rows = []
    for d in (compared(PAFT, other, groups, sweep) for other in others):
        lower = NONE if d.lower is None else f"{d.lower} of {d.seeds}"
        rows.append(row([d.other, points(d.mean), points(d.std), str(d.seeds), f"{d.higher} of {d.seeds}", lower]))
    one = [] if len(groups[PAFT]) > 1 else ["One seed: no interval over seeds."]
    title = f"PAFT minus each method, in points, over {PROMPTS.get(sweep, sweep)} of {task}"
    return [Sheet(f"{name}-differences", title, columns, rows, [INTERVALS, *one])]


def task_averages(comparison: Comparison, tasks: Sequence[str], name: str = "table-1") -> Sheet:
    """Several tasks side by side as in the paper, with a block of averages over tasks."""
    groups = {task: comparison.methods(task) for task in tasks}
    methods = list(dict.fromkeys(method for group in groups.values() for method in group))
    blocks = [*tasks, "average"]
    better: dict[str, Better] = {"mean": "more", "std": "less", "top": "more"}
    columns = [Column("method"), *(Column(k, block, better[k]) for block in blocks for k in SHORT)]
    numbers = {m: [over_seeds(group[m]) if m in group else None for group in groups.values()] for m in methods}
    rows = [row([m, *map(percent, _short(_values(n) for n in found))]) for m, found in numbers.items()]
    gains = [
        _short(_gains(group[PAFT], group[m]) if {m, PAFT} <= group.keys() else None for group in groups.values())
        for m in methods
        if m != PAFT
    ]
    rows = emphasised(columns, rows) + _improvement(columns, gains, None) + _paper_wide(tasks)
    limits = [f"{100 * _threshold(group):g} ({task})" for task, group in groups.items()]
    notes = [f"Top is the share of prompts with an accuracy of at least so many %: {', '.join(limits)}."]
    notes += ["The average of a method is over all tasks, and is left out where it has no record of one."]
    return Sheet(name, "Table 1. Accuracy in % over unseen prompts", columns, rows, [*notes, *_quoted(rows)])


def groups_with(comparison: Comparison, task: str, sweep: str) -> dict[str, list[Record]]:
    """Method -> its records that have the sweep.

    Raises:
        DataError: records that met other prompts or examples in it.
    """
    found = {m: [r for r in group if sweep in r.sweeps] for m, group in comparison.methods(task).items()}
    same_cells([r for group in found.values() for r in group], sweep)
    return {method: group for method, group in found.items() if group}


def sweeps_of(comparison: Comparison, task: str) -> list[str]:
    """The sweeps that records of a task have, unseen prompts first."""
    names = {name for group in comparison.methods(task).values() for r in group for name in r.sweeps}
    return sorted(names, key=lambda name: (name != UNSEEN, name))


def slug(text: str) -> str:
    """A name that is safe in the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or "task"


def paper_number(value: float) -> str:
    """A figure of the paper with its two decimals."""
    return f"{value:.2f}"


def _values(numbers: Mapping[str, Any] | None) -> list[float | None]:
    """The columns of Table 1: ``KEYS`` and Top."""
    return [None] * (len(KEYS) + 1) if numbers is None else [*(numbers[key] for key in KEYS), numbers["top"]["share"]]


def _gains(own: Sequence[Record], other: Sequence[Record], sweep: str = UNSEEN) -> list[float | None]:
    """What each column differs by, on the seeds that both have."""
    pair = shared_seeds(own, other)
    a, b = (_values(over_seeds(records, sweep) if records else None) for records in pair)
    return [None if x is None or y is None else x - y for x, y in zip(a, b, strict=True)]


def _short(per_task: Iterable[Sequence[float | None] | None]) -> list[float | None]:
    """mean, std, Top of each task, and their averages."""
    picked = [[None] * 3 if values is None else [values[0], values[1], values[-1]] for values in per_task]
    averages: list[float | None] = []
    for values in zip(*picked, strict=True):
        known = [value for value in values if value is not None]
        averages.append(float(np.mean(known)) if len(known) == len(values) else None)
    return [value for each in picked for value in each] + averages


def _improvement(columns: Sequence[Column], gains: Sequence[Sequence[float | None]], seeds: str | None) -> list[Row]:
    """PAFT minus the best other method, column by column, from what it differs from each by; none without others."""
    if not gains:
        return []
    cells = []
    for place, column in enumerate(c for c in columns if c.better is not None):
        known = [gain for each in gains if (gain := each[place]) is not None]
        cells.append(signed((min if column.better == "more" else max)(known)) if known else NONE)
    if all(cell == NONE for cell in cells):
        return []
    return [row(["paft − best other", *([] if seeds is None else [seeds]), *cells], "sum")]


def _paper_rows(task: str) -> list[Row]:
    """The paper's figures for the same task, where it has it."""
    name = paper.paper_task(task)
    if name not in paper.TASKS:
        return []
    rows = []
    for method, by_task in paper.ACCURACY.items():
        s = by_task[name]
        texts = [paper_number(s.mean), paper_number(s.std), NONE, NONE, NONE, f"{s.top:g}"]
        rows.append(row([f"paper: {method}", NONE, *texts], "paper"))
    return rows


def _paper_wide(tasks: Sequence[str]) -> list[Row]:
    """The paper's figures for the tasks that it has; its averages where the tasks are just the paper's five."""
    names = [paper.paper_task(task) for task in tasks]
    if not set(names) & set(paper.TASKS):
        return []
    blocks: list[str | None] = [*names, paper.AVERAGE if set(names) == set(paper.TASKS) else None]
    rows = []
    for method, by_task in paper.ACCURACY.items():
        scores = [by_task.get(name) if name else None for name in blocks]
        texts = [[NONE] * 3 if s is None else [paper_number(s.mean), paper_number(s.std), f"{s.top:g}"] for s in scores]
        rows.append(row([f"paper: {method}", *(text for each in texts for text in each)], "paper"))
    return rows


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [
        "Mean, std, min and 5% quantile are over prompts, each averaged over seeds; std corrected leaves out the noise "
        "of finitely many examples; top is the share of prompts that reach the threshold."
    ]
    return notes + _quoted(rows)


def _quoted(rows: Sequence[Row]) -> list[str]:
    quoted = any(r.kind == "paper" for r in rows)
    return [f"Rows marked paper are quoted from {paper.SOURCE}, Table 1 ({paper.MODEL})."] if quoted else []


def _threshold(group: Mapping[str, Sequence[Record]]) -> float:
    return float(next(iter(group.values()))[0].unseen.numbers["top"]["threshold"])
