"""Which numbers a setting of a run may be."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from transformers import TrainingArguments

from paft.errors import InputError

SEEDS = 2**32  # numpy takes no more of them
# name -> lowest, whether that itself is allowed, and what the value must be below (None: any number)
RANGES: dict[str, tuple[float, bool, float | None]] = {
    "learning_rate": (0, True, None),
    "weight_decay": (0, True, None),
    "adam_beta1": (0, True, 1),
    "adam_beta2": (0, True, 1),
    "adam_epsilon": (0, True, None),
    "max_grad_norm": (0, True, None),
    "label_smoothing_factor": (0, True, 1),
    "neftune_noise_alpha": (0, True, None),
    "warmup_steps": (0, True, None),
    "logging_steps": (0, False, None),
    "eval_steps": (0, False, None),
    "save_steps": (0, False, None),
    "dataloader_num_workers": (0, True, None),
    "ddp_timeout": (0, False, None),
    "seed": (0, True, SEEDS),
    "data_seed": (0, True, SEEDS),
}
LESS = {  # what to give where the wish is for none of it
    "logging_steps": "--logging-strategy no logs nothing",
    "eval_steps": "--eval-strategy no validates never",
    "save_steps": "--save-strategy no keeps no checkpoints",
}


def check_numbers(args: TrainingArguments) -> None:
    """Refuse numbers that would fail after the first step, or that say nothing.

    Raises:
        InputError: one out of its range, or not a finite number; names the flag.
    """
    for f in fields(args):
        value = getattr(args, f.name)
        infinite = isinstance(value, float) and not math.isfinite(value)
        if infinite and not (f.name == "max_grad_norm" and value > 0):  # which clips nothing
            raise InputError(f"{_flag(f.name)} must be a finite number, found {value}")
    for name, (lowest, itself, below) in RANGES.items():
        _check(name, getattr(args, name), lowest, itself, below)
    if args.max_steps == 0 or args.max_steps < -1:
        raise InputError(f"--max-steps must be at least 1, or -1 for whole epochs, found {args.max_steps}")


def _check(name: str, value: Any, lowest: float, itself: bool, below: float | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{_flag(name)} must be a number, found {value!r}")
    wanted = None
    if value < lowest or (value == lowest and not itself):
        wanted = f"at least {lowest}" if itself else f"more than {lowest}"
    elif below is not None and value >= below:
        wanted = f"below {below}"
    if wanted is not None:
        hint = f"; {LESS[name]}" if value == lowest and name in LESS else ""
        raise InputError(f"{_flag(name)} must be {wanted}, found {value}{hint}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
