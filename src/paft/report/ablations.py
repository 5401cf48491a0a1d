"""Table 3 and its kin: PAFT with other settings, from the records of variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paft.experiments import paper
from paft.experiments.records import Record
from paft.experiments.summary import over_seeds
from paft.report.accuracy import INTERVALS, paper_number, slug
from paft.report.comparison import Comparison
from paft.report.sheet import NONE, Column, Row, Sheet, emphasised, percent, row, spread
from paft.report.verdict import PAFT, compared, points

K, T = "examples_per_prompt", "num_train_epochs"
LABELS = {
    "train_prompts": "training prompts",
    "limit": "training examples",
    "lora_r": "rank of LoRA",
    "learning_rate": "learning rate",
    K: "K, examples per prompt",
    T: "T, epochs",
}
Value = tuple[Any, ...]


def ablation_sheets(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 3, and one table for every other setting that variants differ in; nothing where there are no variants."""
    varied = {key for task in tasks for r in comparison.variants(task) for key in r.variant}
    sheets = k_and_t(comparison, tasks)
    keys = [key for key in LABELS if key in varied and key not in (K, T)]
    keys += sorted(varied - set(LABELS))
    for key in keys:
        for task in tasks:
            sheets += one_setting(comparison, task, key, f"ablation-{slug(key)}-{slug(task)}")
    for task in tasks:
        sheets += several_settings(comparison, task, f"ablation-other-{slug(task)}")
    return sheets


def k_and_t(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 3: mean and standard deviation over prompts of PAFT by K and T, averaged over seeds."""
    groups = {task: _by_value(comparison, task, PAFT, (K, T)) for task in tasks}
    tasks = [task for task in tasks if any(r.variant for group in groups[task].values() for r in group)]
    if not tasks:
        return []
    values = sorted({value for task in tasks for value in groups[task]}, key=lambda v: (str(v[1]).zfill(9), v[0]))
    averaged = [*tasks, *(["average"] if len(tasks) > 1 else [])]
    columns = [Column("K and T"), Column("seeds"), *(Column(name, better="more") for name in averaged)]
    rows = [row(_k_and_t_cells(value, tasks, groups)) for value in values]
    rows = emphasised(columns, rows, second=False) + _paper_rows(tasks, len(averaged))
    notes = ["Mean (± standard deviation) over unseen prompts in %, averaged over seeds; the best mean is in bold."]
    if any(r.kind == "paper" for r in rows):
        notes.append(f"Rows marked paper are quoted from {paper.SOURCE}, Table 3 ({paper.MODEL}).")
    return [Sheet("table-3", "Table 3. PAFT by K, examples per prompt, and T, epochs", columns, rows, notes)]


def one_setting(comparison: Comparison, task: str, key: str, name: str) -> list[Sheet]:
    """A task by one setting, for every method that has variants in it alone."""
    label = LABELS.get(key, key)
    methods = dict.fromkeys(r.method for r in comparison.variants(task) if set(r.variant) == {key})
    columns = [Column(label)]
    groups = {method: _by_value(comparison, task, method, (key,)) for method in methods}
    values = sorted({value for group in groups.values() for value in group}, key=_rank)
    if not values:
        return []
    for method in methods:
        group = method if len(methods) > 1 else ""
        columns += [Column("seeds", group), Column("mean", group, "more"), Column("std", group, "less")]
        columns += [Column("min", group, "more"), Column("minus own setting (95% interval)", group)]
    rows = []
    for value in values:
        cells = [cell for method in methods for cell in _setting_cells(groups[method], value)]
        rows.append(row([_shown(key, value[0]), *cells]))
    note = "In %, over unseen prompts, averaged over seeds; all other settings are the comparison's own."
    title = f"{', '.join(methods)} by {label}, {task}"
    return [Sheet(name, title, columns, emphasised(columns, rows), [note, INTERVALS])]


def several_settings(comparison: Comparison, task: str, name: str) -> list[Sheet]:
    """Variants in several settings at once that Table 3 does not show."""
    found: dict[tuple[str, str], list[Record]] = {}
    for r in comparison.variants(task):
        if len(r.variant) > 1 and not (r.method == PAFT and set(r.variant) <= {K, T}):
            text = ", ".join(f"{LABELS.get(k, k)} {_shown(k, v)}" for k, v in sorted(r.variant.items()))
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


def _by_value(comparison: Comparison, task: str, method: str, keys: Sequence[str]) -> dict[Value, list[Record]]:
    """Values of ``keys`` -> records that differ from the comparison's own in nothing else, its own among them."""
    found: dict[Value, list[Record]] = {}
    for r in comparison.records:
        known = {**r.settings, **r.variant}
        if (r.task, r.method) == (task, method) and set(r.variant) <= set(keys) and all(k in known for k in keys):
            found.setdefault(tuple(known[k] for k in keys), []).append(r)
    return found


def _k_and_t_cells(value: Value, tasks: Sequence[str], groups: Mapping[str, Mapping[Value, list[Record]]]) -> list[str]:
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


def _setting_cells(groups: Mapping[Value, list[Record]], value: Value) -> list[str]:
    """Seeds, numbers and what they differ from the comparison's own setting by."""
    group = groups.get(value, [])
    if not group:
        return [NONE] * 5
    n = over_seeds(group)
    cells = [str(len(group)), percent(n["mean"]), percent(n["std"]), percent(n["min"])]
    own = next((g for g in groups.values() if not g[0].variant), None)
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
        return {"limit": "all", "lora_r": "none (all weights)"}.get(key, "none")
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def _rank(value: Value) -> tuple[bool, bool, float, str]:
    """Numbers by size, then words; None, which stands for all there is, last."""
    first = value[0]
    is_number = isinstance(first, int | float)
    return first is None, not is_number, float(first) if is_number else 0.0, str(first)
