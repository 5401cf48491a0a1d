"""A verb that several processes run together: one of them speaks, and an error in one ends all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from paft.errors import InputError

if TYPE_CHECKING:
    from paft.processes import Team

ONE = ("demo", "select", "compare", "predict", "merge")
_failed: list[Team] = []  # the team that is to report its failure: at most one, since a process runs one verb


def launched() -> bool:
    """Whether a launcher started this process and others."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def leads() -> bool:
    """Whether this process is the one that prints."""
    return not launched() or os.environ["RANK"] == "0"


def refuse_launched(verb: str) -> None:
    """Refuse a verb that processes of one launch would do over each other.

    Raises:
        InputError: several processes were started.
    """

    def refuse() -> int:
        raise InputError(
            f"paft {verb} runs as one process, found {os.environ['WORLD_SIZE']}; start it without a launcher"
        )

    if launched() and verb in ONE:
        together(refuse)


def together(work: Callable[[], int]) -> int:
    """Do ``work`` in step with the other processes; its result, or the error of one."""
    if not launched():
        return work()
    from paft.processes import together as in_team

    with in_team() as team:
        _failed[:] = [team]
        code = work()
    _failed.clear()
    return code


@contextmanager
def one_voice() -> Iterator[bool]:
    """Gives whether this process is the one to report what went wrong; the others end after it has."""
    if not _failed:
        yield True
        return
    team = _failed.pop()
    try:
        mine = team.takes_the_word()
    except RuntimeError:  # the others cannot be reached
        yield True
        return
    yield mine
    if mine:
        team.has_spoken()
