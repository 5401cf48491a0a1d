"""The processes that do one job together: who they are, what they tell each other, and how all stop where one does.

All goes through the key-value store that the processes were started with. There are no collective calls, so nothing
waits for ever on a process that has failed, and nothing depends on how tensors travel.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import torch.distributed as dist

from paft import errors
from paft.errors import InputError, PaftError, RunError

SILENCE = 3600.0  # seconds without a sign of anyone after which the others are given up: a model may be downloaded
GOODBYE = 30.0  # seconds that a failure waits for the others to notice it
PART = 1 << 20  # bytes of a value: a store takes 8 MB at most
P = ParamSpec("P")
T = TypeVar("T")


class Team:
    """This process among those that work together.

    Attributes:
        rank: its number; 0 leads: it alone reads and writes files, and speaks.
        world: how many there are.
    """

    def __init__(self, rank: int = 0, world: int = 1, store: Any = None, silence: float = SILENCE) -> None:
        self.rank, self.world, self.silence = rank, world, silence
        self._store = store  # a torch.distributed.Store; not asked where there is one process
        self._rounds = itertools.count()
        self._beat = 0.0
        self._left_over: list[str] = []

    @property
    def first(self) -> bool:
        """Whether this process leads."""
        return self.rank == 0

    def next_round(self) -> int:
        """A number that is the same in every process: the call they are at."""
        return next(self._rounds)

    def put(self, key: str, data: bytes) -> None:
        """Leave ``data`` for others to find."""
        parts = {f"{key}/{i}": data[start : start + PART] for i, start in enumerate(range(0, len(data), PART))}
        for name, part in parts.items():
            self._store.set(name, part)
        self._store.set(key, str(len(parts)))
        if self.first:
            self._left_over += [*parts, key]

    def has(self, key: str) -> bool:
        """Whether someone has left that."""
        return bool(self._store.check([key]))

    def take(self, key: str, last: bool = False) -> bytes:
        """What someone has left or will leave; the ``last`` to take it removes it.

        Raises:
            RunError: nobody gave a sign for as long as ``silence``.
            PaftError: another process has failed: its error.
        """
        patience = Patience(self)
        while not self.has(key):
            patience.use()
        names = [f"{key}/{i}" for i in range(int(self._store.get(key)))]
        data = b"".join(self._store.get(name) for name in names)
        if last:
            for name in (*names, key):
                self._store.delete_key(name)
        return data

    def beat(self) -> None:
        """Give a sign, at most one a second."""
        if time.monotonic() - self._beat >= 1:
            self._beat = time.monotonic()
            self._store.add("beats", 1)

    def beats(self) -> int:
        """How many signs there were, of all processes."""
        return self._store.add("beats", 0)

    def check(self) -> None:
        """Raise the error of another process that has failed."""
        if self.world > 1 and self.has("failed"):
            raise _revived(json.loads(self._store.get("failed")), self.world)

    def fail(self, bad: BaseException) -> None:
        """Tell the others that this process cannot go on; the first who says so is heard."""
        if self._store.add("failures", 1) == 1:
            kind = type(bad).__name__
            self._store.set("failed", json.dumps({"rank": self.rank, "kind": kind, "message": str(bad)}))

    def leave(self, failed: bool) -> None:
        """Wait until all are done, process 0 last: it may be the one that keeps the store.

        Raises:
            PaftError: where this process has not ``failed``, the error of one that has.
        """
        others = range(1, self.world)
        self._store.set(f"left/{self.rank}", "")
        if self.first:
            self._until([f"gone/{r}" for r in others], failed)
            for key in self._left_over:
                self._store.delete_key(key)
        else:
            self._until(["left/0"], failed)
            self._store.set(f"gone/{self.rank}", "")

    def takes_the_word(self) -> bool:
        """Whether this process is the one that reports the failure: process 0, unless it does not answer."""
        if not self.first and self.has("left/0"):
            self._until(["said"], failed=True, seconds=5)
            self._store.set(f"heard/{self.rank}", "")
            return False
        return self._store.add("words", 1) == 1

    def has_spoken(self) -> None:
        """The failure is reported: the others may end."""
        self._store.set("said", "")
        if self.first:
            self._until([f"heard/{r}" for r in range(1, self.world)], failed=True, seconds=5)

    def _until(self, keys: list[str], failed: bool, seconds: float = GOODBYE) -> None:
        patience, end = Patience(self), time.monotonic() + seconds
        while not self._store.check(keys):
            if not failed:
                patience.use()
            elif time.monotonic() > end:
                return
            else:
                time.sleep(0.02)
        if not failed:
            self.check()


class Patience:
    """Waiting for others: until one of them fails, or none gives a sign for too long."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self._beats, self._since, self._nap = -1, time.monotonic(), 0.005

    def use(self) -> None:
        """Wait for a moment."""
        self.team.check()
        beats = self.team.beats()
        if beats != self._beats:
            self._beats, self._since = beats, time.monotonic()
        if time.monotonic() - self._since > self.team.silence:
            raise RunError(
                f"process {self.team.rank} of {self.team.world} has waited {self.team.silence / 60:.0f} minutes for "
                "the others; finished cells are kept\nevery process has to call sweep, or one with alone=True"
            )
        time.sleep(self._nap)
        self._nap = min(self._nap * 1.5, 0.2)


