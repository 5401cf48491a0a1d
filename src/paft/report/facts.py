"""Tables 4 and 5: how much data there was and under which settings; and the cells that failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from paft.experiments.records import UNSEEN, Record
from paft.report.accuracy import PROMPTS
from paft.report.comparison import Comparison
from paft.report.sheet import NONE, Column, Sheet, row

LONGEST = 60  # characters of a setting that are shown
SEVERAL = 3  # values of one setting that are listed


def samples(comparison: Comparison, tasks: Sequence[str]) -> Sheet:
    """Table 4: examples and prompts, for training and for each sweep."""
    sweeps: dict[str, None] = {UNSEEN: None}
    for task in tasks:
        sweeps |= dict.fromkeys(n for group in comparison.methods(task).values() for r in group for n in r.sweeps)
    columns = [Column("task"), Column("training examples"), Column("training prompts"), Column("swept examples")]
    columns += [Column(PROMPTS.get(name, f"{name} prompts")) for name in sweeps if name != "train"]
    rows = []
    for task in tasks:
        records = [r for group in comparison.methods(task).values() for r in group]
        trained = [r.training for r in records if r.training is not None]
        most = {key: max((t[key] for t in trained if t.get(key) is not None), default=None) for key in _COUNTED}
        measured = {n: next((r.sweeps[n] for r in records if n in r.sweeps), None) for n in sweeps}
        first = measured[UNSEEN]
        swept = NONE if first is None else f"{len(first.example_ids):,} ({first.split})"
        counts = [NONE if m is None else f"{len(m.prompt_ids):,}" for n, m in measured.items() if n != "train"]
        rows.append(row([task, *(NONE if most[k] is None else f"{most[k]:,}" for k in _COUNTED), swept, *counts]))
    return Sheet("table-4", "Table 4. Examples and prompts", columns, rows)


def settings(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """Table 5: the settings that methods were trained with, in the comparison itself."""
    found: dict[str, dict[str, list[Any]]] = {}
    methods: dict[str, None] = {}
    for r in (r for task in tasks for group in comparison.methods(task).values() for r in group):
        methods[r.method] = None
        for key, value in _facts(r).items():
            values = found.setdefault(key, {}).setdefault(r.method, [])
            if value not in values:
                values.append(value)
    if not found:
        return []
    columns = [Column("setting"), *(Column(method, left=True) for method in methods)]
    rows = [row([key, *(_values(values.get(method)) for method in methods)]) for key, values in found.items()]
    notes = ["A list of values, where tasks or seeds differ. Texts and rows are told by their digests."]
    return [Sheet("table-5", "Table 5. Settings", columns, rows, notes)]


def failures(comparison: Comparison, tasks: Sequence[str]) -> list[Sheet]:
    """The cells of a comparison that failed, which no table holds."""
    failed = [f for f in comparison.failures if f.get("task") in tasks]
    if not failed:
        return []
    columns = [Column("task"), Column("method", left=True), Column("seed"), Column("variant", left=True)]
    columns.append(Column("error", left=True))
    rows = []
    for f in failed:
        variant = ", ".join(f"{k} {v}" for k, v in (f.get("variant") or {}).items()) or NONE
        words = [str(f.get(key, NONE)) for key in ("task", "method", "seed")]
        rows.append(row([*words, variant, _cut(" ".join(str(f.get("error", NONE)).split()), 200)]))
    note = "These cells have no record and take part in no table; the same call of paft compare tries them again."
    return [Sheet("failures", "Cells that failed", columns, rows, [note])]


_COUNTED = ("examples", "prompts")


def _facts(r: Record) -> Mapping[str, Any]:
    prompts = {} if r.training is None else {"prompts trained on": r.training.get("prompts")}
    return {"model": r.model, **r.settings, **prompts}


def _values(values: Sequence[Any] | None) -> str:
    if not values:
        return NONE
    shown = [_cut(_text(value), LONGEST) for value in values[:SEVERAL]]
    return " / ".join(shown) + (f" / {len(values) - SEVERAL} more" if len(values) > SEVERAL else "")


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return " ⏎ ".join(line.strip() for line in text.splitlines() if line.strip())


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
