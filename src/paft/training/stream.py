"""The rows of a run in the order they are trained on: a plan for each epoch, and batches that follow it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from paft.errors import InputError
from paft.processes import agreed
from paft.schedule import StatefulSchedule
from paft.tasks.ids import places
from paft.training.batches import PlanBatches, Row
from paft.training.checkpoints import Progress
from paft.training.plan import EpochPlan, make_plan, plan_path, read_plan, settle_plan
from paft.training.setup import Job


class Stream:
    """What a job trains on, row by row.

    Attributes:
        batches: those of this process.
        plan: the epoch being trained on.
        adaptive: the schedule learns from losses.
    """

    plan: EpochPlan | None = None

    def __init__(self, job: Job, processes: int = 1, rank: int = 0) -> None:
        args, self.job = job.args, job
        sizes = args.train_batch_size, args.gradient_accumulation_steps
        self.batches = PlanBatches(len(job.examples), *sizes, processes, rank, args.dataloader_drop_last)
        self.adaptive = bool(getattr(job.schedule, "adaptive", False))
        self._begun: int | None = None  # the epoch that the checkpoint lies within

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        args = self.job.args
        return args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * self.batches.steps)

    def make_plan(self, epoch: int) -> EpochPlan:
        """The plan of ``epoch`` as the schedule gives it now."""
        return make_plan(self.job.example_ids, self.job.schedule, epoch, self.job.args.order_seed)

    def begin_epoch(self, epoch: int) -> None:
        """Write the epoch's plan, or check the one that stands there, and let the batches follow it."""
        run, main = Path(str(self.job.args.output_dir)), self.job.args.process_index == 0
        stands = self.adaptive and epoch == self._begun  # the schedule has learnt since it gave that plan
        with agreed():
            if main:
                stood = read_plan(plan_path(run, epoch)) if stands else None
                self.plan = stood or settle_plan(run, self.make_plan(epoch), self.adaptive)
        if not main:  # only the main process has seen all losses
            self.plan = read_plan(plan_path(run, epoch)) if self.adaptive else self.make_plan(epoch)
        assert self.plan is not None
        self.batches.set_plan(self.plan, self.job.example_ids, [p.id for p in self.job.prompts])

    def known_rows(self) -> Iterator[Row]:
        """The rows of the plans that are known before the first step.

        Raises:
            InputError: the schedule gives a prompt that is not trained on.
        """
        prompts = [p.id for p in self.job.prompts]
        epochs = 1 if self.adaptive else math.ceil(max(1, self.job.args.num_train_epochs))
        for epoch in range(epochs):
            plan = self.make_plan(epoch)
            at = places(plan.prompt_ids, prompts)
            if (at < 0).any():
                gone = plan.prompt_ids[int(np.argmin(at))]
                raise InputError(f"the schedule gave the prompt {gone!r}, which is not among those trained on")
            for example, prompt in zip(places(plan.example_ids, self.job.example_ids), at, strict=True):
                yield Row(0, int(example), int(prompt))

    def first_rows(self, count: int) -> list[Row]:
        """The first ``count`` of the known rows."""
        return list(islice(self.known_rows(), count))

    # the schedule: what it is told, and what a checkpoint keeps of it

    def observe(self, losses: Sequence[tuple[int, float]]) -> None:
        """Tell the schedule, in the main process, the losses (position, nats per token) of a step, in plan order."""
        if losses and self.plan is not None and self.job.args.process_index == 0:
            ids = [self.plan.prompt_ids[position] for position, _ in losses]
            self.job.schedule.observe(self.plan.epoch, ids, [loss for _, loss in losses])

    def state(self) -> dict[str, Any] | None:
        """What the schedule has learnt; None where it does not say.

        Raises:
            InputError: something that does not come back from JSON as it was.
        """
        schedule = self.job.schedule
        if not isinstance(schedule, StatefulSchedule):
            return None
        state = schedule.state_dict()
        try:
            same = isinstance(state, dict) and json.loads(json.dumps(state, allow_nan=False)) == state
        except (TypeError, ValueError):
            same = False
        if not same:
            raise InputError(
                f"state_dict() of the schedule {type(schedule).__name__} would not come back from JSON as it is\n"
                "give a dict of text, numbers, lists and dicts with text for keys"
            )
        return state

    def check_schedule(self, resumed: Progress | None) -> None:
        """See that the schedule can go on from here, and that what it learns can be saved.

        Raises:
            InputError: one that learns, and either it or the checkpoint holds no state; or a state that is no JSON.
        """
        stateful = self.state() is not None
        if self.adaptive and resumed and (resumed.schedule is None or not stateful):
            raise InputError(
                "a schedule that learns from losses cannot be resumed without state_dict() and load_state_dict(); "
                "start anew in another folder"
            )

    def resume(self, progress: Progress) -> None:
        """Go on from a checkpoint: the schedule as it was, and the plan of the epoch that was begun."""
        schedule = self.job.schedule
        if progress.schedule is not None and isinstance(schedule, StatefulSchedule):
            schedule.load_state_dict(progress.schedule)
        epoch, within = divmod(progress.step, self.batches.steps)
        self._begun = epoch if within else None
