"""Examples that stay on disk: a few are kept in memory as they are, many wait in a temporary file until asked for."""

from __future__ import annotations

import marshal
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from paft.errors import RunError
from paft.tasks.base import Example
from paft.tasks.sampling import IN_MEMORY

if TYPE_CHECKING:
    from paft.tasks.ids import Ids

AT_ONCE = 4096  # examples that are written, or read in order, together


def keep(examples: Iterable[Example]) -> Sequence[Example]:
    """All of ``examples``: a tuple, or a ``Spooled`` where they are more than ``IN_MEMORY``.

    Raises:
        RunError: no room for the temporary file.
    """
    if isinstance(examples, Spooled):
        return examples
    rest = iter(examples)
    first = tuple(islice(rest, IN_MEMORY))
    following = next(rest, None)
    return first if following is None else _spool(chain(first, (following,), rest))


def ids_of(examples: Sequence[Example]) -> Sequence[str]:
    """The id of each example."""
    return examples.ids if isinstance(examples, Spooled) else [e.id for e in examples]


class Spooled(Sequence[Example]):
    """Examples in a file of their own; each is read when it is asked for, and none is kept.

    Memory holds an id and a place for each. Loader workers share the file; it goes when the last object that needs
    it in the process that wrote it does.

    Args:
        file: where they stand.
        starts: where each begins, and the end of the last; bytes.
        ids: the id of each.
        picked: which of them, in what order; None for all.
    """

    def __init__(
        self, file: _File, starts: NDArray[np.int64], ids: Ids, picked: NDArray[np.int64] | None = None
    ) -> None:
        self._file, self._starts, self._ids, self._picked = file, starts, ids, picked

    @property
    def ids(self) -> Ids:
        """The id of each example, in order; no file is read for it."""
        return self._ids if self._picked is None else self._ids.take(self._picked)

    def take(self, picked: NDArray[np.int64]) -> Spooled:
        """Those at ``picked``, in that order; nothing is copied."""
        return Spooled(self._file, self._starts, self._ids, picked if self._picked is None else self._picked[picked])

    def __len__(self) -> int:
        return len(self._starts) - 1 if self._picked is None else len(self._picked)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        at = place if self._picked is None else int(self._picked[place])
        start, end = self._starts[at : at + 2].tolist()
        return Example(*marshal.loads(self._file.read(start, end - start)))

    def __iter__(self) -> Iterator[Example]:
        if self._picked is not None:
            yield from (self[i] for i in range(len(self)))
            return
        for first in range(0, len(self), AT_ONCE):
            starts = self._starts[first : first + AT_ONCE + 1].tolist()
            block = memoryview(self._file.read(starts[0], starts[-1] - starts[0]))
            for start, end in pairwise(starts):
                yield Example(*marshal.loads(block[start - starts[0] : end - starts[0]]))


def _spool(examples: Iterable[Example]) -> Spooled:
    """Write ``examples`` into a temporary file."""
    import pyarrow as pa

    from paft.tasks.ids import Ids

    starts, ids = [np.zeros(1, np.int64)], []
    rest, end = iter(examples), 0
    with _told():
        file = _File.made()
    with file.path.open("wb", buffering=0) as out:
        while part := list(islice(rest, AT_ONCE)):
            rows = [marshal.dumps((e.id, dict(e.slots), e.answer, e.gold, tuple(e.options))) for e in part]
            with _told():
                out.write(b"".join(rows))
            starts.append(end + np.cumsum([len(row) for row in rows], dtype=np.int64))
            end = int(starts[-1][-1])
            ids.append(pa.array([e.id for e in part], pa.string()))
    return Spooled(file, np.concatenate(starts), Ids(pa.chunked_array(ids).combine_chunks()))


@contextmanager
def _told() -> Iterator[None]:
    """An error of the file system, with what to do."""
    try:
        yield
    except OSError as bad:
        place = tempfile.gettempdir()
        raise RunError(f"cannot keep rows in {place}: {bad.strerror or bad}; free some space or set TMPDIR") from bad


class _File:
    """A temporary file that is read at any place; removed by the process that made it when nothing needs it."""

    def __init__(self, path: Path, owner: int | None = None) -> None:
        self.path, self.owner = path, os.getpid() if owner is None else owner
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, _discard, self._handle, path, self.owner)

    @classmethod
    def made(cls) -> _File:
        """A new, empty one."""
        handle, name = tempfile.mkstemp(prefix="paft-examples-")
        os.close(handle)
        return cls(Path(name))

    def read(self, start: int, size: int) -> bytes:
        """``size`` bytes from ``start`` on; forked processes may read at the same time."""
        if hasattr(os, "pread"):
            return os.pread(self._handle, size, start)
        os.lseek(self._handle, start, os.SEEK_SET)
        return os.read(self._handle, size)

    def __reduce__(self) -> tuple[Any, ...]:
        return _File, (self.path, self.owner)


def _discard(handle: int, path: Path, owner: int) -> None:
    os.close(handle)
    if os.getpid() == owner:
        path.unlink(missing_ok=True)
