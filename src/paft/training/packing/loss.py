"""The loss of answers: logits only where there is a label, cross-entropy in float32."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from paft.training.packing.micro import IGNORED


def accepted_inputs(model: Any) -> frozenset[str]:
    """Which of the optional inputs the model's forward takes, adapters and wrappers set aside."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = inspect.signature(base.forward).parameters
    return frozenset(n for n in ("position_ids", "logits_to_keep", "use_cache") if n in names)


def answer_losses(
    model: Any,
    micro: Mapping[str, Any],
    accepted: frozenset[str],
    label_smoothing: float = 0.0,
    attention: str | None = None,
) -> torch.Tensor:
    """Negative log-likelihood of each answer token, in nats: batch x longest answer, 0 where there is none.

    A model that cannot leave out the logits of other positions computes them all.

    Args:
        micro: as ``pad`` or ``pad_right`` gives it, or, where the model attends by ``attention``, as ``pack`` does.
    """
    labels = micro["labels"]
    in_columns = "keep" not in micro
    if in_columns:
        logits_nv, targets = _padded_logits(model, micro, accepted).flatten(0, 1), labels.flatten()
    elif attention is None:
        logits_nv, targets = _logits_at(model, micro, accepted), micro["targets"]
    else:
        logits_nv, targets = _packed_logits(model, micro, accepted, attention), micro["targets"]
    losses = F.cross_entropy(
        logits_nv.float(), targets, ignore_index=IGNORED, reduction="none", label_smoothing=label_smoothing
    )
    if in_columns:
        return losses.view_as(labels)
    return losses.new_zeros(labels.shape).masked_scatter(labels != IGNORED, losses)


def _padded_logits(model: Any, micro: Mapping[str, Any], accepted: frozenset[str]) -> torch.Tensor:
    """Batch x longest answer x vocabulary: the answers stand in the last columns."""
    keep = micro["labels"].shape[1] + 1
    optional = {"position_ids": micro["position_ids"], "logits_to_keep": keep, "use_cache": False}
    inputs = {"input_ids": micro["input_ids"], "attention_mask": micro["attention_mask"]}
    inputs |= {name: optional[name] for name in accepted}
    return model(**inputs).logits[:, -keep:-1]


def _logits_at(model: Any, micro: Mapping[str, Any], accepted: frozenset[str]) -> torch.Tensor:
    """Answer tokens x vocabulary, for rows that are padded at the end."""
    ids, keep = micro["input_ids"], micro["keep"]
    rows, columns = keep // ids.shape[1], keep % ids.shape[1]
    wanted, places = columns.unique(return_inverse=True)
    optional = {"logits_to_keep": wanted, "use_cache": False}
    logits = model(input_ids=ids, **{name: value for name, value in optional.items() if name in accepted}).logits
    return logits[rows, places if "logits_to_keep" in accepted else columns]


def _packed_logits(model: Any, micro: Mapping[str, Any], accepted: frozenset[str], attention: str) -> torch.Tensor:
    """Answer tokens x vocabulary."""
    ids, keep, rows = micro["input_ids"], micro["keep"], micro["packed_rows"]
    optional = {"logits_to_keep": keep, "use_cache": False}
    inputs = {"input_ids": ids, "position_ids": micro["position_ids"]}
    inputs |= {name: value for name, value in optional.items() if name in accepted}
    inputs |= rows.arguments(attention, ids.device)
    logits = model(**inputs).logits[0]
    return logits if "logits_to_keep" in accepted else logits[keep]
