"""Before the first step: whether every row fits, and what the run will take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from paft.errors import InputError
from paft.tasks.ids import places
from paft.training.batches import Row
from paft.training.plan import EpochPlan
from paft.training.sharding import numel

if TYPE_CHECKING:
    from paft.training.trainer import PaftTrainer

MOST_RENDERED = 200_000
LONGEST = 128
SAMPLED = 64


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        parameters, trainable: counts of weights.
        examples, epochs, steps: of the whole run; ``step_examples`` is one step's.
        step_tokens: tokens of a step, from a sample, without padding.
        weights, optimizer, activations: bytes on each device; ``activations`` is a rule of thumb.
        micro_tokens: tokens of the largest micro-batch.
    """

    parameters: int
    trainable: int
    examples: int
    epochs: float
    steps: int
    step_examples: int
    step_tokens: int
    weights: int
    optimizer: int
    activations: int
    micro_tokens: int

    def lines(self) -> list[str]:
        """The estimate for people."""
        total = self.weights + self.optimizer + self.activations
        return [
            f"weights: {_count(self.parameters)}, of them trained {_count(self.trainable)}",
            f"stream: {self.examples:,} examples x {self.epochs:g} epochs = {self.steps:,} steps "
            f"of {self.step_examples} examples, about {self.step_tokens:,} tokens each",
            f"memory: about {_bytes(total)} ({_bytes(self.weights)} weights, {_bytes(self.optimizer)} gradients and "
            f"optimiser, {_bytes(self.activations)} activations of {self.micro_tokens:,} tokens)",
        ]


def check_lengths(trainer: PaftTrainer) -> int:
    """Tokenise the rows of the plan with the most characters; returns the tokens of the longest that fits.

    Rows beyond the first 200,000, and those of an adaptive schedule's later epochs, are met in training alone.

    Raises:
        EncodingError: a row longer than ``max_length`` (unless such rows are dropped); names example and prompt.
        InputError: a row longer than ``batch_tokens``.
    """
    dataset: Any = trainer.train_dataset

    def characters(row: Row) -> int:
        return _characters(dataset.prompts[row.prompt].render(dataset.examples[row.example].slots))

    longest = nlargest(LONGEST, _distinct(islice(known_rows(trainer), MOST_RENDERED)), key=characters)
    items = [item for item in dataset.encode(longest) if item.encoding is not None]
    collated = trainer.data_collator(items)
    if "error" in collated:
        raise collated["error"]
    return max((len(item.encoding.input_ids) for item in items if item.encoding), default=0)


def estimate(trainer: PaftTrainer) -> Estimate:
    """Size up a run: weights and optimiser are counted, activations and tokens a step are estimated."""
    args, model, batches = trainer.args, trainer.model, trainer.batches
    rows = list(islice(known_rows(trainer), SAMPLED))
    dataset: Any = trainer.train_dataset
    lengths = [len(item.encoding.input_ids) for item in dataset.encode(rows) if item.encoding is not None]
    mean = sum(lengths) / max(1, len(lengths))
    steps = total_steps(trainer)
    trained = [p for p in model.parameters() if p.requires_grad]
    micro = min(args.batch_tokens, args.train_batch_size * trainer.longest)
    return Estimate(
        parameters=sum(numel(p) * (2 if _in_four_bits(p) else 1) for p in model.parameters()),
        trainable=sum(numel(p) for p in trained),
        examples=batches.count,
        epochs=steps / batches.steps,
        steps=steps,
        step_examples=batches.step,
        step_tokens=round(mean * min(batches.step, batches.count)),
        weights=sum(numel(p) * p.element_size() for p in model.parameters()),
        optimizer=sum(3 * numel(p) * p.element_size() for p in trained),  # gradient and AdamW's two moments
        activations=micro * _activation_bytes(model.config, trainer),
        micro_tokens=micro,
    )


def total_steps(trainer: PaftTrainer) -> int:
    """Optimiser steps of the whole run."""
    args = trainer.args
    return args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * trainer.batches.steps)


def known_rows(trainer: PaftTrainer) -> Iterator[Row]:
    """The distinct rows of the plans that are known before the first step."""
    prompts = [p.id for p in trainer.job.prompts]
    epochs = 1 if trainer.adaptive else math.ceil(max(1, trainer.args.num_train_epochs))
    for epoch in range(epochs):
        plan: EpochPlan = trainer.make_plan(epoch)
        at = places(plan.prompt_ids, prompts)
        if (at < 0).any():
            gone = plan.prompt_ids[int(np.argmin(at))]
            raise InputError(f"the schedule gave the prompt {gone!r}, which is not among those trained on")
        for example, prompt in zip(places(plan.example_ids, trainer.job.example_ids), at, strict=True):
            yield Row(0, int(example), int(prompt))


def _distinct(rows: Iterable[Row]) -> Iterator[Row]:
    """Each row once."""
    seen: set[int] = set()
    for row in rows:
        key = row.example << 32 | row.prompt
        if key not in seen:
            seen.add(key)
            yield row


def _activation_bytes(config: Any, trainer: PaftTrainer) -> int:
    """Bytes kept for the backward pass by one token: some 12 hidden and 4 MLP vectors a layer."""
    size = 2 if trainer.args.bf16 or trainer.args.fp16 else 4
    hidden = getattr(config, "hidden_size", 0)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    layers = getattr(config, "num_hidden_layers", 0)
    layer = (12 * hidden + 4 * inner) * size
    return layers * hidden * size + layer if trainer.args.recomputes else layers * layer


def _in_four_bits(parameter: Any) -> bool:
    """Whether two weights share a byte, as bitsandbytes packs them."""
    return type(parameter).__name__ == "Params4bit"


def _characters(rendered: Any) -> int:
    return len(rendered) if isinstance(rendered, str) else sum(len(turn["content"]) for turn in rendered)


def _count(number: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)


def _bytes(number: int) -> str:
    return f"{number / 2**30:.1f} GB" if number >= 2**30 / 10 else f"{max(1, round(number / 2**20))} MB"
