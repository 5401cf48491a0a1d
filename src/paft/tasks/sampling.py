"""Drawing the same examples every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from paft.errors import InputError

SAMPLE_SEED = 20250218
IN_MEMORY = 20_000  # examples that are held as they are; about 20 MB at the length of PIQA's
T = TypeVar("T")


@runtime_checkable
class Taking(Protocol):
    """Rows that give some of themselves without reading them."""

    def take(self, picked: NDArray[np.int64]) -> Any: ...


def sample(rows: Sequence[T], limit: int | None, seed: int = SAMPLE_SEED) -> Sequence[T]:
    """``limit`` of ``rows``, uniformly without replacement, in their own order; all where it is None."""
    if limit is None or limit >= len(rows):
        return rows
    if limit < 1:
        raise InputError(f"--limit must be at least 1, found {limit}")
    picked = np.sort(np.random.default_rng(seed).choice(len(rows), size=limit, replace=False))
    return pick(rows, picked)


def pick(rows: Sequence[T], picked: NDArray[np.int64]) -> Sequence[T]:
    """The rows at ``picked``, in that order; read when they are asked for where they are many and on disk."""
    if len(picked) > IN_MEMORY and isinstance(rows, Taking):
        return cast(Sequence[T], rows.take(picked))
    return [rows[i] for i in picked.tolist()]
