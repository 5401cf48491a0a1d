"""Losses and gradients of a few rows of a run, in one way of running them and in the plainest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device

from paft.models.causal import Row, refuse_not_causal
from paft.training.config import PaftConfig
from paft.training.packing.layout import Packing
from paft.training.packing.loss import answer_losses
from paft.training.packing.micro import Item, Padding, pack, padded, split

SAMPLED = 32
TOLERANCE = 1e-4, 1e-3  # in float32: of loss and gradient; the limit where padding alone already changes more
HALF_TOLERANCE = 0.02, 0.1  # in lower precision


class Figures(NamedTuple):
    """Each row's loss, and the gradients of their mean."""

    losses: torch.Tensor
    gradients: list[torch.Tensor]


class Apart(NamedTuple):
    """Relative differences: the largest of a row's loss, to the mean loss; the gradient's, by norms."""

    loss: float
    gradient: float


@dataclass(frozen=True)
class CheckInput:
    """What the check reads of a run.

    Attributes:
        accepted: the optional inputs that the model takes.
        rows: its first :data:`SAMPLED` rows; ``pad_id`` fills padded ones up.
        longest: its longest row; None where none fits.
        sharded: the model will be parted among processes, so nothing can be computed yet.
    """

    model: Any
    args: PaftConfig
    accelerator: Accelerator
    accepted: frozenset[str]
    rows: Sequence[Item]
    pad_id: int
    longest: Item | None
    sharded: bool


class FewRows:
    """Some rows of a run, and what the plainest way makes of them: one row a pass, no mask, no padding.

    Attributes:
        items: the longest of the run, which a window shows on, and of its first ones the shortest and one in between;
            longest first.
    """

    def __init__(self, run: CheckInput) -> None:
        self.run, self.pad_id = run, run.pad_id
        known = [
            *([] if run.longest is None else [run.longest]),
            *(row for row in run.rows if row.encoding is not None),
        ]
        known.sort(key=lambda item: -item.tokens)
        places = sorted({0, len(known) // 2, len(known) - 1}) if known else []
        self.items = [known[place] for place in places]

    def micros(self, packed: bool, padding: Padding) -> list[dict[str, Any]]:
        """The rows as micro-batches within ``batch_tokens``, as few as they go: together is what has to be shown."""
        most = self.run.args.batch_tokens
        groups = split(self.items, most, packed, start_tokens=most, padding=padding)
        return [pack(group) if packed else padded(group, self.pad_id, padding) for group in groups]

    @cached_property
    def plain(self) -> Figures:
        """Of the rows one by one."""
        return self.figures(self.micros(False, "single"), None)

    def tolerance(self, found: float) -> float:
        """What a difference of this size is held to.

        Where it is not small, three times what padding at the end changes, which no token sees; within limits.
        """
        least, most = TOLERANCE if self._full_precision() else HALF_TOLERANCE
        return least if found <= least else max(least, min(3 * self._noise, most))

    @cached_property
    def _noise(self) -> float:
        return max(self.apart(self.figures(self.micros(False, "right"), None)))

    def apart(self, other: Figures) -> Apart:
        """How far figures are from the plain ones."""
        plain = self.plain
        loss = (plain.losses - other.losses).abs().max() / plain.losses.mean().clamp(min=1e-12)
        pairs = list(zip(plain.gradients, other.gradients, strict=True))
        apart = torch.stack([(a - b).float().norm() for a, b in pairs]).norm()
        size = torch.stack([a.float().norm() for a in plain.gradients]).norm()
        return Apart(float(loss), float(apart / size.clamp(min=1e-12)))

    def figures(self, micros: Sequence[dict[str, Any]], way: Packing | None, as_in_steps: bool = False) -> Figures:
        """Of these micro-batches, with dropout only ``as_in_steps``; None runs them without any shortcut."""
        run, model = self.run, self.run.model
        trained = [p for p in model.parameters() if p.requires_grad]
        was_training, rows = model.training, sum(len(micro["positions"]) for micro in micros)
        attention = None if way is None else way.attention
        losses = []
        model.train(as_in_steps)
        try:
            for micro in (send_to_device(micro, run.args.device) for micro in micros):
                with nullcontext() if way is None else way.forward(model, micro):
                    with run.accelerator.autocast():
                        loss_ba = answer_losses(model, micro, run.accepted, attention=attention)
                    (loss_ba.sum() / rows).backward()
                losses.append(loss_ba.detach().sum(1))
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
            return Figures(torch.cat(losses).float(), gradients)
        finally:
            model.zero_grad(set_to_none=True)
            model.train(was_training)

    def refuse_not_causal(self) -> None:
        """Refuse a model that sees later tokens. Raises ModelError."""
        rows = [item.encoding.input_ids for item in self.items if item.encoding]
        share = (TOLERANCE if self._full_precision() else HALF_TOLERANCE)[1]
        model, was_training = self.run.model, self.run.model.training
        options = {"use_cache": False} if "use_cache" in self.run.accepted else {}

        def logits(row: Row, first: int) -> torch.Tensor:
            ids = torch.tensor([list(row)], device=self.run.args.device)
            with torch.no_grad(), self.run.accelerator.autocast():
                return model(input_ids=ids, **options).logits[0, first:].float()

        model.eval()
        try:
            refuse_not_causal(logits, rows, share)
        finally:
            model.train(was_training)

    def _full_precision(self) -> bool:
        args, weights = self.run.args, {p.dtype for p in self.run.model.parameters()}
        return weights == {torch.float32} and not (args.bf16 or args.fp16 or args.tf32)
