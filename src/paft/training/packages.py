"""Packages that a setting needs and that may be missing: asked of transformers before a model is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.training_args import ParallelMode
from transformers.utils import is_liger_kernel_available

from paft.errors import InputError


def check_packages(args: TrainingArguments) -> None:
    """Refuse what Trainer would refuse only once the model is there.

    Raises:
        InputError: a package that ``report_to`` or ``use_liger_kernel`` needs is missing, or FSDP in one process.
    """
    _check_reporting([args.report_to] if isinstance(args.report_to, str) else args.report_to or [])
    if args.use_liger_kernel and not is_liger_kernel_available():
        raise InputError("--use-liger-kernel needs a package that is not installed; pip install liger-kernel")
    xla = isinstance(args.fsdp_config, dict) and args.fsdp_config.get("xla")
    if args.fsdp and not xla and args.parallel_mode != ParallelMode.DISTRIBUTED:
        raise InputError(
            "--fsdp parts a model among several processes, found one\n"
            "start them with accelerate launch or torchrun, or leave --fsdp out"
        )


def _check_reporting(names: list[str]) -> None:
    there = get_available_reporting_integrations()
    for name in names:
        if name in there or name == "none":
            continue
        if name not in INTEGRATION_TO_CALLBACK:
            raise InputError(f"unknown --report-to {name!r}; expected some of {', '.join(INTEGRATION_TO_CALLBACK)}")
        reason = _refusal(name)
        if reason is not None:
            raise InputError(f"--report-to {name} cannot be used here: {reason}")


def _refusal(name: str) -> str | None:
    """What the callback says when it is made without its package: it knows best what to install."""
    with _no_noise():
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except (ImportError, RuntimeError, ValueError) as bad:
            return " ".join(str(bad).split())[:300]
    return None


@contextmanager
def _no_noise() -> Iterator[None]:
    """Some callbacks that could not be made fail once more when they are thrown away, which Python would print."""
    told, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = told
