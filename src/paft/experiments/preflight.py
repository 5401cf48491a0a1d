"""What can be found wrong with a grid before its first cell."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from paft.errors import InputError
from paft.evaluation import refuse_unjudgeable, sweep
from paft.experiments.grid import Grid
from paft.experiments.select import select_prompt
from paft.prompts.overlap import overlap
from paft.training import PaftConfig, train
from paft.training.lora import lora_config
from paft.training.run import make_config

TRAINS = {"model", "task", "data", "output", "prompts", "method", "prompt_id", "selection", "resume", "say", "seed"}
SWEEPS = {"model", "task", "prompts", "split", "adapter", "output", "limit", "progress"}
SELECTS = {"model", "task", "prompts", "method", "output", "seed", "progress", "selector", "say"}


def check_grid(grid: Grid) -> None:
    """Check prompts and options; the model is not looked at.

    Raises:
        InputError, TemplateError: prompts that do not fit the task, unseen ones that are trained on, or an option that
            does not exist or has a wrong value.
    """
    grid.prompts.check(grid.task).raise_if_bad()
    grid.unseen.check(grid.task).raise_if_bad()
    refuse_unjudgeable(grid.task, grid.task.examples(grid.split, grid.limit))
    met = overlap(grid.prompts, grid.unseen)
    if met:
        raise InputError(
            f"{grid.task.name}: {len(met)} of {len(grid.unseen)} unseen prompts are among those trained on, such as "
            f"{met[0].test_id}; paft prompts split parts a set"
        )
    configured = [f.name for f in fields(PaftConfig) if f.init and f.name not in ("output_dir", "max_examples")]
    _known("train", grid.train, {*_names(train), *configured} - TRAINS - {"training", "callbacks"})
    _known("sweep", grid.sweep, _names(sweep) - SWEEPS)
    for method, options in grid.select.items():
        _known(f"select, {method}", options, _names(select_prompt) - SELECTS)
    for f in fields(PaftConfig):
        found = grid.train.get(f.name)
        if isinstance(f.default, int | float) and not isinstance(f.default, bool) and isinstance(found, str):
            raise InputError(f"train, {f.name}: expected a number, found {found!r}")
    plain = {name: value for name, value in grid.train.items() if name in configured}
    device = grid.train.get("device", "auto")
    make_config("unused", "paft", None, device, plain)
    names = {"lora_r": "r", "lora_alpha": "alpha", "lora_dropout": "dropout", "lora_targets": "targets"}
    lora_config(**{short: grid.train[name] for name, short in names.items() if name in grid.train})


def _names(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def _known(what: str, found: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in found:
        if name not in known:
            raise InputError(f"{what}: unknown option {name!r}, or one that the comparison sets itself")
