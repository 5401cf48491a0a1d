"""The page's smaller tables: ablations, costs and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paft.experiments.axes import AXES
from paft.experiments.records import Record
from paft.experiments.summary import over_seeds
from paft.report.comparison import Comparison
from paft.report.page_text import cut
from paft.report.varied import Groups, Varied, varied

TRAINING = ("seconds", "steps", "examples", "epochs", "prompts", "final_loss", "dropped", "processor_seconds", "tokens")
SELECTION = ("queries", "calls", "seconds", "score")

Methods = Mapping[str, Sequence[Record]]


def costs(groups: Methods) -> list[dict[str, Any]]:
    """What each method took, a mean over its seeds; None where a method has no such cost."""
    rows = []
    for group in groups.values():
        measured = [r.unseen for r in group]
        chosen = [r.selection for r in group if r.selection]
        rows.append(
            {
                "training": {
                    k: _mean([r.training[k] for r in group if r.training and k in r.training]) for k in TRAINING
                },
                "sweep": _mean([m.seconds for m in measured]),
                "cells": measured[0].correct_pn.size,
                "tokens": _mean([m.tokens_generated for m in measured]),
                "selection": {k: _mean([s[k] for s in chosen if k in s]) for k in SELECTION},
                "chosen": _choices(group),
            }
        )
    return rows


def _choices(group: Sequence[Record]) -> list[dict[str, Any]]:
    """The prompts that were chosen, and with which seeds."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for record in group:
        if record.selection:
            text = record.selection.get("text") or ""
            if not isinstance(text, str):
                text = "\n".join(f"[{turn.get('role')}] {turn.get('content')}" for turn in text)
            seeds.setdefault((cut(record.selection.get("prompt_id"), 120), cut(text, 1500)), []).append(record.seed)
    return [{"id": name, "text": text, "seeds": found} for (name, text), found in seeds.items()]


def settings_rows(groups: Methods) -> list[dict[str, Any]]:
    """Setting -> its value by method, as text; several values where the seeds differ."""
    keys = dict.fromkeys(key for group in groups.values() for record in group for key in record.settings)
    rows = []
    for key in keys:
        found = [dict.fromkeys(_plain(r.settings[key]) for r in g if key in r.settings) for g in groups.values()]
        rows.append({"key": cut(key, 80), "values": [cut(" / ".join(v), 200) if v else None for v in found]})
    return rows


def ablations(comparison: Comparison, task: str) -> list[dict[str, Any]]:
    """One table for each setting, or settings, that were varied together, and for each state of the others.

    Beside the variants stand the comparison's own records where they agree with them in every other setting.
    Means are over seeds.
    """
    tables, covered = [], set[int]()
    for keys in _key_sets(comparison.variants(task)):
        sets = [(each, _exact(each)) for each in varied(comparison, task, keys)]
        sets = [(each, ids) for each, ids in sets if ids and not ids <= covered]
        for each, _ in sets:
            covered |= set(map(id, each.records))
            rest = ", ".join(f"{key} {_plain(value)}" for key, value in each.rest.items() if key in AXES)
            series = [_series(method, groups) for method, groups in each.methods.items()]
            where = cut(rest, 300) if len(sets) > 1 else ""
            tables.append({"keys": [cut(k, 60) for k in keys], "where": where, "series": series})
    return tables


def _exact(found: Varied) -> set[int]:
    """The records that vary in every key and in nothing else."""
    return {id(r) for r in found.records if set(r.variant) == set(found.keys)}


def _key_sets(variants: Sequence[Record]) -> list[tuple[str, ...]]:
    """The sets of settings that were varied together, large sets first and in the order of the paper's tables."""
    order = {key: (i, key) for i, key in enumerate(AXES)}
    found = {tuple(sorted(r.variant, key=lambda k: order.get(k, (len(order), k)))) for r in variants}
    return sorted(found, key=lambda keys: (-len(keys), [order.get(k, (len(order), k)) for k in keys]))


def _series(method: str, groups: Groups) -> dict[str, Any]:
    """A method's numbers for every value of the keys, in order of the values."""
    rows = []
    for values, group in groups.items():
        numbers = over_seeds(group)
        shown = {k: numbers[k] for k in ("mean", "std", "std_corrected", "min")} | {"top": numbers["top"]["share"]}
        own = not any(r.variant for r in group)
        plain = [v if isinstance(v, int | float) else _plain(v) for v in values]
        rows.append({"values": plain, "numbers": shown, "seeds": len(group), "own": own})
    return {"method": cut(method, 60), "rows": rows}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if isinstance(v, int | float)]
    return float(np.mean(known)) if known else None
