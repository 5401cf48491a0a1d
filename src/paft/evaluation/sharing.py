"""The cells of one sweep dealt to several processes; process 0 gets all answers and hands out the result."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from paft.errors import InputError
from paft.evaluation.cells import SCHEMA, Cell, CellStore, Key
from paft.evaluation.pairs import Pair
from paft.evaluation.results.quick import QuickResult
from paft.evaluation.results.result import SweepResult
from paft.processes import Patience, Team

EVERY = 1.0  # seconds between two pieces of answers that a process sends
FINE = 4  # units of work for each process at least: examples, or parts of them where there are few
AT_ONCE = 100_000  # cells of a piece


class Share:
    """What this process does of a sweep.

    Args:
        team: the processes; with one, a share is all there is.
        store: process 0's holds the cells of the output folder, the others' are empty.
        identity: what decides the cells; all processes must have the same.

    Attributes:
        done: cells that were there at the beginning, the same in all processes.

    Raises:
        InputError: this process has other work than process 0.
    """

    def __init__(self, team: Team, store: CellStore, identity: Mapping[str, Any]) -> None:
        self.team, self.store = team, store
        self.done: Collection[Key] = store.cells
        self._round = f"round-{team.next_round()}"
        self._working = dict.fromkeys(range(1, team.world), 0) if team.first else {}
        self._waiting: list[Cell] = []
        self._sent, self._since = 0, time.monotonic()
        if team.world > 1:
            self._begin(identity)

    def pairs(self, todo: Sequence[Pair]) -> Sequence[Pair]:
        """This process's part of ``todo``, which is the same in all."""
        return todo if self.team.world == 1 else deal(todo, self.team.world)[self.team.rank]

    def add(self, cells: Sequence[Cell]) -> int:
        """Take new cells; returns how many came in here, those of others included."""
        self.store.add(cells)
        if self.team.world == 1:
            return len(cells)
        if not self.team.first:
            self._waiting += cells
        if time.monotonic() - self._since < EVERY:
            return len(cells)
        self.team.check()
        self.team.beat()
        self._since = time.monotonic()
        if self.team.first:
            return len(cells) + self._collect()
        self._send()
        return len(cells)

    def finish(self, advance: Callable[[int], None]) -> None:
        """Send what is left; process 0 waits for the others' answers."""
        if self._waiting:
            self._send()
        if not self.team.first:
            self.team.put(self._key("count", self.team.rank), str(self._sent).encode())
        patience = Patience(self.team)
        while self._working:
            if count := self._collect():
                advance(count)
                patience = Patience(self.team)
            elif self._working:
                patience.use()

    def handed_out(self, result: SweepResult | None) -> SweepResult:
        """Process 0's ``result``, in every process."""
        if self.team.world == 1:
            assert result is not None
            return result
        if result is not None:
            self._publish("new", [c for key, c in self.store.cells.items() if key not in self.done])
            about = {"summary": result.summary, "prompts": result.prompt_ids, "examples": result.example_ids}
            self.team.put(self._key("result"), json.dumps(about).encode())
            return result
        self._receive("new")
        about = json.loads(self.team.take(self._key("result")))
        if "quick" in about["summary"]:
            return QuickResult(about["summary"], about["prompts"], about["examples"], self.store.cells.values())
        return SweepResult.of_cells(self.store.cells.values(), about["prompts"], about["examples"], about["summary"])

    def _begin(self, identity: Mapping[str, Any]) -> None:
        """Meet the others, see that all have the same work, and learn what is done."""
        team, mine = self.team, json.loads(json.dumps(dict(identity)))
        if team.first:
            team.put(self._key("identity"), json.dumps(mine).encode())
            self._publish("done", list(self.store.cells.values()))
            for rank in range(1, team.world):
                team.take(self._key("ready", rank), last=True)
            team.put(self._key("go"), b"")
        else:
            theirs = json.loads(team.take(self._key("identity")))
            for name, value in mine.items():
                if theirs.get(name) != value:
                    raise InputError(
                        f"the sweep of process {team.rank} is another than that of process 0: its {name} is {value!r}, "
                        f"not {theirs.get(name)!r}\ngive every process the same flags, files and weights"
                    )
            self._receive("done")
            team.put(self._key("ready", team.rank), b"")
            team.take(self._key("go"))
        self.done = frozenset(self.store.cells)

    def _key(self, *parts: object) -> str:
        return "/".join(map(str, (self._round, *parts)))

    def _send(self) -> None:
        self.team.put(self._key("cells", self.team.rank, self._sent), packed(self._waiting))
        self._sent, self._waiting = self._sent + 1, []

    def _collect(self) -> int:
        """Take what the others have sent; returns how many cells."""
        count = 0
        for rank, piece in list(self._working.items()):
            total = self._key("count", rank)
            end = int(self.team.take(total)) if self.team.has(total) else None  # before the pieces: they came first
            while self.team.has(self._key("cells", rank, piece)):
                cells = unpacked(self.team.take(self._key("cells", rank, piece), last=True))
                self.store.add(cells)
                count += len(cells)
                piece += 1
            self._working[rank] = piece
            if piece == end:
                del self._working[rank]
        return count

    def _publish(self, name: str, cells: Sequence[Cell]) -> None:
        starts = range(0, len(cells), AT_ONCE)
        for i, start in enumerate(starts):
            self.team.put(self._key(name, i), packed(cells[start : start + AT_ONCE]))
        self.team.put(self._key(name), str(len(starts)).encode())

    def _receive(self, name: str) -> None:
        for i in range(int(self.team.take(self._key(name)))):
            for cell in unpacked(self.team.take(self._key(name, i))):
                self.store.cells[cell.prompt_id, cell.example_id] = cell


def deal(pairs: Sequence[Pair], world: int) -> list[list[Pair]]:
    """``pairs`` in ``world`` parts with about as much text in each, the same wherever it is computed.

    An example stays in one part, under all its prompts, unless there are few examples.
    """
    groups: dict[str, list[int]] = {}
    for i, pair in enumerate(pairs):
        groups.setdefault(pair.example.id, []).append(i)
    pieces = -(-FINE * world // max(1, len(groups)))
    units = [part for group in groups.values() for part in _cut(group, pieces)]
    sizes = [sum(_size(pairs[i]) for i in unit) for unit in units]
    parts: list[list[int]] = [[] for _ in range(world)]
    loads = [0] * world
    for k in sorted(range(len(units)), key=lambda k: -sizes[k]):
        lightest = loads.index(min(loads))
        parts[lightest] += units[k]
        loads[lightest] += sizes[k]
    return [[pairs[i] for i in sorted(part)] for part in parts]


def _cut(group: list[int], pieces: int) -> list[list[int]]:
    size = -(-len(group) // min(pieces, len(group)))
    return [group[start : start + size] for start in range(0, len(group), size)]


def _size(pair: Pair) -> int:
    """About how much there is to read."""
    return sum(map(len, pair.example.slots.values())) + len(str(pair.prompt.text))


def packed(cells: Iterable[Cell]) -> bytes:
    """Cells as bytes."""
    rows = list(cells)
    table = pa.table({name: [getattr(c, name) for c in rows] for name in SCHEMA.names}, schema=SCHEMA)
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue().to_pybytes()


def unpacked(data: bytes) -> list[Cell]:
    """The cells again."""
    table = pq.read_table(pa.BufferReader(data))
    return [Cell(**{**row, "loglik": tuple(row["loglik"])}) for row in table.to_pylist()]
