"""The page's smaller tables: ablations, costs and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paft.experiments.records import Record
from paft.experiments.summary import over_seeds
from paft.report.comparison import Comparison
from paft.report.page_text import cut

VARIED = ("examples_per_prompt", "num_train_epochs", "train_prompts", "limit", "lora_r", "learning_rate")
TRAINING = ("seconds", "steps", "examples", "epochs", "prompts", "final_loss", "dropped", "processor_seconds", "tokens")
SELECTION = ("queries", "calls", "seconds", "score")

Groups = Mapping[str, Sequence[Record]]


def costs(groups: Groups) -> list[dict[str, Any]]:
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


def settings_rows(groups: Groups) -> list[dict[str, Any]]:
    """Setting -> its value by method, as text; several values where the seeds differ."""
    keys = dict.fromkeys(key for group in groups.values() for record in group for key in record.settings)
    rows = []
    for key in keys:
        found = [dict.fromkeys(_plain(r.settings[key]) for r in g if key in r.settings) for g in groups.values()]
        rows.append({"key": cut(key, 80), "values": [cut(" / ".join(v), 200) if v else None for v in found]})
    return rows


def ablations(comparison: Comparison, task: str) -> list[dict[str, Any]]:
    """One table for each setting, or pair of settings, that was varied.

    Beside the variants stand the comparison's own records where they agree with them in every other setting.
    Means are over seeds.
    """
    variants = comparison.variants(task)
    own = [record for group in comparison.methods(task).values() for record in group]
    tables, covered = [], set[int]()
    for keys in _key_sets(variants):
        exact = [r for r in variants if set(r.variant) == set(keys)]
        if covered.issuperset(map(id, exact)):
            continue
        candidates = [r for r in variants if set(r.variant) <= set(keys)] + own
        rests = dict.fromkeys(_rest(r, keys) for r in exact)
        for rest in rests:
            methods = {r.method for r in exact if _rest(r, keys) == rest}
            rows = [r for r in candidates if r.method in methods and _rest(r, keys) == rest]
            rows = [r for r in rows if all(k in r.settings for k in keys)]
            covered |= set(map(id, rows))
            where = ", ".join(f"{key} {value}" for key, value in rest) if len(rests) > 1 else ""
            series = [
                _series(m, keys, [r for r in rows if r.method == m]) for m in dict.fromkeys(r.method for r in rows)
            ]
            tables.append({"keys": [cut(k, 60) for k in keys], "where": cut(where, 300), "series": series})
    return [table for table in tables if table["series"]]


def _key_sets(variants: Sequence[Record]) -> list[tuple[str, ...]]:
    """The sets of settings that were varied together, large sets first and in the order of the paper's tables."""
    order = {key: (i, key) for i, key in enumerate(VARIED)}
    found = {tuple(sorted(r.variant, key=lambda k: order.get(k, (len(order), k)))) for r in variants}
    return sorted(found, key=lambda keys: (-len(keys), [order.get(k, (len(order), k)) for k in keys]))


def _rest(record: Record, keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The settings that ablations vary, ``keys`` aside."""
    return tuple((k, _plain(record.settings.get(k))) for k in VARIED if k not in keys)


def _series(method: str, keys: Sequence[str], records: Sequence[Record]) -> dict[str, Any]:
    """A method's numbers for every value of ``keys``, in order of the values."""
    cells: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        found = [record.settings[k] for k in keys]
        cells.setdefault(tuple(v if isinstance(v, int | float) else _plain(v) for v in found), []).append(record)
    rows = []
    for values, group in sorted(cells.items(), key=lambda item: [_sortable(v) for v in item[0]]):
        numbers = over_seeds(group)
        shown = {k: numbers[k] for k in ("mean", "std", "std_corrected", "min")} | {"top": numbers["top"]["share"]}
        own = not any(r.variant for r in group)
        rows.append({"values": list(values), "numbers": shown, "seeds": len(group), "own": own})
    return {"method": cut(method, 60), "rows": rows}


def _sortable(value: int | float | str) -> tuple[bool, float, str]:
    """Numbers by size, then text such as ``null`` (no limit)."""
    return (True, 0.0, value) if isinstance(value, str) else (False, float(value), "")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if isinstance(v, int | float)]
    return float(np.mean(known)) if known else None
