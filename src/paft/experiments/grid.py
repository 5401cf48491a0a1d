"""The grid of one task: which methods, seeds and variants of settings are compared, and on what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from paft.errors import InputError
from paft.evaluation import examples_digest, prompts_digest
from paft.experiments.axes import AXES
from paft.experiments.records import METHODS, UNSEEN
from paft.experiments.selectors import SELECTORS
from paft.prompts import Prompt, PromptSet
from paft.tasks.base import Task
from paft.training.config import MOST_EXAMPLES

UNDECIDING = ("batch_tokens", "packing", "disable_tqdm")  # options of training that decide no outcome
DEFAULTS: Mapping[str, Any] = {"examples_per_prompt": 4, "num_train_epochs": 3, "lora_r": 8, "learning_rate": 1e-4}


@dataclass(frozen=True)
class GridCell:
    """One method with one seed, and the settings in which it differs from the grid's own.

    Attributes:
        variant: setting of ``AXES`` -> value; empty for the comparison itself.
    """

    method: str
    seed: int
    variant: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A name for files: ``paft-K2-seed0``."""
        varied = [f"{AXES[axis].short}{value:g}" for axis, value in self.variant.items()]
        return "-".join([self.method, *varied, f"seed{self.seed}"])


@dataclass(frozen=True)
class Sweeping:
    """Further prompts to measure with, beside the unseen ones.

    Attributes:
        methods: which methods are measured with them; all where it is empty.
    """

    prompts: PromptSet
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ablation:
    """A method under every combination of some settings.

    Attributes:
        axes: setting of ``AXES`` -> its values.
        methods: which methods are varied.
        seeds: the grid's own where it is empty.
    """

    axes: Mapping[str, Sequence[Any]]
    methods: tuple[str, ...] = ("paft",)
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grid:
    """What is compared on one task.

    Attributes:
        model: the base model, as ``--model`` names it.
        task: its ``user_prompt`` is the one human prompt of ``user``, where ``batprompt`` starts too.
        prompts, unseen: prompts to train on, and unseen ones to measure with.
        methods, seeds: each trained method is run with each seed; ``base`` knows no chance and is run once.
        ablations: variants of settings, measured with the unseen prompts alone.
        sweeps: further prompts to measure with, by name.
        split, limit: the examples that are swept.
        train: options of :func:`paft.training.train` that every method gets.
        sweep: options of :func:`paft.evaluation.sweep` that every method gets.
        select: options of :func:`paft.experiments.select_prompt` by method.
        usage: what the prompts took to generate, as the rows of a ``.usage.json``; for a report.

    Raises:
        InputError: an unknown method, setting or seed, or methods that need what is not there.
    """

    model: str
    task: Task
    prompts: PromptSet
    unseen: PromptSet
    methods: tuple[str, ...] = METHODS
    seeds: tuple[int, ...] = (0,)
    ablations: tuple[Ablation, ...] = ()
    sweeps: Mapping[str, Sweeping] = field(default_factory=dict)
    split: str = "test"
    limit: int | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Any] = field(default_factory=dict)
    select: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    usage: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        named = [*self.methods, *(m for a in self.ablations for m in a.methods)]
        named += [m for s in self.sweeps.values() for m in s.methods]
        _known("method", named, METHODS)
        _known("method to select with", self.select, SELECTORS)
        _known("setting of an ablation", [axis for a in self.ablations for axis in a.axes], AXES)
        if UNSEEN in self.sweeps:
            raise InputError(f"a further sweep cannot be called {UNSEEN!r}: that is the one every method has")
        if any(seed < 0 for seed in [*self.seeds, *(s for a in self.ablations for s in a.seeds)]):
            raise InputError("a seed is at least 0")
        if any("base" in a.methods for a in self.ablations):
            raise InputError("base is not trained, so an ablation has nothing to vary in it")
        if not self.methods and not self.ablations:
            raise InputError("nothing to compare: name some methods")
        if ("user" in named or "batprompt" in named) and not self.task.user_prompt:
            raise InputError(
                f"the methods user and batprompt need one human prompt, and task {self.task.name!r} has no user_prompt"
            )

    @property
    def cells(self) -> list[GridCell]:
        """All cells, each once: seed by seed, so that an interrupted grid has whole seeds."""
        cells = {}
        for seed in self.seeds:
            for method in self.methods:
                cell = GridCell(method, 0 if method == "base" else seed)
                cells[cell.name] = cell
        for ablation in self.ablations:
            seeds = ablation.seeds or self.seeds
            for seed, method, *values in product(seeds, ablation.methods, *ablation.axes.values()):
                cell = GridCell(method, seed, self._varied(dict(zip(ablation.axes, values, strict=True))))
                cells.setdefault(cell.name, cell)
        return list(cells.values())

    def settings(self, cell: GridCell) -> dict[str, Any]:
        """Everything that decides the outcome of a cell; texts and rows by their digests."""
        settings: dict[str, Any] = {
            "model": self.model,
            "split": self.split,
            "examples": _rows_digest(self.task, self.split, self.limit),
            "unseen": prompts_digest(self.unseen),
            **{f"sweep.{name}": value for name, value in self.sweep.items() if name != "batch_tokens"},
        }
        if cell.method == "base":
            return settings
        train = {name: value for name, value in self.train.items() if name not in UNDECIDING}
        settings |= {**self.axes, **train, **self.axes, **cell.variant}
        settings["train_examples"] = _rows_digest(self.task, "train", settings["limit"])
        settings["prompts"] = prompts_digest(self.prompts)
        if cell.method in ("user", "batprompt"):
            settings["user_prompt"] = self.task.user_prompt
        if cell.method in SELECTORS:
            settings |= {f"select.{name}": value for name, value in self.select.get(cell.method, {}).items()}
        return settings

    @property
    def axes(self) -> dict[str, Any]:
        """The grid's own value of every setting that an ablation may vary; ``lora_r`` is None for full fine-tuning."""
        own = {name: self.train.get(name, default) for name, default in DEFAULTS.items()}
        if self.train.get("full"):
            own["lora_r"] = None
        rows = len(self.task.examples("train"))
        own["limit"] = min(rows, self.train.get("limit") or MOST_EXAMPLES)
        own["train_prompts"] = len(self.prompts)
        return {name: own[name] for name in AXES}

    def training_prompts(self, cell: GridCell) -> PromptSet:
        """The prompts that a cell's training draws from: one for ``user``; a smaller number is part of a larger."""
        if cell.method == "user":
            same = [p for p in self.prompts if p.text == self.task.user_prompt]
            human = {"kind": "human", "strategy": "the one human prompt"}
            return PromptSet([same[0] if same else Prompt.from_text(self.task.user_prompt, human)])
        count = cell.variant.get("train_prompts", len(self.prompts))
        if count >= len(self.prompts):
            return self.prompts
        order = np.random.default_rng([cell.seed, 7]).permutation(len(self.prompts))[:count]
        return PromptSet([list(self.prompts)[i] for i in sorted(order)])

    def _varied(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What differs from the grid's own settings, in the order of ``AXES``; checked."""
        own = self.axes
        if values.get("lora_r") is not None and own["lora_r"] is None:
            raise InputError("an ablation over lora_r needs LoRA: leave out full")
        capped = dict(values)
        for name in ("train_prompts", "limit"):
            if name not in values:
                continue
            most = len(self.prompts) if name == "train_prompts" else len(self.task.examples("train"))
            if not 1 <= values[name] <= most:
                raise InputError(f"{name} {values[name]} of an ablation: task {self.task.name!r} has {most}")
        return {name: capped[name] for name in AXES if name in capped and capped[name] != own[name]}


@lru_cache(maxsize=256)
def _rows_digest(task: Task, split: str, limit: int | None) -> str:
    """Of the examples that a limit leaves; a task's rows do not change while it lives."""
    return examples_digest(task.examples(split, limit))


def _known(what: str, found: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in found:
        if name not in known:
            raise InputError(f"unknown {what} {name!r}; expected one of {', '.join(known)}")
