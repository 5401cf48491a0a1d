"""Many ids as one block of memory: a sequence of strings that holds no string objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

AT_ONCE = 65536


class Ids(Sequence[str]):
    """Strings in an Arrow array; equal to any sequence of the same strings."""

    def __init__(self, array: pa.StringArray) -> None:
        self.array = array

    def take(self, picked: NDArray[Any]) -> Ids:
        """Those at ``picked``, in that order."""
        return Ids(self.array.take(pa.array(picked)))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            first, last, stride = index.indices(len(self))
            if stride == 1:
                return list(self.array[first : max(first, last)].to_pylist())
            return [self[i] for i in range(first, last, stride)]
        return str(self.array[range(len(self))[index]].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Ids):
            return bool(self.array.equals(other.array))
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ids({len(self)}, from {self[:3]})"


def as_array(ids: Sequence[str]) -> pa.StringArray:
    """The ids as an Arrow array."""
    return ids.array if isinstance(ids, Ids) else pa.array(ids, pa.string())


def places(ids: Sequence[str], known: Sequence[str]) -> NDArray[np.int32]:
    """The place of each of ``ids`` among ``known``; -1 where it is not there."""
    return np.asarray(pc.index_in(as_array(ids), value_set=as_array(known)).fill_null(-1), dtype=np.int32)
