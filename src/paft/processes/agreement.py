"""Processes in one group of torch.distributed: an error in one is an error in all, and all mean the same run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as dist

from paft.errors import InputError, PaftError
from paft.processes.team import several

T = TypeVar("T")


def exchange(mine: T) -> list[T]:
    """What each process has to say, by rank; every process has to come here."""
    if not several():
        return [mine]
    said: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(said, mine)
    return said


def from_main(mine: T) -> T:
    """What the main process has to say."""
    if not several():
        return mine
    said = [mine]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def raise_first(bad: PaftError | None) -> None:
    """Raise, in every process, the error of the first that has one; every process has to come here.

    Raises:
        PaftError: one of them.
    """
    if not several():
        if bad is not None:
            raise bad
        return
    for found in exchange(bad):
        if found is not None:
            raise found


@contextmanager
def agreed() -> Iterator[None]:
    """An error of ours in here, in any process, is raised in all; so none waits for one that has stopped.

    Raises:
        PaftError: one of them.
    """
    bad: PaftError | None = None
    try:
        yield
    except PaftError as found:
        bad = found
    raise_first(bad)


def check_same(work: Mapping[str, Any], step: int) -> None:
    """See that all processes train the same thing and go on from the same step.

    Args:
        work: what decides the outcome of the run, as config.yaml holds it.
        step: of the checkpoint that this process goes on from; 0 for none.

    Raises:
        InputError: they differ; raised in all processes.
    """
    told = exchange((_flat(work), step))
    for rank, (other, begins) in enumerate(told):
        changed = [name for name in told[0][0] if other.get(name) != told[0][0][name]]
        if changed:
            name = changed[0]
            raise InputError(
                f"process {rank} has another {name} than process 0: {other.get(name)!r}, not {told[0][0][name]!r}\n"
                "start all processes with the same options, data and versions"
            )
        if begins != told[0][1]:
            raise InputError(
                f"process {rank} finds step {begins} in the run folder to go on from, process 0 step {told[0][1]}\n"
                "all machines have to see the same --output folder"
            )


def _flat(work: Mapping[str, Any]) -> dict[str, Any]:
    """The values of mappings one level down under names such as ``training.seed``."""
    parts = {k: v if isinstance(v, Mapping) else {"": v} for k, v in work.items()}
    return {f"{k}.{name}" if name else k: v for k, inner in parts.items() for name, v in inner.items()}
