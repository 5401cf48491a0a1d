"""The loss of answers: logits only where there is a label, cross-entropy in float32."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from paft.training.batches import IGNORED


def accepted_inputs(model: Any) -> frozenset[str]:
    """Which of the optional inputs the model's forward takes, adapters and wrappers set aside."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = inspect.signature(base.forward).parameters
    return frozenset(n for n in ("position_ids", "logits_to_keep", "use_cache") if n in names)


def answer_losses(
    model: Any, micro: Mapping[str, torch.Tensor], accepted: frozenset[str], label_smoothing: float = 0.0
) -> torch.Tensor:
    """Negative log-likelihood of each answer token, in nats: batch x longest answer, 0 where there is none.

    The answers stand in the last columns, so that the logits of ``longest answer + 1`` positions are enough;
    a model that cannot leave the others out computes them all.
    """
    labels = micro["labels"]
    keep = labels.shape[1] + 1
    inputs: dict[str, Any] = {"input_ids": micro["input_ids"], "attention_mask": micro["attention_mask"]}
    optional = {"position_ids": micro["position_ids"], "logits_to_keep": keep, "use_cache": False}
    inputs |= {name: optional[name] for name in accepted}
    logits_btv = model(**inputs).logits[:, -keep:-1].float()
    flat = F.cross_entropy(
        logits_btv.flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return flat.view_as(labels)
