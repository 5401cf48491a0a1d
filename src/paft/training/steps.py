"""One optimiser step, exactly: the mean over the answer tokens of all its examples, however it is split."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object

from paft.errors import RunError
from paft.models.memory import is_out_of_memory
from paft.processes import raise_first

Micro = Mapping[str, Any]


@contextlib.contextmanager
def memory_told(batch_tokens: int, step: Callable[[], int]) -> Iterator[None]:
    """What to do, where memory runs out in here.

    Raises:
        RunError: it has run out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as bad:
        if not is_out_of_memory(bad):
            raise
        raise RunError(
            f"out of memory at step {step()}; --batch-tokens is {batch_tokens}\n"
            "lower it or add --gradient-checkpointing, and go on with --resume; or start anew with --qlora"
        ) from bad


class Steps:
    """Takes the batches of a step, lists of micro-batches, runs them backward, and counts.

    Attributes:
        dropped: rows left out so far as too long, on all processes.
        tokens: tokens of this process's forward passes so far, padding counted.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.dropped = self.tokens = 0
        self._losses: list[tuple[int, float]] = []  # of the rows of this step: position in the plan, loss

    def take(self, batches: Iterable[dict[str, Any]], count: int) -> tuple[list[dict[str, Any]], torch.Tensor]:
        """The ``count`` batches of a step on this process, and the answer tokens of the whole step on all.

        Raises:
            PaftError: a row of any process that cannot be trained on.
        """
        taken = list(islice(batches, count))
        bad = next((b["error"] for b in taken if "error" in b), None)
        mine = [sum(b.get(name, 0) for b in taken) for name in ("answer_tokens", "dropped")]
        counts = torch.tensor([*mine, int(bad is not None)]).to(self.accelerator.device)
        answer_tokens, dropped, failed = self.accelerator.reduce(counts, "sum").tolist()
        if failed:
            raise_first(bad)
        self.dropped += dropped
        self._losses = []
        return taken, torch.tensor(max(1, answer_tokens), device=self.accelerator.device)

    def level(self, micros: list[Micro], empty: Micro) -> list[Micro]:
        """Fill up with empty micro-batches to the most that any process has: sharded models meet in forward."""
        most = max(1, len(micros))
        if self.accelerator.num_processes > 1:
            most = int(self.accelerator.gather(torch.tensor([most], device=self.accelerator.device)).max())
        return [empty] * (most - len(micros)) + list(micros)

    def backward(
        self,
        model: torch.nn.Module,
        micros: list[Micro],
        around: Callable[[Micro], AbstractContextManager[None]],
        loss_of: Callable[[Micro], torch.Tensor],
    ) -> torch.Tensor:
        """Forward and backward over micro-batches; returns the sum of their losses.

        Args:
            around: what a micro-batch is run in, forward and backward.
        """
        ends_step = self.accelerator.sync_gradients
        deepspeed = self.accelerator.distributed_type == DistributedType.DEEPSPEED
        options = {"scale_wrt_gas": False} if deepspeed else {}
        total = torch.zeros((), device=self.accelerator.device)
        for index, micro in enumerate(micros):
            last = index == len(micros) - 1
            self.accelerator.gradient_state._set_sync_gradients(ends_step and last)
            alone = contextlib.nullcontext() if last or deepspeed else self.accelerator.no_sync(model)
            with alone, around(micro):
                loss = loss_of(micro)
                self.accelerator.backward(loss, **options)  # layers that are checkpointed attend once more
            total += loss.detach()
        return total

    def count(self, micro: Micro, losses: torch.Tensor) -> None:
        """Keep the tokens of a micro-batch and the loss of each of its rows."""
        self._losses += zip(micro["positions"].tolist(), losses.tolist(), strict=True)
        self.tokens += micro["input_ids"].numel()

    def require_finite(self, loss: torch.Tensor, step: int) -> None:
        """Stop where the loss is not a number on any process; then all stop.

        Raises:
            RunError: it is not.
        """
        found = self.accelerator.reduce(loss, "sum")
        if not torch.isfinite(found):
            raise RunError(
                f"the loss is {found.item()} at step {step}; its last checkpoint is whole\n"
                "lower --learning-rate, or use --dtype bfloat16 or float32 in place of float16"
            )

    def losses(self) -> list[tuple[int, float]]:
        """Position and loss of each row of the step, on all processes, in plan order; every process has to ask."""
        mine = [pair for pair in self._losses if pair[0] >= 0]
        return sorted(gather_object(mine) if self.accelerator.num_processes > 1 else mine)