_current: ContextVar[Team | None] = ContextVar("paft_team", default=None)
_teams = itertools.count()


def current() -> Team:
    """The team that this process works in; one of its own where it works alone."""
    return _current.get() or Team()


def several() -> bool:
    """Whether torch.distributed has more processes than this one."""
    return _initialised() and dist.get_world_size() > 1


@contextmanager
def together(team: Team | None = None) -> Iterator[Team]:
    """Work with the other processes of this launch, if there are any: an error in one is an error in all.

    Within another ``together`` it is the same team. Every process of the launch has to come here.

    Args:
        team: by default that of torch.distributed where it is initialised, else that of the launcher's environment.

    Raises:
        PaftError: this process's error, or that of another.
        RunError: the others cannot be reached.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    try:
        team = team or _join()
        with _as(team):
            if team.world == 1:
                yield team
                return
            try:
                yield team
                team.leave(failed=False)
            except BaseException as bad:
                with suppress(dist.DistError):
                    team.fail(bad)
                    team.leave(failed=True)
                raise
    except dist.DistError as bad:
        raise RunError(f"lost touch with the other processes: {str(bad).splitlines()[0]}") from bad


def in_step(call: Callable[P, T]) -> Callable[P, T]:
    """Let every process of a launch make this call ``together``, unless it is made with ``alone=True``."""

    @functools.wraps(call)
    def stepped(*args: P.args, **kwargs: P.kwargs) -> T:
        if kwargs.get("alone"):
            with _as(Team()):
                return call(*args, **kwargs)
        with together():
            return call(*args, **kwargs)

    return stepped


@contextmanager
def _as(team: Team) -> Iterator[None]:
    token = _current.set(team)
    try:
        yield
    finally:
        _current.reset(token)


def _initialised() -> bool:
    return dist.is_available() and dist.is_initialized()


def _join() -> Team:
    """The team of torch.distributed where it is initialised, else that of the launcher's environment."""
    if several():
        rank, world = dist.get_rank(), dist.get_world_size()
        store = dist.distributed_c10d._get_default_store()
    elif not _initialised() and {"RANK", "WORLD_SIZE"} <= os.environ.keys() and os.environ["WORLD_SIZE"] != "1":
        store, rank, world = _from_environment()
    else:
        return Team()
    return Team(rank, world, dist.PrefixStore(f"paft/sweep/{next(_teams)}", store))


@functools.cache  # for as long as this process lives: closing it would part it from whoever comes later
def _from_environment() -> tuple[dist.Store, int, int]:
    address = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
    try:
        store, rank, world = next(dist.rendezvous("env://", timeout=timedelta(seconds=SILENCE)))
    except (ValueError, dist.DistError) as bad:
        raise InputError(
            f"the processes that RANK {os.environ['RANK']} and WORLD_SIZE {os.environ['WORLD_SIZE']} speak of do not "
            f"meet at {address}: {str(bad).splitlines()[0]}\n"
            "start all with torchrun or accelerate launch, or unset WORLD_SIZE to work with one"
        ) from bad
    return store, rank, world


def _revived(told: Mapping[str, Any], world: int) -> BaseException:
    """Another process's error."""
    kind = getattr(errors, told["kind"], None)
    who = f"process {told['rank']} of {world}"
    if told["kind"] == "KeyboardInterrupt":
        return KeyboardInterrupt()
    if isinstance(kind, type) and issubclass(kind, PaftError):
        return kind(f"{who}: {told['message']}")
    return RunError(f"{who} stopped with an unexpected {told['kind']}: {told['message'][:300]}")
