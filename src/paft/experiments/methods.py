"""One method, one seed: train where the method trains, sweep the unseen prompts, keep a record."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paft.errors import InputError
from paft.evaluation import SweepResult, sweep
from paft.files import read_json, write_json
from paft.prompts import PromptSet
from paft.tasks.base import Task
from paft.training import train

METHODS = ("base", "user", "static-mix", "paft")
FORMAT_VERSION = 1
SUMMARY_KEYS = ("mean", "std", "std_corrected", "min", "q05", "max", "macro_f1", "flip_rate", "top", "per_prompt")


@dataclass(frozen=True)
class Setup:
    """What all methods of a comparison share.

    Attributes:
        model: the base model, as ``--model`` names it.
        train_prompts, test_prompts: prompts to train on, and unseen ones to measure with.
        split, limit: the examples that are swept.
        train: options of :func:`paft.training.train` that every method gets.
        sweep: options of :func:`paft.evaluation.sweep` that every method gets.
    """

    model: str
    task: Task
    train_prompts: PromptSet
    test_prompts: PromptSet
    split: str = "test"
    limit: int | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """The outcome of one method with one seed.

    Attributes:
        numbers: the fields of ``summary.json`` that tell accuracies, as fractions.
        correct_pn: whether each answer was right, prompts x examples, in the order of the two id lists.
        train_seconds, sweep_seconds: wall time; 0 where nothing was trained.
    """

    method: str
    seed: int
    numbers: Mapping[str, Any]
    prompt_ids: list[str]
    example_ids: list[str]
    correct_pn: np.ndarray
    train_seconds: float
    sweep_seconds: float

    def save(self, path: Path) -> None:
        """Write the record as JSON, a row of 0 and 1 for each prompt."""
        rows = ["".join("1" if c else "0" for c in row) for row in self.correct_pn]
        write_json(
            path,
            {
                "format_version": FORMAT_VERSION,
                "method": self.method,
                "seed": self.seed,
                "train_seconds": round(self.train_seconds, 1),
                "sweep_seconds": round(self.sweep_seconds, 1),
                **self.numbers,
                "examples": self.example_ids,
                "correct": dict(zip(self.prompt_ids, rows, strict=True)),
            },
        )

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record that ``save`` wrote."""
        row = read_json(path)
        correct = np.array([[c == "1" for c in line] for line in row["correct"].values()], dtype=bool)
        return cls(
            method=row["method"],
            seed=row["seed"],
            numbers={key: row[key] for key in SUMMARY_KEYS},
            prompt_ids=list(row["correct"]),
            example_ids=row["examples"],
            correct_pn=correct,
            train_seconds=row["train_seconds"],
            sweep_seconds=row["sweep_seconds"],
        )


def run_method(setup: Setup, method: str, seed: int, folder: Path, progress: bool = True) -> Record:
    """Train and sweep one method, in ``folder/run`` and ``folder/sweep``; what is there already is not done again.

    Args:
        method: ``base`` (no training), ``user`` (the task's own prompt), ``static-mix`` or ``paft``.

    Raises:
        InputError: an unknown method.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; expected one of {', '.join(METHODS)}")
    model, train_seconds = setup.model, 0.0
    if method != "base":
        model = str(folder / "run")
        train_seconds = train(
            model=setup.model,
            task=setup.task,
            output=model,
            prompts=None if method == "user" else setup.train_prompts,
            method=method,
            seed=seed,
            say=lambda text: None,
            disable_tqdm=not (progress and sys.stderr.isatty()),
            **setup.train,
        ).seconds
    result = sweep(
        model,
        setup.task,
        setup.test_prompts,
        setup.split,
        output=folder / "sweep",
        limit=setup.limit,
        progress=progress,
        **setup.sweep,
    )
    return _record(method, seed, result, train_seconds)


def _record(method: str, seed: int, result: SweepResult, train_seconds: float) -> Record:
    return Record(
        method=method,
        seed=seed,
        numbers={key: result.summary[key] for key in SUMMARY_KEYS},
        prompt_ids=result.prompt_ids,
        example_ids=result.example_ids,
        correct_pn=result.correct_pn,
        train_seconds=train_seconds,
        sweep_seconds=result.summary["seconds"],
    )
