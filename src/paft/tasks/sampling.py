"""Drawing the same examples every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from paft.errors import InputError

SAMPLE_SEED = 20250218
T = TypeVar("T")


def sample(rows: Sequence[T], limit: int | None, seed: int = SAMPLE_SEED) -> Sequence[T]:
    """``limit`` of ``rows``, uniformly without replacement, in their own order; all where it is None."""
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise InputError(f"--limit must be at least 1, found {limit}")
    picked = np.sort(np.random.default_rng(seed).choice(len(rows), size=limit, replace=False))
    return [rows[i] for i in picked]
