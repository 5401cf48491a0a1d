"""What a run is composed of can be exchanged: what is made small, what learns from losses, what follows the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training.helpers import TEMPLATES, make_task, settings
from transformers import TrainerCallback

from paft.errors import InputError
from paft.prompts import PromptSet
from paft.schedule import UniformSchedule
from paft.training import PaftTrainer, read_plan, train
from paft.training.lora import lora_config
from paft.training.objective import MicroLoss
from paft.training.plan import plan_path

PROMPTS = PromptSet.from_texts(TEMPLATES)


def make(run: Path, model: Path, schedule: Any = None, callbacks: Any = (), **changes: Any) -> PaftTrainer:
    args = settings(run, **changes)
    return PaftTrainer(model, args, make_task(), PROMPTS, lora_config(), schedule, callbacks=callbacks)


def test_a_job_is_settled_once(tiny_model_dir, tmp_path):
    """The examples are read where it is settled, and nowhere else."""
    task, read = make_task(), []
    counting = replace(task, read=lambda split: read.append(split) or task.read(split))
    plain = {"device": "cpu", "chat": "off", "max_steps": 1, "say": lambda text: None}
    train(model=tiny_model_dir("llama"), task=counting, prompts=PROMPTS, output=tmp_path / "run", **plain)
    assert read == ["train"]


def test_another_objective(tiny_model_dir, tmp_path):
    """Three times the loss has three times the gradient; the schedule is told the losses of rows as ever."""
    kept: list[dict[str, torch.Tensor]] = []

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            kept.append({n: p.grad.clone() for n, p in kwargs["model"].named_parameters() if p.grad is not None})

    logged = []
    for factor in (1, 3):
        options = {"max_steps": 1, "batch_tokens": 150, "max_grad_norm": 0.0}
        trainer = make(tmp_path / str(factor), tiny_model_dir("llama"), None, [Keep()], **options)
        plain = trainer.objective

        def times(model: Any, micro: Any, attention: Any, plain: Any = plain, factor: int = factor) -> MicroLoss:
            found = plain(model, micro, attention)
            return MicroLoss(factor * found.total, found.rows)

        trainer.objective = times
        trainer.train()
        logged.append(trainer.state.log_history[0]["loss"])
    assert logged[1] == pytest.approx(3 * logged[0], rel=1e-6)
    one, three = kept
    assert one
    assert any(one[name].norm() > 0 for name in one)
    assert all((three[name] - 3 * one[name]).norm() <= 1e-5 * three[name].norm() for name in one)


def test_what_follows_the_weights_sees_each_step(tiny_model_dir, tmp_path):
    """A running mean of weights, kept by a callback of Trainer's own kind: after each step of the optimiser."""
    seen: list[torch.Tensor] = []

    class Follow(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            weights = [p.detach().flatten() for p in kwargs["model"].parameters() if p.requires_grad]
            seen.append(torch.cat(weights).clone())

    trainer = make(
        tmp_path / "run", tiny_model_dir("llama"), None, [Follow()], max_steps=3, lr_scheduler_type="constant"
    )
    trainer.train()
    final = torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])
    assert len(seen) == 3
    assert seen[-1].equal(final)
    assert not seen[0].equal(seen[1])


class Learning(UniformSchedule):
    """Draws, in each epoch, the prompts by the losses so far: whoever was told others gives another plan."""

    adaptive = True

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(ids)
        self.sums = dict.fromkeys(ids, 0.0)

    def observe(self, epoch: int, prompt_ids: Sequence[str], losses: Sequence[float]) -> None:
        for name, loss in zip(prompt_ids, losses, strict=True):
            self.sums[name] += loss

    def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
        order = sorted(self.sums, key=lambda name: (-self.sums[name], name))
        return [order[i // 3 % len(order)] for i in range(len(example_ids))]


class Stateful(Learning):
    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self.sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = dict(state["sums"])


class Stop(Exception):
    """What kills a run."""


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise Stop


SAVING: dict[str, Any] = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 2}


@pytest.fixture(scope="module")
def whole(tiny_model_dir, tmp_path_factory) -> PaftTrainer:
    """The uninterrupted run: 2 epochs of 6 steps."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    trainer = make(folder, tiny_model_dir("llama"), Stateful(PROMPTS.ids), **SAVING)
    trainer.train()
    return trainer


@pytest.mark.parametrize("step", [5, *(pytest.param(step, marks=pytest.mark.slow) for step in (7, 9))])
def test_a_schedule_that_learns_goes_on_to_the_same_plans(step, whole, tiny_model_dir, tmp_path):
    """Saved at every second step: stopped within an epoch, after one, and within the next."""
    model, options = tiny_model_dir("llama"), SAVING
    with pytest.raises(Stop):
        make(tmp_path / "run", model, Stateful(PROMPTS.ids), [StopAt(step)], **options).train()
    again = make(tmp_path / "run", model, Stateful(PROMPTS.ids), **options)
    again.train()
    runs = whole.run_folder, tmp_path / "run"
    plans = [[read_plan(plan_path(run, epoch)).prompt_ids for epoch in range(2)] for run in runs]
    assert plans[0] == plans[1]
    assert len({tuple(plan) for plan in plans[0]}) > 1  # it has learnt
    assert again.job.schedule.sums == whole.job.schedule.sums
    pairs = zip(again.model.parameters(), whole.model.parameters(), strict=True)
    assert all(a.equal(b) for a, b in pairs)


def test_a_schedule_that_learns_and_says_nothing_is_refused(tiny_model_dir, tmp_path):
    model, options = tiny_model_dir("llama"), {"save_strategy": "steps", "save_steps": 5}
    make(tmp_path / "run", model, Learning(PROMPTS.ids), **options).train()
    for schedule in (Learning(PROMPTS.ids), Stateful(PROMPTS.ids)):  # the checkpoints hold no state
        schedule.__class__ = type("Learning", (type(schedule),), {})  # config.yaml knows it by name
        with pytest.raises(InputError, match="cannot be resumed without state_dict"):
            make(tmp_path / "run", model, schedule, **options).train()


def test_a_state_that_json_changes_is_refused_before_the_first_step(tiny_model_dir, tmp_path):
    class Numbered(Stateful):
        def state_dict(self) -> dict[str, Any]:
            return {"sums": {1: 0.5}}

    with pytest.raises(InputError, match="Numbered would not come back from JSON as it is"):
        make(tmp_path / "run", tiny_model_dir("llama"), Numbered(PROMPTS.ids)).train()
    assert not (tmp_path / "run" / "config.yaml").exists()
