"""Sweeps by several members, each a thread, over a store in memory; and what has to be the same in two sweeps."""

from __future__ import annotations

import threading
from pathlib import Path
from unittest.mock import patch

import numpy as np
from torch.distributed import HashStore

from paft.evaluation import SweepResult
from paft.evaluation.cells import read_cells
from paft.evaluation.local import loading
from paft.models import load_model
from paft.processes import Team, together

LOADING = threading.Lock()  # transformers changes its classes while it loads: threads would spoil them for each other


def one_at_a_time(*args, **kwargs):
    with LOADING:
        return load_model(*args, **kwargs)


def in_team(world, work, silence=60.0):
    """``work(rank)`` of so many members over one store, each a thread; their results, errors among them."""
    store, found = HashStore(), {}

    def member(rank: int) -> None:
        try:
            with together(Team(rank, world, store, silence)):
                found[rank] = work(rank)
        except BaseException as bad:
            found[rank] = bad

    threads = [threading.Thread(target=member, args=(rank,), daemon=True) for rank in range(world)]
    with patch.object(loading, "load_model", one_at_a_time):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(found) == world, "a member hangs"
    return [found[rank] for rank in range(world)]


def alike(one: SweepResult, two: SweepResult) -> bool:
    if one.summary["scoring"] != "generate":
        assert np.abs(one.loglik_pnk - two.loglik_pnk).max() <= 1e-5
    assert one.text_pn == two.text_pn
    assert (one.prediction_pn == two.prediction_pn).all()
    assert (one.prompt_ids, one.example_ids) == (two.prompt_ids, two.example_ids)
    return {**one.summary, "seconds": 0} == {**two.summary, "seconds": 0}


def keys(folder: Path) -> list[tuple[str, str]]:
    return [(c.prompt_id, c.example_id) for c in read_cells(folder)[0]]
