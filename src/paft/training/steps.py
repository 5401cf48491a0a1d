"""One optimiser step, exactly: the mean over the answer tokens of all its examples, however it is split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from accelerate.utils import DistributedType, gather_object
from transformers import Trainer

from paft.errors import RunError
from paft.schedule import Schedule
from paft.training.agreement import raise_first
from paft.training.config import PaftConfig
from paft.training.packing.check import Packing
from paft.training.packing.loss import answer_losses
from paft.training.packing.micro import IGNORED
from paft.training.plan import EpochPlan


class StepTrainer(Trainer):
    """Trainer whose batches are lists of micro-batches, as :class:`paft.training.batches.Collator` makes them.

    Attributes:
        accepted: the optional inputs that the model takes.
        packing: whether micro-batches are packed, and how the model attends then.
        plan: the epoch being trained on.
        dropped: rows left out so far as too long.
        tokens: tokens of this process's forward passes so far, padding counted.
    """

    args: PaftConfig
    model: Any
    model_wrapped: Any
    optimizer: Any
    train_dataset: Any
    data_collator: Any
    accepted: frozenset[str]
    schedule: Schedule
    packing: Packing = Packing()
    plan: EpochPlan | None = None
    dropped: int = 0
    tokens: int = 0

    def get_batch_samples(
        self, epoch_iterator: Iterable[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], torch.Tensor]:
        """The batches of one step on this process, and the answer tokens of the whole step on all."""
        batches = list(islice(epoch_iterator, num_batches))
        bad = next((b["error"] for b in batches if "error" in b), None)
        mine = [sum(b.get(name, 0) for b in batches) for name in ("answer_tokens", "dropped")]
        counts = torch.tensor([*mine, int(bad is not None)]).to(device)
        answer_tokens, dropped, failed = self.accelerator.reduce(counts, "sum").tolist()
        if failed:
            raise_first(bad)
        self.dropped += dropped
        self._step_losses: list[tuple[int, float]] = []
        return batches, torch.tensor(max(1, answer_tokens), device=device)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward over the micro-batches of one batch; returns their part of the step's loss.

        Raises:
            RunError: the loss is not a number.
        """
        model.train()
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()  # schedule-free optimisers
        on_device: dict[str, Any] = self._prepare_inputs({"micro": inputs["micro"]})
        micros = self._in_step_with_others(on_device["micro"])
        ends_step = self.accelerator.sync_gradients
        deepspeed = self.accelerator.distributed_type == DistributedType.DEEPSPEED
        options = {"scale_wrt_gas": False} if deepspeed else {}
        total = torch.zeros((), device=self.args.device)
        for index, micro in enumerate(micros):
            last = index == len(micros) - 1
            self.accelerator.gradient_state._set_sync_gradients(ends_step and last)
            alone = contextlib.nullcontext() if last or deepspeed else self.accelerator.no_sync(model)
            with alone, self.packing.forward(self.model, micro):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, micro, num_items_in_batch=num_items_in_batch)
                self.accelerator.backward(loss, **options)  # layers that are checkpointed attend once more
            total += loss.detach()
        found = self.accelerator.reduce(total, "sum")  # where one process has to stop, all do
        if not torch.isfinite(found):
            raise RunError(
                f"the loss is {found.item()} at step {self.state.global_step + 1}; its last checkpoint is whole\n"
                "lower --learning-rate, or use --dtype bfloat16 or float32 in place of float16"
            )
        if ends_step:
            self._tell_schedule()
        return total

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """A micro-batch's part of the mean over the answer tokens of the whole step, in nats per token.

        Parts add up over micro-batches and accumulation; over processes their mean counts, so each is
        scaled by the number of processes.
        """
        smoothing = self.args.label_smoothing_factor
        loss_ba = answer_losses(model, inputs, self.accepted, smoothing, self.packing.attention)
        counts = (inputs["labels"] != IGNORED).sum(1)
        means = loss_ba.detach().sum(1) / counts.clamp(min=1)
        self._step_losses += zip(inputs["positions"].tolist(), means.tolist(), strict=True)
        self.tokens += inputs["input_ids"].numel()
        total = counts.sum() if num_items_in_batch is None else num_items_in_batch
        return loss_ba.sum() / total * self.accelerator.num_processes

    def _in_step_with_others(self, micros: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Fill up with empty micro-batches to the most that any process has: sharded models meet in forward."""
        most = max(1, len(micros))
        if self.accelerator.num_processes > 1:
            most = int(self.accelerator.gather(torch.tensor([most], device=self.args.device)).max())
        filler: dict[str, Any] = self._prepare_inputs(self.data_collator.empty())
        return [filler] * (most - len(micros)) + list(micros)

    def _tell_schedule(self) -> None:
        mine = [pair for pair in self._step_losses if pair[0] >= 0]
        seen = sorted(gather_object(mine) if self.accelerator.num_processes > 1 else mine)
        if seen and self.plan is not None and self.is_world_process_zero():
            ids = [self.plan.prompt_ids[position] for position, _ in seen]
            self.schedule.observe(self.plan.epoch, ids, [loss for _, loss in seen])
