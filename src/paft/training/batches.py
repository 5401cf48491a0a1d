"""From a plan to tensors: which rows a process takes, rendering them, and micro-batches by tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.data import Dataset, Sampler

from paft.errors import EncodingError, InputError, PaftError
from paft.models import Encoder, Encoding
from paft.prompts import Prompt
from paft.tasks.base import Example
from paft.training.plan import EpochPlan

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """What a position of the plan asks for: which example under which prompt, by index."""

    position: int
    example: int
    prompt: int


@dataclass(frozen=True, slots=True)
class Item:
    """A rendered and tokenised row; ``encoding`` is None where it was too long and may be dropped."""

    position: int
    name: str
    encoding: Encoding | None


class PlanBatches(Sampler[list[Row]]):
    """The rows of each batch of one process, in plan order.

    A step is ``per_device x accumulation x world`` consecutive positions. They are dealt to the processes in
    equal parts; a last, smaller step is dealt as evenly as it goes, so that each position is trained on
    exactly once an epoch and every process makes the same number of batches.

    Args:
        count: positions of an epoch.
        per_device: examples of a batch.
        accumulation: batches of a step on one process.
        world, rank: how many processes there are, and which this is.
        drop_last: leave out a last step that is not full.
    """

    def __init__(
        self, count: int, per_device: int, accumulation: int = 1, world: int = 1, rank: int = 0, drop_last: bool = False
    ) -> None:
        self.per_device, self.accumulation, self.world, self.rank = per_device, accumulation, world, rank
        self.step = per_device * accumulation * world
        self.count = count - count % self.step if drop_last else count
        if self.count < 1:
            raise InputError(f"{count} examples do not fill one step of {self.step}; lower the batch size")
        self._rows: list[Row] = []

    def set_plan(self, plan: EpochPlan, example_ids: Sequence[str], prompt_ids: Sequence[str]) -> None:
        """Take the rows from ``plan``, as indices into the two lists of ids.

        Raises:
            InputError: the plan names an example or prompt that is not there.
        """
        examples = {e: i for i, e in enumerate(example_ids)}
        prompts = {p: i for i, p in enumerate(prompt_ids)}
        try:
            pairs = zip(plan.example_ids, plan.prompt_ids, strict=True)
            self._rows = [Row(i, examples[e], prompts[p]) for i, (e, p) in enumerate(pairs)]
        except KeyError as missing:
            raise InputError(
                f"the plan of epoch {plan.epoch} names {missing.args[0]!r}, which is not in the data"
            ) from None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.count // self.step)

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.step)
        return full * self.accumulation + -(-rest // (self.per_device * self.world))

    def __iter__(self) -> Iterator[list[Row]]:
        for start in range(0, self.count, self.step):
            rows = self._rows[start : min(start + self.step, self.count)]
            parts = -(-len(rows) // (self.per_device * self.world)) * self.world
            for part in range(self.rank, parts, self.world):
                yield rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]


class PlanDataset(Dataset[Item]):
    """Examples and prompts, rendered and tokenised when a batch asks for them (in the loader's workers)."""

    def __init__(self, examples: Sequence[Example], prompts: Sequence[Prompt], encoder: Encoder, on_long: str) -> None:
        self.examples, self.prompts, self.encoder, self.on_long = examples, prompts, encoder, on_long

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, row: Row) -> Item:
        return self.encode([row])[0]

    def __getitems__(self, rows: Sequence[Row]) -> list[Item] | PaftError:
        try:
            return self.encode(rows)
        except PaftError as bad:  # handed over as it is: a worker would wrap its traceback around the message
            return bad

    def encode(self, rows: Sequence[Row]) -> list[Item]:
        """Render and tokenise rows.

        Raises:
            EncodingError: a row that is too long or cannot be parted; names example and prompt.
        """
        pairs = [
            (self.prompts[r.prompt].render(self.examples[r.example].slots), self.examples[r.example].answer)
            for r in rows
        ]
        on_long: Literal["none", "error"] = "none" if self.on_long == "drop" else "error"
        try:
            encodings = self.encoder.encode_batch(pairs, end=True, on_long=on_long)
        except EncodingError as bad:
            if len(rows) == 1:
                raise type(bad)(f"{self.name(rows[0])}: {bad}") from None
            return [item for row in rows for item in self.encode([row])]
        for row, encoding in zip(rows, encodings, strict=True):
            if encoding is not None and encoding.answer_start == 0:
                raise EncodingError(f"{self.name(row)}: the prompt has no tokens, so nothing can predict the answer")
        return [Item(r.position, self.name(r), e) for r, e in zip(rows, encodings, strict=True)]

    def name(self, row: Row) -> str:
        """How a row is called in messages."""
        return f"example {self.examples[row.example].id!r} under prompt {self.prompts[row.prompt].id!r}"


