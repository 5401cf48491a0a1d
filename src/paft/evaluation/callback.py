"""Sweeping a model while it trains."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from paft.errors import InputError
from paft.evaluation.dating import settled_date
from paft.evaluation.local.whole import whole
from paft.evaluation.results.result import SweepResult
from paft.evaluation.sweeping import sweep
from paft.processes import several
from paft.prompts import PromptSet
from paft.tasks.base import Task


class SweepCallback(TrainerCallback):
    """Sweeps the live model every so many steps, or at the end of every epoch; training is unchanged by it.

    Where several processes train (DDP), each sweeps its share, and all have the result. Weights that are parted over
    processes (FSDP, DeepSpeed ZeRO-3) are refused when training begins.

    The numbers go into the training log as ``sweep_mean``, ``sweep_std``, ``sweep_min`` and ``sweep_top``. Through
    ``attach(trainer)`` they also reach whatever the trainer reports to; given as ``callbacks=[...]`` they reach the
    trainer's state alone.

    Args:
        task: the task, with data.
        prompts: prompts not trained on.
        split: which examples.
        every_steps: optimiser steps between two sweeps; None sweeps at the end of every epoch.
        limit: a sample of that many examples, the same each time.
        options: anything else that ``sweep`` takes, such as ``scoring`` or ``batch_tokens``.

    Attributes:
        results: ``(step, result)`` of every sweep so far.
    """

    def __init__(
        self,
        task: Task,
        prompts: PromptSet,
        split: str = "validation",
        every_steps: int | None = None,
        limit: int | None = None,
        **options: Any,
    ) -> None:
        if every_steps is not None and every_steps < 1:
            raise InputError(f"every_steps must be at least 1, found {every_steps}")
        self.task = task
        self.prompts = prompts
        self.split = split
        self.every_steps = every_steps
        self.options = {"limit": limit, "progress": False, "date": settled_date(None, None), **options}
        self._dated = "date" in options
        self.results: list[tuple[int, SweepResult]] = []
        self._trainer: Trainer | None = None

    def attach(self, trainer: Trainer) -> SweepCallback:
        """Add this callback to ``trainer`` and log through it."""
        self._trainer = trainer
        if not self._dated and (day := getattr(getattr(trainer, "encoder", None), "date", None)) is not None:
            self.options["date"] = day
        trainer.add_callback(self)
        return self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        whole(kwargs["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.every_steps is not None and state.global_step % self.every_steps == 0:
            self._sweep(state, kwargs["model"], kwargs["processing_class"])

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.every_steps is None:
            self._sweep(state, kwargs["model"], kwargs["processing_class"])

    def _sweep(self, state: TrainerState, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        if not (state.is_world_process_zero or several()):
            return
        with same_random_state():
            result = sweep((model, tokenizer), self.task, self.prompts, self.split, **self.options)
        self.results.append((state.global_step, result))
        numbers = {"sweep_mean": result.mean}
        if "quick" not in result.summary:
            numbers |= {"sweep_min": result.min, "sweep_top": result.top()}
        if result.std is not None:
            numbers["sweep_std"] = result.std
        if self._trainer is not None:
            due = self._trainer.control.should_log
            self._trainer.log(numbers)
            self._trainer.control.should_log = due  # logging takes it back, and the loss would go unsaid
        else:
            state.log_history.append({**numbers, "step": state.global_step, "epoch": state.epoch or 0.0})


@contextmanager
def same_random_state() -> Iterator[None]:
    """Whatever draws random numbers in between, the global generators end as they began."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
