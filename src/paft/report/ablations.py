"""Table 3 and its kin: PAFT with other settings, from the records of variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paft.experiments import paper
from paft.experiments.axes import AXES, K, T, axis_label
from paft.experiments.records import Record
from paft.experiments.summary import over_seeds
from paft.report.accuracy import INTERVALS, paper_number, slug
from paft.report.comparison import Comparison
from paft.report.sheet import NONE, Column, Row, Sheet, emphasised, percent, row, spread
from paft.report.varied import Groups, Value, Varied, rank, varied
from paft.report.verdict import PAFT, compared, points


def ablation_sheets(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 3, and one table for every other setting that variants differ in; nothing where there are no variants."""
    found = {key for task in tasks for r in comparison.variants(task) for key in r.variant}
    sheets = k_and_t(comparison, tasks)
    for key in [*(key for key in AXES if key in found and key not in (K, T)), *sorted(found - set(AXES))]:
        for task in tasks:
            sets = varied(comparison, task, (key,))
            names = [
                f"ablation-{slug(key)}-{slug(task)}",
                *(f"ablation-{slug(key)}-{slug(task)}-{n}" for n in range(2, len(sets) + 1)),
            ]
            sheets += [one_setting(each, task, name) for each, name in zip(sets, names, strict=False)]
    for task in tasks:
        sheets += several_settings(comparison, task, f"ablation-other-{slug(task)}")
    return sheets


def k_and_t(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 3: mean and standard deviation over prompts of PAFT by K and T, averaged over seeds."""
    widest = {task: sets[0] for task in tasks if (sets := varied(comparison, task, (K, T), PAFT))}
    if not widest:
        return []
    tasks, groups = list(widest), {task: each.methods[PAFT] for task, each in widest.items()}
    values = sorted({value for task in tasks for value in groups[task]}, key=lambda v: (str(v[1]).zfill(9), v[0]))
    averaged = [*tasks, *(["average"] if len(tasks) > 1 else [])]
    columns = [Column("K and T"), Column("seeds"), *(Column(name, better="more") for name in averaged)]
    rows = [row(_k_and_t_cells(value, tasks, groups)) for value in values]
    rows = emphasised(columns, rows, second=False) + _paper_rows(tasks, len(averaged))
    notes = ["Mean (± standard deviation) over unseen prompts in %, averaged over seeds; the best mean is in bold."]
    notes += [f"{task}: all with {each.note}." for task, each in widest.items() if each.context]
    if any(r.kind == "paper" for r in rows):
        notes.append(f"Rows marked paper are quoted from {paper.SOURCE}, Table 3 ({paper.MODEL}).")
    return [Sheet("table-3", "Table 3. PAFT by K, examples per prompt, and T, epochs", columns, rows, notes)]


def one_setting(found: Varied, task: str, name: str) -> Sheet:
    """A task by one setting, for every method that has variants in it."""
    key, methods = found.keys[0], found.methods
    label = axis_label(key)
    columns = [Column(label)]
    for method in methods:
        group = method if len(methods) > 1 else ""
        columns += [Column("seeds", group), Column("mean", group, "more"), Column("std", group, "less")]
        columns += [Column("min", group, "more"), Column("minus own setting (95% interval)", group)]
    rows = []
    for value in sorted({value for groups in methods.values() for value in groups}, key=lambda v: rank(v[0])):
        cells = [cell for groups in methods.values() for cell in _setting_cells(groups, value)]
        rows.append(row([_shown(key, value[0]), *cells]))
    alike = f"all with {found.note}" if found.context else "all other settings are the comparison's own"
    note = f"In %, over unseen prompts, averaged over seeds; {alike}."
    title = f"{', '.join(methods)} by {label}, {task}"
    return Sheet(name, title, columns, emphasised(columns, rows), [note, INTERVALS])


def several_settings(comparison: Comparison, task: str, name: str) -> list[Sheet]:
    """Variants in several settings at once that Table 3 does not show."""
    found: dict[tuple[str, str], list[Record]] = {}
    for r in comparison.variants(task):
        if len(r.variant) > 1 and not (r.method == PAFT and set(r.variant) <= {K, T}):
            text = ", ".join(f"{axis_label(k)} {_shown(k, v)}" for k, v in sorted(r.variant.items()))
            found.setdefault((text, r.method), []).append(r)
    if not found:
        return []
    columns = [Column("settings"), Column("method", left=True), Column("seeds"), Column("mean", better="more")]
    columns += [Column("std", better="less"), Column("min", better="more")]
    rows = []
    for (text, method), group in found.items():
        n = over_seeds(group)
        rows.append(row([text, method, str(len(group)), *(percent(n[key]) for key in ("mean", "std", "min"))]))
    note = "In %, over unseen prompts, averaged over seeds."
    return [Sheet(name, f"Other variants, {task}", columns, emphasised(columns, rows), [note])]


def _k_and_t_cells(value: Value, tasks: Sequence[str], groups: Mapping[str, Groups]) -> list[str]:
    numbers = [over_seeds(groups[task][value]) if value in groups[task] else None for task in tasks]
    seeds = {len(groups[task][value]) for task in tasks if value in groups[task]}
    own = any(not r.variant for task in tasks for r in groups[task].get(value, ()))
    cells = [
        f"K = {value[0]}, T = {_plain(value[1])}" + (" (own)" if own else ""),
        " to ".join(map(str, sorted(seeds))),
    ]
    cells += [NONE if n is None else spread(n["mean"], n["std"]) for n in numbers]
    if len(tasks) > 1:
        means = [n["mean"] for n in numbers if n is not None]
        stds = [n["std"] for n in numbers if n is not None and n["std"] is not None]
        whole = len(means) == len(tasks)
        std = float(np.mean(stds)) if len(stds) == len(tasks) else None
        cells.append(spread(float(np.mean(means)), std) if whole else NONE)
    return cells


def _setting_cells(groups: Groups, value: Value) -> list[str]:
    """Seeds, numbers and what they differ from the comparison's own setting by."""
    group = groups.get(value, [])
    if not group:
        return [NONE] * 5
    n = over_seeds(group)
    cells = [str(len(group)), percent(n["mean"]), percent(n["std"]), percent(n["min"])]
    own = next((g for g in groups.values() if not all(r.variant for r in g)), None)
    if own is None or own is group:
        return [*cells, NONE if own is None else "own"]
    return [*cells, points(compared("this", "own", {"this": group, "own": own}).mean)]


def _paper_rows(tasks: Sequence[str], width: int) -> list[Row]:
    names = [paper.paper_task(task) for task in tasks]
    if not set(names) & set(paper.TASKS):
        return []
    blocks: list[str | None] = list(names)
    if width > len(tasks):
        blocks.append(paper.AVERAGE if set(names) == set(paper.TASKS) else None)
    rows = []
    for (k, t), by_task in paper.K_AND_T.items():
        spreads = [by_task.get(name) if name else None for name in blocks]
        texts = [NONE if s is None else f"{paper_number(s.mean)} (± {paper_number(s.std)})" for s in spreads]
        rows.append(row([f"paper: K = {k}, T = {t}", NONE, *texts], "paper"))
    return rows


def _shown(key: str, value: Any) -> str:
    if value is None:
        return AXES[key].nothing if key in AXES else "none"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"