class Collator:
    """Makes of one process's share of a batch a list of micro-batches of at most ``batch_tokens`` tokens.

    The result is a dict: ``micro`` (list of tensors by name, see :func:`pad`), ``answer_tokens`` (labels in
    all of them), ``dropped`` (rows left out as too long), or ``error``.
    """

    def __init__(self, pad_id: int, batch_tokens: int) -> None:
        self.pad_id, self.batch_tokens = pad_id, batch_tokens

    def __call__(self, items: list[Item] | PaftError) -> dict[str, Any]:
        if isinstance(items, PaftError):
            return {"error": items}
        kept = [item for item in items if item.encoding is not None]
        try:
            groups = split(kept, self.batch_tokens)
        except PaftError as bad:
            return {"error": bad}
        micro = [pad(group, self.pad_id) for group in groups]
        tokens = sum(int((m["labels"] != IGNORED).sum()) for m in micro)
        return {"micro": micro, "answer_tokens": tokens, "dropped": len(items) - len(kept)}


def split(items: Sequence[Item], batch_tokens: int) -> list[list[Item]]:
    """Group items so that rows x longest row stays within ``batch_tokens``; longest first, little padding.

    Raises:
        InputError: one item alone is longer.
    """
    groups: list[list[Item]] = []
    width = 0
    for item in sorted(items, key=lambda i: -_length(i)):
        if _length(item) > batch_tokens:
            raise InputError(
                f"{item.name} takes {_length(item)} tokens, more than --batch-tokens {batch_tokens}; raise it to that"
            )
        if not groups or (len(groups[-1]) + 1) * width > batch_tokens:
            groups.append([])
            width = _length(item)
        groups[-1].append(item)
    return groups


def _length(item: Item) -> int:
    return len(item.encoding.input_ids) if item.encoding else 0


def pad(items: Sequence[Item], pad_id: int) -> dict[str, torch.Tensor]:
    """Tensors of one micro-batch, padded on the left so that all answers end in the last column.

    Returns:
        ``input_ids``, ``attention_mask``, ``position_ids`` (batch x tokens); ``labels`` (batch x longest
        answer), the last columns' own ids where they are of the answer; ``positions`` (batch) in the plan.
    """
    encodings = [item.encoding for item in items if item.encoding is not None]
    width = max(len(e.input_ids) for e in encodings)
    longest = max(len(e.input_ids) - e.answer_start for e in encodings)
    ids = torch.full((len(encodings), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full((len(encodings), longest), IGNORED, dtype=torch.long)
    for row, e in enumerate(encodings):
        answer = e.input_ids[e.answer_start :]
        ids[row, width - len(e.input_ids) :] = torch.tensor(e.input_ids)
        mask[row, width - len(e.input_ids) :] = 1
        labels[row, longest - len(answer) :] = torch.tensor(answer)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "labels": labels,
        "positions": torch.tensor([item.position for item in items]),
    }


def empty_micro(pad_id: int) -> dict[str, torch.Tensor]:
    """A micro-batch without a label: keeps a process in step with the others and adds nothing."""
    ids = torch.full((1, 2), pad_id, dtype=torch.long)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "position_ids": torch.arange(2)[None],
        "labels": torch.full((1, 1), IGNORED, dtype=torch.long),
        "positions": torch.tensor([-1]),
    }
