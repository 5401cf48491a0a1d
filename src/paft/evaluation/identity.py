"""Digests by which a sweep knows its own work again: of prompts, examples and weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import torch
from transformers import PreTrainedModel

from paft.prompts import Prompt
from paft.tasks.base import Example

SAMPLED = 256  # numbers read of each weight: training moves them all
UNIMPORTANT = {"_name_or_path", "base_model_name_or_path", "transformers_version", "peft_version", "use_cache"}
UNIMPORTANT |= {"dtype", "torch_dtype", "inference_mode", "revision", "auto_mapping"}


def prompts_digest(prompts: Iterable[Prompt]) -> str:
    """Of ids and texts, in any order."""
    return _digest(sorted(json.dumps([p.id, p.text], sort_keys=True) for p in prompts))


def examples_digest(examples: Iterable[Example]) -> str:
    """Of everything that examples hold, in any order."""
    return _digest(sorted(json.dumps([e.id, dict(e.slots), e.answer, e.gold, e.options]) for e in examples))


def model_digest(model: PreTrainedModel) -> str:
    """Of the settings, and of names, shapes and evenly spaced numbers of all weights.

    A model that was trained again in the same place has another digest; one that was moved has the same.
    """
    parts: list[str | bytes] = [_settings(model.config.to_diff_dict())]
    for adapter in getattr(model, "peft_config", {}).values():
        parts.append(_settings(adapter.to_dict()))
    for name, weight in model.named_parameters():
        flat = weight.detach().flatten()
        picked = flat[:: max(1, flat.numel() // SAMPLED)]
        parts += [f"{name} {tuple(weight.shape)}", picked.to("cpu", torch.float32).numpy().tobytes()]
    return _digest(parts)


def _settings(config: Mapping[str, Any]) -> str:
    """The settings that decide what a model computes, as sorted JSON."""
    kept = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items() if k not in UNIMPORTANT}
    return json.dumps(kept, sort_keys=True, default=str)


def _digest(parts: Iterable[Any]) -> str:
    made = sha256()
    for part in parts:
        made.update(part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass"))
        made.update(b"\x00")
    return made.hexdigest()[:16]
