"""Runs what rows share, then hands out the rows in batches that go on from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from paft.evaluation.forward import Forward, State
from paft.evaluation.planning import Ids, Plan, parted, plan_starts


class Batch(NamedTuple):
    """Rows to be run together.

    Attributes:
        members: which rows.
        begins: how many tokens of each are run already.
        after: the state to go on from, a row of it for each member; None where nothing is run.
    """

    members: list[int]
    begins: list[int]
    after: State | None


class Walk:
    """Every row once, in batches of like length; what rows share is run before them, and kept until they are done.

    At each level at most ``batch_tokens`` tokens are held, so that memory does not grow with the number of rows.

    Args:
        rows: token ids of every row.
        more: tokens that each row will take beside its own.
        batch_tokens: most tokens run at once, padding included.
        max_rows: most rows of a batch.
    """

    def __init__(
        self, forward: Forward, rows: Sequence[Ids], more: Sequence[int], batch_tokens: int, max_rows: int
    ) -> None:
        self.forward, self.rows, self.more = forward, rows, more
        self.limits = batch_tokens, max_rows
        self.plan = plan_starts(rows) if forward.free_masks else Plan([], [-1] * len(rows))
        self.begins = [0 if home < 0 else self.plan.starts[home].end for home in self.plan.home]
        self._leaves: dict[int, list[int]] = {}
        for i, home in enumerate(self.plan.home):
            self._leaves.setdefault(home, []).append(i)
        self._below: dict[int, list[int]] = {}
        for i, start in enumerate(self.plan.starts):
            self._below.setdefault(start.parent, []).append(i)

    def batches(self) -> Iterator[Batch]:
        """The rows in batches. A batch's state is good until the next batch is asked for."""
        yield from self._visit(None, [-1])

    def _visit(self, state: State | None, starts: Sequence[int]) -> Iterator[Batch]:
        """The rows below these starts, which ``state`` has in this order."""
        place = {start: k for k, start in enumerate(starts)}
        plan, new = self.plan, [s.end - s.begin for s in self.plan.starts]
        below = [i for start in starts for i in self._below.get(start, ())]
        for group in parted(below, new, [s.begin for s in plan.starts], *self.limits):
            parents = [place[plan.starts[i].parent] for i in group]
            yield from self._visit(self._run(state, group, parents), group)
        leaves = [i for start in starts for i in self._leaves.get(start, ())]
        for members in self._parted(leaves):
            room = max(len(self.rows[i]) - self.begins[i] + self.more[i] for i in members)
            after = None if state is None else state.picked([place[plan.home[i]] for i in members], room)
            yield Batch(members, [self.begins[i] for i in members], after)

    def _run(self, state: State | None, starts: Sequence[int], parents: Sequence[int]) -> State | None:
        """The state after these starts."""
        parts = [self.rows[s.row][s.begin : s.end] for s in (self.plan.starts[i] for i in starts)]
        after = None if state is None else state.picked(parents, max(map(len, parts)))
        return self.forward.start(parts, use_cache=True, after=after, wanted=False)[1]

    def _parted(self, leaves: Sequence[int]) -> Iterator[list[int]]:
        new = [len(self.rows[i]) - self.begins[i] + self.more[i] for i in leaves]
        behind = [self.begins[i] for i in leaves]
        for batch in parted(range(len(leaves)), new, behind, *self.limits):
            yield [leaves[k] for k in batch]
