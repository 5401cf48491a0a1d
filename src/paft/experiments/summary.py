"""Numbers of a method over its seeds, and what two methods differ by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paft.evaluation import Interval, paired_difference
from paft.experiments.records import UNSEEN, Record

AVERAGED = ("mean", "std", "std_corrected", "min", "q05", "max", "flip_rate")


def over_seeds(records: Sequence[Record], sweep: str = UNSEEN) -> dict[str, Any]:
    """The numbers of a method, each averaged over its seeds; ``std`` is over prompts, not over seeds.

    Returns:
        ``mean, std, std_corrected, min, q05, max, flip_rate`` (None where a seed has none), ``top`` and
        ``per_prompt``, fractions.
    """
    measured = [r.sweeps[sweep] for r in records]
    numbers: dict[str, Any] = {}
    for key in AVERAGED:
        values = [m.numbers[key] for m in measured]
        numbers[key] = None if None in values else float(np.mean(values))
    numbers["top"] = {
        "threshold": measured[0].numbers["top"]["threshold"],
        "share": float(np.mean([m.numbers["top"]["share"] for m in measured])),
    }
    accuracy_p = np.mean([m.correct_pn.mean(axis=1) for m in measured], axis=0)
    numbers["per_prompt"] = dict(zip(measured[0].prompt_ids, accuracy_p.tolist(), strict=True))
    return numbers


def difference(a: Sequence[Record], b: Sequence[Record], statistic: str = "mean", sweep: str = UNSEEN) -> Interval:
    """``a - b`` with its 95% interval, paired by prompt, example and seed; a method with one seed is repeated."""
    seeds = max(len(a), len(b))
    tables = [np.stack([group[i % len(group)].sweeps[sweep].correct_pn for i in range(seeds)]) for group in (a, b)]
    return paired_difference(tables[0], tables[1], statistic)
