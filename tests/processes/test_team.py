"""Processes of one job, each a thread over a store in memory: what they tell each other, and how they end."""

from __future__ import annotations

import os
import threading
import time

import pytest
from torch.distributed import HashStore

from paft.errors import InputError, OutputError, PaftError
from paft.processes import Team, agreed, check_same, current, exchange, from_main, in_step, several, together
from paft.processes.team import PART


def test_a_value_of_any_size_travels() -> None:
    big = os.urandom(2 * PART + 5)
    store = HashStore()
    Team(1, 2, store).put("big", big)
    assert Team(0, 2, store).take("big", last=True) == big
    assert not Team(0, 2, store).has("big")


def test_an_error_on_the_last_mile_is_one_of_all() -> None:
    """Process 1 fails when the others are done and wait to leave."""
    store, found = HashStore(), {}

    def member(rank: int) -> None:
        team = Team(rank, 2, store)
        try:
            with together(team):
                if rank == 1:
                    while not team.has("left/0"):
                        time.sleep(0.001)
                    raise OutputError("the disk is gone")
        except PaftError as bad:
            found[rank] = str(bad), team.takes_the_word()
            if found[rank][1]:
                team.has_spoken()

    threads = [threading.Thread(target=member, args=(rank,), daemon=True) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {0: ("process 1 of 2: the disk is gone", True), 1: ("the disk is gone", False)}


def test_one_process_needs_nobody() -> None:
    assert not several()
    assert (exchange(7), from_main(7)) == ([7], 7)
    check_same({"seed": 1, "training": {"epochs": 2}}, 0)
    with together() as team:
        assert (team.rank, team.world, team.first) == (0, 1, True)
        assert current() is team
        with together() as inner:
            assert inner is team
    with pytest.raises(InputError, match="wrong"), agreed():
        raise InputError("wrong")


def test_a_call_in_step_is_in_the_team_and_one_alone_is_not() -> None:
    """Both members of a team come; one that is called with ``alone`` works by itself within."""

    @in_step
    def call(alone: bool = False) -> tuple[int, int]:
        return current().rank, current().world

    store, found = HashStore(), {}

    def member(rank: int) -> None:
        with together(Team(rank, 2, store)):
            found[rank] = call(), call(alone=True)

    threads = [threading.Thread(target=member, args=(rank,), daemon=True) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {rank: ((rank, 2), (0, 1)) for rank in range(2)}
