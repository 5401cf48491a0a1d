"""Validation during training: loss and likelihood accuracy on prompts that are not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from paft.errors import EncodingError, InputError
from paft.models import Encoder
from paft.models.ends import begins_another
from paft.prompts import Prompt
from paft.tasks.base import Example, Task
from paft.training.batches import Collator
from paft.training.config import PaftConfig
from paft.training.packing.micro import IGNORED, Item, padded, split

Losses = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Cell:
    """One example under one prompt."""

    prompt: Prompt
    example: Example


def draw_cells(task: Task, prompts: Sequence[Prompt], count: int, seed: int) -> list[Cell]:
    """``count`` cells of the validation split, drawn uniformly without replacement; all if there are fewer.

    Raises:
        InputError: the task has no validation examples.
    """
    try:
        examples = task.examples("validation")
    except InputError as bad:
        raise InputError(
            f"{bad}\nvalidation during training needs that split; leave the validation prompts out"
        ) from None
    every = len(prompts) * len(examples)
    drawn = np.random.default_rng([seed, 2]).choice(every, size=min(count, every), replace=False)
    return [Cell(prompts[i // len(examples)], examples[i % len(examples)]) for i in sorted(drawn.tolist())]


def encode_cells(cells: Sequence[Cell], answers: Sequence[str], encoder: Encoder, on_long: str) -> list[Item]:
    """Each cell with each candidate answer (its own for free answers), cell by cell, with the end token.

    Cells that are too long are left out where ``on_long`` is ``drop``. ``position`` counts rows.

    Raises:
        EncodingError: a cell that is too long or cannot be parted; names example and prompt.
    """
    items: list[Item] = []
    for cell in cells:
        name = f"validation example {cell.example.id!r} under prompt {cell.prompt.id!r}"
        rendered = cell.prompt.render(cell.example.slots)
        rows = [(rendered, answer) for answer in answers or (cell.example.answer,)]
        try:
            encodings = encoder.encode_batch(rows, end=True, on_long="none" if on_long == "drop" else "error")
        except EncodingError as bad:
            raise type(bad)(f"{name}: {bad}") from None
        encoded = [Item(len(items) + i, name, e) for i, e in enumerate(encodings)]
        items += encoded if None not in encodings else [Item(i.position, name, None) for i in encoded]
    return items


@dataclass(frozen=True)
class Validation:
    """What a run is validated on, over and over.

    Attributes:
        items: the rows of the cells, see :func:`encode_cells`.
        ends: how many tokens end an answer.
        ended: the end token counts in what is likeliest, as in a sweep of a task where one answer begins another.
    """

    task: Task
    cells: Sequence[Cell]
    items: Sequence[Item]
    ends: int
    ended: bool

    @classmethod
    def draw(cls, task: Task, prompts: Sequence[Prompt], args: PaftConfig, encoder: Encoder) -> Validation:
        """``args.eval_examples`` cells of the validation split under ``prompts``.

        Raises:
            InputError: the task has no validation examples.
            EncodingError: a cell that is too long or cannot be parted.
        """
        cells = draw_cells(task, prompts, args.eval_examples, args.seed)
        items = encode_cells(cells, task.answers, encoder, args.on_long)
        return cls(task, cells, items, len(encoder.end_ids), begins_another(encoder, [task.answers])[0])

    @torch.no_grad()
    def measure(self, losses: Losses, collator: Collator, device: torch.device) -> dict[str, float]:
        """``loss``: nats per token of the right answers and their end tokens; ``accuracy``: share of cells whose
        right answer is the likeliest of those that the example offers, where the task has candidate answers.

        Args:
            losses: gives the loss of each answer token of a micro-batch (batch x longest answer).
        """
        width, items = max(1, len(self.task.answers)), self.items
        total = np.zeros(len(items))
        without_end = np.zeros(len(items))
        tokens = np.zeros(len(items), int)
        fit = [i for i in items if i.encoding is not None]
        for group in split(fit, collator.batch_tokens, start_tokens=collator.start_tokens, padding=collator.padding):
            micro = {k: v.to(device) for k, v in padded(group, collator.pad_id, collator.padding).items()}
            loss_ba = losses(micro).double().cpu().numpy()
            rows = [item.position for item in group]
            total[rows], without_end[rows] = loss_ba.sum(1), loss_ba[:, : -self.ends].sum(1)
            tokens[rows] = (micro["labels"] != IGNORED).sum(1).cpu().numpy()
        kept = np.array([i.encoding is not None for i in items]).reshape(-1, width)[:, 0]
        if not kept.any():
            raise InputError("every validation cell is longer than --max-length; raise it")
        gold = np.array([c.example.gold if self.task.answers else 0 for c in self.cells])
        right = np.arange(len(self.cells)) * width + gold
        out = {"loss": float(total[right][kept].sum() / tokens[right][kept].sum())}
        if self.task.answers:
            scores = (total if self.ended else without_end).reshape(-1, width)
            for row, cell in zip(scores, self.cells, strict=True):
                row[[i for i in range(width) if i not in self.task.offered(cell.example)]] = np.inf
            guess = scores.argmin(1)
            out["accuracy"] = float((guess == gold)[kept].mean())
        return out
