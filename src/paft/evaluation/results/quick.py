"""A quick sweep: what it is to compute, what it reports, and what it refuses to."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from paft.errors import InputError, OutputError
from paft.evaluation.cells import Cell, Key
from paft.evaluation.results.choice import asked_for, cell_count, choose
from paft.evaluation.results.estimate import Estimate, estimate
from paft.evaluation.results.result import SUMMARY_FILE, SweepResult
from paft.evaluation.results.statistics import Interval
from paft.files import read_json

NOT_ESTIMATED = ("min", "q05", "max", "macro_f1", "flip_rate")
REPAIR = "run the same sweep without --quick: it goes on from the answers that are there"


@dataclass(frozen=True)
class Quick:
    """The part of a sweep that is computed.

    Attributes:
        chosen: number of cells.
        seed: decides which.
    """

    chosen: int
    seed: int

    @classmethod
    def planned(
        cls, quick: bool | float | None, prompts: int, examples: int, seed: int, output: str | os.PathLike[str] | None
    ) -> Quick | None:
        """What ``sweep(quick=...)`` asks for; None where the whole sweep is to be computed.

        Raises:
            InputError: no share or number of cells that a quick sweep can have.
            OutputError: ``output`` has the whole sweep already.
        """
        if quick is None or not asked_for(quick):
            return None
        chosen = cell_count(quick, prompts, examples)
        summary = None if output is None else Path(output) / SUMMARY_FILE
        if summary is not None and summary.is_file() and "quick" not in read_json(summary):
            raise OutputError(
                f"{output} holds a whole sweep, which an estimate would replace\n"
                "leave out --quick to read it again, or give another output folder"
            )
        return cls(chosen, seed)

    def keys(self, prompt_ids: Sequence[str], example_ids: Sequence[str]) -> dict[Key, tuple[int, int]]:
        """``(prompt id, example id)`` of each cell -> the index of both; of all examples, dropped ones too."""
        picked = choose(len(prompt_ids), len(example_ids), self.chosen, self.seed)
        places = zip(picked.prompt_c.tolist(), picked.example_c.tolist(), strict=True)
        return {(prompt_ids[p], example_ids[n]): (p, n) for p, n in places}


class QuickResult(SweepResult):
    """Estimates from part of a sweep's cells.

    ``mean``, ``std`` and ``std_corrected`` estimate what the whole sweep would report; ``interval`` gives their 95%
    intervals. ``min``, ``q05`` and ``max`` are None. What needs every cell, such as ``correct_pn``, ``per_prompt`` or
    a comparison with a whole sweep, raises InputError.

    Attributes:
        cells: the answers that the estimates are made of.
        example_ids: of the whole sweep, in the order of the data; examples that were dropped are among them.
    """

    def __init__(
        self, summary: dict[str, Any], prompt_ids: Sequence[str], example_ids: Sequence[str], cells: Iterable[Cell]
    ) -> None:
        part = Quick(summary["quick"]["chosen"], summary["quick"]["seed"])
        keys = part.keys(prompt_ids, example_ids)
        dropped = set(summary.get("dropped_examples", ()))
        taken = [c for c in cells if (c.prompt_id, c.example_id) in keys and c.example_id not in dropped]
        values = {"summary": summary, "prompt_ids": list(prompt_ids), "example_ids": list(example_ids)}
        for name, value in {**values, "cells": taken, "_keys": keys}.items():
            object.__setattr__(self, name, value)  # the base is frozen

    cells: list[Cell]
    _keys: dict[Key, tuple[int, int]]
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"QuickResult(mean={self.mean:.4f}, {len(self.cells)} of {self.summary['quick']['of']} cells)"

    @property
    def cells_pn(self) -> NoReturn:
        _refuse("a table of all cells")

    @property
    def per_prompt(self) -> NoReturn:
        _refuse("the accuracy of each prompt")

    def top(self, threshold: float | None = None) -> NoReturn:
        _refuse("the share of top prompts")

    def interval(self, statistic: str = "mean", seed: int = 0) -> Interval:
        """95% interval of what the whole sweep would report: ``mean``, ``std`` or ``std_corrected``."""
        found = self.summary["quick"]["intervals"].get(statistic)
        if found is None:
            raise InputError(f"a quick sweep has no interval of {statistic!r}; expected mean, std or std_corrected")
        return Interval(self.summary[statistic], found["low"], found["high"], self.summary["quick"]["level"])

    def compare(self, other: SweepResult, statistic: str = "mean", seed: int = 0) -> Interval:
        """This mean minus that of another quick sweep of the same cells, paired, with its 95% interval.

        Raises:
            InputError: a whole sweep, another statistic, or other cells.
        """
        if not isinstance(other, QuickResult):
            _refuse("a comparison with a whole sweep")
        if statistic != "mean":
            _refuse(f"the difference of two {statistic}")
        theirs = {(c.prompt_id, c.example_id): c.correct for c in other.cells}
        mine = {(c.prompt_id, c.example_id): c.correct for c in self.cells}
        if mine.keys() != theirs.keys():
            raise InputError(
                f"the two quick sweeps share {len(mine.keys() & theirs.keys())} cells of {len(mine)} and "
                f"{len(theirs)}; a paired difference needs the same: give both the same --quick and --seed"
            )
        return _estimated(self._keys, {k: float(mine[k]) - float(theirs[k]) for k in mine}, self).mean


def quick_summary(
    part: Quick,
    cells: Mapping[Key, Cell],
    prompt_ids: Sequence[str],
    example_ids: Sequence[str],
    dropped: Collection[str],
    top: float,
) -> tuple[dict[str, Any], list[Cell]]:
    """The numbers of ``summary.json`` with None for what is not estimated, and the cells that they come from."""
    keys = part.keys(prompt_ids, example_ids)
    taken = {key: cells[key] for key in keys if key in cells and key[1] not in dropped}
    kept = len(example_ids) - len(dropped)
    found = _from(keys, {key: float(cell.correct) for key, cell in taken.items()}, len(prompt_ids), example_ids, kept)
    ranges = {"mean": found.mean, "std": found.std, "std_corrected": found.std_corrected}
    right = {p: [0, 0] for p in prompt_ids}
    for cell in taken.values():
        right[cell.prompt_id][0] += cell.correct
        right[cell.prompt_id][1] += 1
    about = {
        "cells": len(taken),
        "of": len(prompt_ids) * kept,
        "chosen": part.chosen,
        "seed": part.seed,
        "examples": found.examples,
        "shared_examples": found.shared_examples,
        "effective_examples": found.effective_examples,
        "level": found.mean.level,
        "intervals": {k: None if i is None else {"low": i.low, "high": i.high} for k, i in ranges.items()},
        "per_prompt": {p: {"correct": good, "cells": count} for p, (good, count) in right.items()},
    }
    numbers = {k: None if i is None else i.estimate for k, i in ranges.items()}
    empty = dict.fromkeys(NOT_ESTIMATED)
    summary = {**numbers, **empty, "top": {"threshold": top, "share": None}, "mean_interval": None, "per_prompt": None}
    return {"quick": about, **summary}, list(taken.values())


def _estimated(keys: Mapping[Key, tuple[int, int]], values: Mapping[Key, float], like: QuickResult) -> Estimate:
    return _from(keys, values, len(like.prompt_ids), like.example_ids, like.summary["examples"])


def _from(
    keys: Mapping[Key, tuple[int, int]],
    values: Mapping[Key, float],
    prompts: int,
    example_ids: Sequence[str],
    kept: int,
) -> Estimate:
    """The estimates for ``prompts`` x ``kept`` examples, numbered anew since some may have been dropped."""
    places = [keys[key] for key in values]
    anew: dict[int, int] = {}
    examples = [anew.setdefault(n, len(anew)) for _, n in places]
    return estimate([p for p, _ in places], examples, list(values.values()), prompts, kept)


def _refuse(what: str) -> NoReturn:
    raise InputError(f"a quick sweep does not give {what}\n{REPAIR}")
