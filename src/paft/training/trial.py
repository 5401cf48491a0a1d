"""The optimiser and the learning rates of a run, tried before its folder is made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION, get_scheduler
from transformers.trainer_utils import SchedulerType

from paft.errors import InputError, PaftError, missing_package
from paft.models.memory import is_out_of_memory

SAMPLED = 500  # steps at which a schedule is asked for its learning rate
MANY = 10**6  # steps of a run whose length is not known yet
GIVEN = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")  # arguments that Trainer fills in


def check_optimizer(args: TrainingArguments) -> None:
    """See that what the optimiser needs is installed; the model is not needed for that.

    Raises:
        InputError: a package is missing.
    """
    try:
        Trainer.get_optimizer_cls_and_kwargs(args)
    except Exception as bad:  # without a model some fail; only a missing package counts here
        if isinstance(bad, ImportError) or "install" in str(bad) or "import" in str(bad):
            raise InputError(f"--optim {_word(args.optim)} cannot be used: {_reason(bad)}") from bad


def try_optimizer(trainer: Trainer) -> None:
    """Make the optimiser, which Trainer then takes over; where the model is sharded first, only look it up.

    Raises:
        InputError: arguments that it does not take.
    """
    if trainer.optimizer is not None or trainer.is_deepspeed_enabled:
        return
    with _told(f"--optim {_word(trainer.args.optim)}", "\nsee --optim-args and --optim-target-modules"):
        if trainer.is_fsdp_enabled:
            trainer.get_optimizer_cls_and_kwargs(trainer.args, cast(PreTrainedModel, trainer.model))
        else:
            trainer.create_optimizer()


def check_schedule(args: TrainingArguments, steps: int = MANY) -> Any:
    """Make the schedule of a run of so many steps, for a weight of its own.

    Raises:
        InputError: arguments that are missing, or that it does not take.
    """
    name = _word(args.lr_scheduler_type)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
    warmup, more = args.get_warmup_steps(steps), args.lr_scheduler_kwargs
    with _told(f"--lr-scheduler-type {name}", _wanted(name)):
        if isinstance(more, str):
            raise ValueError(f"--lr-scheduler-kwargs is no mapping, found {more!r}")
        return get_scheduler(args.lr_scheduler_type, optimizer, warmup, steps, scheduler_specific_kwargs=more)


def try_schedule(trainer: Trainer, steps: int) -> None:
    """Ask the schedule for the learning rates of ``steps`` steps.

    Raises:
        InputError: as :func:`check_schedule`, or a learning rate that is not a number.
    """
    if trainer.lr_scheduler is not None or trainer.is_deepspeed_enabled:
        return
    schedule, warmup = check_schedule(trainer.args, steps), trainer.args.get_warmup_steps(steps)
    name, hint = _word(trainer.args.lr_scheduler_type), f"\nthe warm-up takes {warmup} steps; train longer, "
    hint += "set --warmup-steps or --lr-scheduler-kwargs, or take another schedule"
    for step in sorted({round(at) for at in np.linspace(0, steps, SAMPLED)}):
        for shape in getattr(schedule, "lr_lambdas", ()):
            with _told(f"--lr-scheduler-type {name} at step {step} of {steps}", hint):
                _check_rate(float(shape(step)))


def _check_rate(share: float) -> None:
    if not math.isfinite(share) or share < 0:
        raise ValueError(f"{share} times the learning rate")


@contextmanager
def _told(what: str, hint: str = "") -> Iterator[None]:
    """Whatever fails in here, told as the fault of the setting."""
    try:
        yield
    except Exception as bad:
        if isinstance(bad, PaftError) or is_out_of_memory(bad):
            raise
        raise InputError(f"{what} cannot be used: {_reason(bad)}{hint}") from bad


def _reason(bad: Exception) -> str:
    if isinstance(bad, ImportError):
        return missing_package(bad)
    return " ".join(str(bad).split())[:300].replace("unexpected keyword", "unknown") or type(bad).__name__


def _wanted(name: str) -> str:
    """What to do about the arguments of a schedule, in a line of its own."""
    function: Any = TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]
    takes = [p for p in inspect.signature(function).parameters if p not in GIVEN]
    if not takes:
        return "\nit takes no --lr-scheduler-kwargs"
    return f"\ngive its arguments as --lr-scheduler-kwargs '{{\"NAME\": VALUE}}', of {', '.join(takes)}"


def _word(setting: Any) -> str:
    return str(getattr(setting, "value", setting))
