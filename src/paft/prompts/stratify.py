"""Choosing the test side so that every source is on it in proportion.

A stratum is one combination of the source fields (kind, provider, model, voice or style, strategy). Two things are
sought, the first before the second: no stratum has a whole prompt more or less than its proportional share, which
can always be had where no prompts are tied together; and the squared deviations from the share are small, summed
over the strata and over every value of every single field, so that what is rounded up is spread over the fields.

Deviations are kept as whole numbers: prompts x size of the set, minus size of the test side x size of the cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from paft.prompts.origin import FIELDS, UNKNOWN, stratum
from paft.prompts.prompt import Prompt


class Stratum(NamedTuple):
    """The prompts of one combination of source fields, and how many of them went to each side."""

    name: str
    train: int
    test: int


@dataclass
class _Cells:
    """Strata and single values of fields as cells, and what each group of prompts puts into them.

    ``where`` and ``many``, ``[groups, width]``: the cells a group touches, padded with a cell that is never
    counted, and the prompts it has in each. ``joint`` marks the cells that are strata.
    """

    where: np.ndarray
    many: np.ndarray
    sizes: np.ndarray
    totals: np.ndarray
    joint: np.ndarray


def name_strata(train: Sequence[Prompt], test: Sequence[Prompt]) -> tuple[Stratum, ...]:
    """Every stratum with its prompts on both sides, in the order of their names."""
    lefts, rights = Counter(map(stratum, train)), Counter(map(stratum, test))
    names = {key: " / ".join(value for value in key if value != UNKNOWN) or UNKNOWN for key in lefts | rights}
    return tuple(Stratum(names[key], lefts[key], rights[key]) for key in sorted(names))


def stratified_choice(
    items: Sequence[Prompt], groups: Sequence[Sequence[int]], choose: Callable[[Sequence[int]], list[int]]
) -> list[int]:
    """Positions of the groups for testing.

    Groups are put in an order whose every beginning is as proportional as can be, ``choose`` takes as many as are
    wanted of those, early ones first, and then groups of the same size change sides while that helps.

    Args:
        groups: indices of prompts; of groups that are equally good the earlier is taken.
        choose: sizes of groups in order of preference -> positions whose sizes have the wanted sum.
    """
    cells = _cells([stratum(prompt) for prompt in items], groups)
    wanted = int(cells.sizes[choose(cells.sizes.tolist())].sum())
    order = _order(cells, wanted)
    chosen = [order[at] for at in choose(cells.sizes[order].tolist())]
    return sorted(_improved(cells, chosen))


def _cells(strata: Sequence[tuple[str, ...]], groups: Sequence[Sequence[int]]) -> _Cells:
    fields = [place for place in range(len(FIELDS)) if len({values[place] for values in strata}) > 1]
    counts = []
    for members in groups:
        whole = Counter[tuple](("stratum", strata[i]) for i in members)
        whole.update((place, strata[i][place]) for i in members for place in fields)
        counts.append(whole)
    keys = {key: at for at, key in enumerate(dict.fromkeys(key for whole in counts for key in whole))}
    width = max(map(len, counts))
    where = np.full((len(groups), width), len(keys), dtype=np.int64)
    many = np.zeros((len(groups), width), dtype=np.int64)
    for row, whole in enumerate(counts):
        where[row, : len(whole)] = [keys[key] for key in whole]
        many[row, : len(whole)] = list(whole.values())
    totals = np.bincount(where.ravel(), weights=many.ravel(), minlength=len(keys) + 1).astype(np.int64)
    joint = np.array([key[0] == "stratum" for key in keys] + [False])
    return _Cells(where, many, np.array([len(members) for members in groups]), totals, joint)


def _order(cells: _Cells, wanted: int) -> list[int]:
    """The groups by what each, taken next, does for the proportions per prompt; the rest as they come."""
    size = int(cells.sizes.sum())
    left = np.ones(len(cells.sizes), dtype=bool)
    deviation = -wanted * cells.totals
    order: list[int] = []
    taken = 0
    while taken < wanted and left.any():
        squares = _change(cells, deviation, size)[1] / cells.sizes
        best = int(np.where(left, squares, np.inf).argmin())
        order.append(best)
        left[best] = False
        taken += int(cells.sizes[best])
        np.add.at(deviation, cells.where[best], size * cells.many[best])
    return order + np.flatnonzero(left).tolist()


def _improved(cells: _Cells, chosen: Sequence[int]) -> set[int]:
    """``chosen`` after every swap of two groups of one size that helps, until none does."""
    size = int(cells.sizes.sum())
    inside = np.zeros(len(cells.sizes), dtype=bool)
    inside[list(chosen)] = True
    deviation = -int(cells.sizes[inside].sum()) * cells.totals
    for group in chosen:
        np.add.at(deviation, cells.where[group], size * cells.many[group])
    changed = True
    while changed:
        changed = False
        for group in np.flatnonzero(inside).tolist():
            others = np.flatnonzero(~inside & (cells.sizes == cells.sizes[group]))
            if not len(others):
                continue
            np.add.at(deviation, cells.where[group], -size * cells.many[group])
            beyond, squares = _change(cells, deviation, size)
            best = int(others[np.lexsort((squares[others], beyond[others]))[0]])
            if (beyond[best], squares[best]) < (beyond[group], squares[group]):
                inside[[group, best]] = False, True
                changed, group = True, best
            np.add.at(deviation, cells.where[group], size * cells.many[group])
    return set(np.flatnonzero(inside).tolist())


def _change(cells: _Cells, deviation: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What taking each group adds: to how far strata are a whole prompt or more off, and to the squares."""
    before = deviation[cells.where]
    after = before + size * cells.many
    beyond = np.maximum(np.abs(after) - (size - 1), 0) - np.maximum(np.abs(before) - (size - 1), 0)
    return (beyond * cells.joint[cells.where]).sum(axis=1), (after**2 - before**2).sum(axis=1)
