"""LoRA through PEFT: which modules get an adapter, and the model with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from peft import LoraConfig, PeftConfig, get_peft_model, prepare_model_for_kbit_training
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as AUTO
from torch import nn
from transformers import PreTrainedModel, set_seed
from transformers.pytorch_utils import Conv1D

from paft.errors import InputError
from paft.models.memory import is_out_of_memory

ALL_LINEAR = "all-linear"


def lora_config(r: int = 8, alpha: int = 16, dropout: float = 0.0, targets: str = "auto") -> LoraConfig:
    """The paper's LoRA: rank 8, on the query and value projections.

    Args:
        targets: ``auto`` (PEFT's own choice for the architecture), ``all-linear``, or names with commas.

    Raises:
        InputError: a value out of range.
    """
    if r < 1 or alpha < 1 or not 0 <= dropout < 1:
        raise InputError(f"LoRA needs r and alpha of at least 1 and 0 <= dropout < 1; found {r}, {alpha}, {dropout}")
    modules: str | list[str] | None = [n.strip() for n in targets.split(",") if n.strip()]
    if not modules:
        raise InputError(f"--lora-targets is empty; give auto, {ALL_LINEAR}, or names of modules such as q_proj,v_proj")
    if targets in ("auto", ALL_LINEAR):
        modules = None if targets == "auto" else targets
    return LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules, task_type="CAUSAL_LM")


def find_targets(model: PreTrainedModel, targets: Iterable[str] | None) -> str | list[str]:
    """The modules of ``model`` that ``targets`` names; None means PEFT's own choice for the architecture.

    Raises:
        InputError: a name that the model lacks; the message lists its linear layers.
    """
    there = linear_names(model)
    if targets is not None:
        modules = [name for name, _ in model.named_modules()]
        wanted = sorted(targets)  # PEFT keeps a set, whose order differs from process to process
        missing = [n for n in wanted if not any(m == n or m.endswith(f".{n}") for m in modules)]
        if missing:
            raise InputError(f"LoRA targets: the model has no {', '.join(missing)}; linear layers: {', '.join(there)}")
        return wanted
    known = AUTO.get(model.config.model_type)
    if isinstance(known, str):  # a pattern
        return known
    names = known or [n for n in ("q_proj", "v_proj") if n in there]
    if not names or not set(names) <= set(there):
        raise InputError(
            f"no default LoRA targets are known for {model.config.model_type!r} models\n"
            f"name some with --lora-targets, of {', '.join(there)}; or use {ALL_LINEAR}"
        )
    return list(names)


def linear_names(model: PreTrainedModel) -> list[str]:
    """The distinct last names of the linear layers, in model order, the output layer left out."""
    head = model.get_output_embeddings()
    found = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    return list(dict.fromkeys(n.rpartition(".")[2] for n in found))


def attach(model: PreTrainedModel, peft_config: PeftConfig, seed: int, checkpointing: bool) -> Any:
    """``model`` with a fresh adapter whose first weights depend on ``seed`` alone.

    Raises:
        InputError: targets that the model lacks.
    """
    if getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=checkpointing)
    peft_config = deepcopy(peft_config)
    if isinstance(peft_config, LoraConfig):
        if not isinstance(peft_config.target_modules, str):
            peft_config.target_modules = find_targets(model, peft_config.target_modules)
        peft_config.fan_in_fan_out = any(isinstance(m, Conv1D) for m in model.modules())
        peft_config.task_type = peft_config.task_type or "CAUSAL_LM"
    names = linear_names(model)
    set_seed(seed)
    try:
        return get_peft_model(model, peft_config)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as bad:
        if is_out_of_memory(bad):
            raise
        reason = _reason(bad)
        there = ", ".join(name for name in names if f"'{name}'" not in reason)
        hint = f"name layers with --lora-targets, of {there}" if there else "it has no linear layers; --full trains all"
        raise InputError(f"the adapter does not fit the model: {reason}\n{hint}") from bad


def _reason(bad: Exception) -> str:
    """PEFT's words in one line, without its print-out of a whole module."""
    text = " ".join(str(bad).split())
    module = re.match(r"Target module (\w+)\(.*? is not supported", text)
    return f"a layer of the kind {module[1]} takes no adapter" if module else text[:300] or type(bad).__name__
