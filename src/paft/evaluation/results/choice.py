"""Which cells a quick sweep computes. It knows no model; the estimates are in ``estimate``.

Every example is answered under a few prompts, other ones each time. So the prompts meet different examples, which is
what the mean needs, and every prompt shares examples with others, so that the spread is free of how hard the examples
are. A larger choice holds a smaller one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paft.errors import InputError

Ints = NDArray[np.int64]
SHARED_BY = 4  # prompts that an example is answered under before the next example has its turn
SHARE, EACH, LEAST = 0.1, 20, 400  # without a number: a tenth of the cells, 20 answers a prompt, 400 in all if more
FEWEST = 5  # answers a prompt below which the intervals are not trustworthy


class Chosen(NamedTuple):
    """Cells by the index of their prompt and of their example, the first to be computed first."""

    prompt_c: Ints
    example_c: Ints


def asked_for(quick: bool | float | None) -> bool:
    """Whether a sweep is to be quick: anything but None and False."""
    return quick is not None and quick is not False


def cell_count(quick: bool | float, prompts: int, examples: int) -> int:
    """How many cells to compute.

    Args:
        quick: True for a tenth of the cells, and at least 20 a prompt and 400 in all; a share between 0 and 1; or a
            number of cells.

    Raises:
        InputError: no such share or number, fewer than five answers a prompt, or as many as the whole sweep has.
    """
    whole = prompts * examples
    wanted = _wanted(quick, prompts, whole)
    if wanted >= whole:
        raise InputError(
            f"the whole sweep has {whole:,} cells ({prompts} prompts x {examples} examples), no more than the "
            f"{wanted:,} that --quick would take; leave out --quick"
        )
    fewest = FEWEST * prompts
    if wanted < fewest:
        raise InputError(
            f"--quick {quick:g} is {wanted:,} cells of {whole:,}: too few to say anything about {prompts} prompts\n"
            f"give at least {fewest:,} cells ({FEWEST} answers a prompt), or --quick alone"
        )
    return wanted


def _wanted(quick: bool | float, prompts: int, whole: int) -> int:
    if quick is True:
        return max(round(SHARE * whole), EACH * prompts, LEAST)
    if math.isfinite(quick) and 0 < quick < 1:
        return round(quick * whole)
    if math.isfinite(quick) and quick > 1 and quick == int(quick):
        return int(quick)
    raise InputError(f"--quick is a share of the cells below 1, such as 0.2, or a number of cells; found {quick:g}")


def choose(prompts: int, examples: int, cells: int, seed: int = 0) -> Chosen:
    """The cells to compute, the same again for the same sizes and seed; more cells begin with the fewer.

    First the examples in a random order, each with four prompts; then, one prompt more at a time, all examples again.
    A prompt is always among those with fewest answers, so that the prompts' numbers of answers differ by one or two.
    """
    rng = np.random.default_rng(seed)
    width = min(SHARED_BY, prompts)
    order = rng.permutation(examples)[: -(-cells // width)]
    taken_ip = np.zeros((len(order), prompts), dtype=bool)
    answers_p = np.zeros(prompts)
    found: list[Ints] = []
    places: list[Ints] = []
    left = min(cells, prompts * examples)
    for step in range(prompts - width + 1):
        for i in range(len(order)):
            count = min(left, width if step == 0 else 1)
            if count <= 0:
                break
            key_p = answers_p + rng.random(prompts)  # the whole part rules, the fraction settles ties
            key_p[taken_ip[i]] = np.inf
            picked = np.argsort(key_p)[:count]
            taken_ip[i, picked] = True
            answers_p[picked] += 1
            found.append(picked)
            places.append(np.full(count, order[i]))
            left -= count
    return Chosen(np.concatenate(found), np.concatenate(places))
