"""Methods x seeds on one task: every cell once, each kept as a record, and their numbers over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paft.errors import DataError
from paft.evaluation.statistics import Interval, paired_difference
from paft.experiments.methods import Record, Setup, run_method

AVERAGED = ("mean", "std", "std_corrected", "min", "q05", "max", "flip_rate")


def record_path(records: Path, method: str, seed: int) -> Path:
    """Where the record of a cell stands."""
    return records / f"{method}-seed{seed}.json"


def run_grid(
    setup: Setup,
    methods: Iterable[str],
    seeds: Sequence[int],
    work: Path,
    records: Path,
    announce: Callable[[str], None] = print,
) -> None:
    """Run the cells that have no record yet. ``base`` knows no chance and is run once.

    Args:
        work: runs and sweeps go here; a cell that was interrupted goes on.
        records: one JSON a finished cell.
    """
    for seed in seeds:
        for method in methods:
            path = record_path(records, method, seed)
            if path.is_file() or (method == "base" and seed != seeds[0]):
                continue
            announce(f"{method}, seed {seed}")
            record = run_method(setup, method, seed, work / f"{method}-seed{seed}")
            record.save(path)
            numbers = record.numbers
            announce(f"  mean {numbers['mean']:.3f} std {numbers['std']:.3f} min {numbers['min']:.3f}")


def load_records(records: Path) -> dict[str, list[Record]]:
    """Method -> its records by seed; methods in the order base, user, static-mix, paft.

    Raises:
        DataError: none there, or records of other prompts or examples than the rest.
    """
    found: dict[str, list[Record]] = {}
    for path in sorted(records.glob("*-seed*.json")):
        record = Record.load(path)
        found.setdefault(record.method, []).append(record)
    if not found:
        raise DataError(f"no records in {records}")
    first = next(iter(found.values()))[0]
    for record in (r for group in found.values() for r in group):
        if (record.prompt_ids, record.example_ids) != (first.prompt_ids, first.example_ids):
            raise DataError(
                f"{records}: {record.method} seed {record.seed} met other prompts or examples than the rest"
            )
    order = ["base", "user", "static-mix", "paft"]
    return {name: found[name] for name in sorted(found, key=lambda n: order.index(n) if n in order else len(order))}


def over_seeds(records: Sequence[Record]) -> dict[str, Any]:
    """The numbers of a method, each averaged over its seeds; ``std`` is over prompts, not over seeds."""
    numbers: dict[str, Any] = {key: float(np.mean([r.numbers[key] for r in records])) for key in AVERAGED}
    numbers["top"] = {
        "threshold": records[0].numbers["top"]["threshold"],
        "share": float(np.mean([r.numbers["top"]["share"] for r in records])),
    }
    numbers["per_prompt"] = dict(
        zip(records[0].prompt_ids, np.mean([r.correct_pn.mean(axis=1) for r in records], axis=0).tolist(), strict=True)
    )
    return numbers


def difference(a: Sequence[Record], b: Sequence[Record], statistic: str = "mean") -> Interval:
    """``a - b`` with its 95% interval, paired by prompt, example and seed; a method with one seed is repeated."""
    seeds = max(len(a), len(b))
    tables = [np.stack([records[i % len(records)].correct_pn for i in range(seeds)]) for records in (a, b)]
    return paired_difference(tables[0], tables[1], statistic)
