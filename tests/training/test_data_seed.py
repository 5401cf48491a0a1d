"""--data-seed orders the examples, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from training.helpers import TEMPLATES, make_task, settings
from transformers import TrainerCallback

from paft.errors import OutputError
from paft.prompts import PromptSet
from paft.training import PaftTrainer
from paft.training.plan import EpochPlan


class Stop(Exception):
    """What kills a run."""


def trainer(model: Path, output: Path, *callbacks: TrainerCallback, **changes: Any) -> PaftTrainer:
    args = settings(output, num_train_epochs=1, save_strategy="steps", save_steps=2, **changes)
    return PaftTrainer(model, args, make_task(), PromptSet.from_texts(TEMPLATES), callbacks=callbacks)


def test_the_order_is_that_of_the_seed(tiny_model_dir, tmp_path) -> None:
    def planned(**changes: Any) -> EpochPlan:
        return trainer(tiny_model_dir("llama"), tmp_path / "none", **changes).stream.make_plan(1)

    plain, other, seeded = planned(), planned(data_seed=5), planned(seed=5)
    assert planned(data_seed=0) == plain  # --seed is 0
    ids = [e.id for e in make_task().examples("train")]
    order = np.random.default_rng([5, 1, 0]).permutation(len(ids))
    assert other.example_ids == [ids[i] for i in order]
    assert other.example_ids != plain.example_ids
    assert other.prompt_ids == plain.prompt_ids  # those are --seed's
    assert seeded.example_ids == other.example_ids
    assert seeded.prompt_ids != other.prompt_ids


def test_a_resumed_run_keeps_the_order(tiny_model_dir, tmp_path) -> None:
    class Stopping(TrainerCallback):
        def on_save(self, *args: Any, **kwargs: Any) -> None:
            raise Stop

    model = tiny_model_dir("llama")
    with pytest.raises(Stop):
        trainer(model, tmp_path / "killed", Stopping(), data_seed=3).train()
    with pytest.raises(OutputError, match=r"training.data_seed is 3 there and 4 here"):
        trainer(model, tmp_path / "killed", data_seed=4)
    for name in ("whole", "killed"):
        run = trainer(model, tmp_path / name, data_seed=3)
        run.train()
        run.save_model()
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(one[name].equal(two[name]) for name in one)
    plan = pq.read_table(tmp_path / "killed" / "plan" / "epoch-0.parquet").to_pydict()
    order = np.random.default_rng([3, 0, 0]).permutation(24)
    assert plan["example_id"] == [f"train:{i}" for i in order]
