"""What training makes small: a sum over the rows of a step, divided by the step's answer tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from paft.training.packing.loss import answer_losses
from paft.training.packing.micro import IGNORED


@dataclass(frozen=True, slots=True)
class MicroLoss:
    """The loss of a micro-batch.

    Attributes:
        total: its part of the step's sum, with a gradient.
        rows: each row's mean (batch), without one: what the schedule is told.
    """

    total: torch.Tensor
    rows: torch.Tensor


class Objective(Protocol):
    """Gives the loss of a micro-batch, as ``pad``, ``pad_right`` or ``pack`` makes it.

    The part of a micro-batch may depend on its own rows alone: how a step is split must not change its sum.
    """

    def __call__(self, model: Any, micro: Mapping[str, Any], attention: str | None) -> MicroLoss:
        """``attention`` is the implementation that packed rows attend by; None where they are padded."""
        ...


@dataclass(frozen=True)
class AnswerLoss:
    """Negative log-likelihood of the answers and their end tokens, in nats.

    Attributes:
        accepted: the optional inputs that the model takes.
    """

    accepted: frozenset[str]
    label_smoothing: float = 0.0

    def __call__(self, model: Any, micro: Mapping[str, Any], attention: str | None) -> MicroLoss:
        loss_ba = answer_losses(model, micro, self.accepted, self.label_smoothing, attention)
        counts = (micro["labels"] != IGNORED).sum(1)
        return MicroLoss(loss_ba.sum(), loss_ba.detach().sum(1) / counts.clamp(min=1))
