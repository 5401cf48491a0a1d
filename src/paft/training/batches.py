"""From a plan to tensors: which rows a process takes, rendering them, and micro-batches by tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from paft.errors import EncodingError, InputError, PaftError
from paft.models import Encoder
from paft.prompts import Prompt
from paft.tasks.base import Example
from paft.tasks.ids import places
from paft.training.config import PaftConfig
from paft.training.packing.micro import IGNORED, START_TOKENS, Item, Padding, empty_micro, pack, padded, split
from paft.training.plan import EpochPlan


@dataclass(frozen=True, slots=True)
class Row:
    """What a position of the plan asks for: which example under which prompt, by index."""

    position: int
    example: int
    prompt: int


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
        self._examples = self._prompts = np.zeros(0, np.int32)

    def set_plan(self, plan: EpochPlan, example_ids: Sequence[str], prompt_ids: Sequence[str]) -> None:
        """Take the rows from ``plan``, as indices into the two lists of ids.

        Raises:
            InputError: the plan names an example or prompt that is not there.
        """
        self._examples = places(plan.example_ids, example_ids)
        self._prompts = places(plan.prompt_ids, prompt_ids)
        for named, found in ((plan.example_ids, self._examples), (plan.prompt_ids, self._prompts)):
            if (found < 0).any():
                gone = named[int(np.argmin(found))]
                raise InputError(f"the plan of epoch {plan.epoch} names {gone!r}, which is not in the data")

    def rows(self, start: int, end: int) -> list[Row]:
        """The rows at positions from ``start`` up to ``end`` of the plan."""
        pairs = zip(self._examples[start:end].tolist(), self._prompts[start:end].tolist(), strict=True)
        return [Row(start + i, *pair) for i, pair in enumerate(pairs)]

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.count // self.step)

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.step)
        return full * self.accumulation + -(-rest // (self.per_device * self.world))

    def __iter__(self) -> Iterator[list[Row]]:
        for start in range(0, self.count, self.step):
            rows = self.rows(start, min(start + self.step, self.count))
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


def plan_loader(dataset: PlanDataset, batches: PlanBatches, collator: Collator, args: PaftConfig) -> DataLoader:
    """A loader over one process's share of the plan; it touches no global random state."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collator,
        num_workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory and torch.cuda.is_available(),
        persistent_workers=args.dataloader_persistent_workers,
        prefetch_factor=args.dataloader_prefetch_factor,
        multiprocessing_context=args.dataloader_multiprocessing_context,
        generator=torch.Generator().manual_seed(args.seed),
    )


class Collator:
    """Makes of one process's share of a batch a list of micro-batches of at most ``batch_tokens`` tokens.

    The result is a dict: ``micro`` (list of tensors by name, see :func:`paft.training.packing.micro.pad`),
    ``answer_tokens`` (labels in all of them), ``dropped`` (rows left out as too long), or ``error``.

    Args:
        packed: rows one behind the other in place of padded ones; see :func:`paft.training.packing.micro.pack`.
        start_tokens: what a micro-batch costs beside its tokens; see :func:`paft.training.packing.micro.split`.

    Attributes:
        padding: how rows that are not packed are padded.
    """

    padding: Padding = "left"

    def __init__(self, pad_id: int, batch_tokens: int, packed: bool = False, start_tokens: int = START_TOKENS) -> None:
        self.pad_id, self.batch_tokens, self.packed, self.start_tokens = pad_id, batch_tokens, packed, start_tokens

    def __call__(self, items: list[Item] | PaftError) -> dict[str, Any]:
        if isinstance(items, PaftError):
            return {"error": items}
        kept = [item for item in items if item.encoding is not None]
        try:
            groups = split(kept, self.batch_tokens, self.packed, self.start_tokens, self.padding)
        except PaftError as bad:
            return {"error": bad}
        micro = [pack(group) if self.packed else padded(group, self.pad_id, self.padding) for group in groups]
        tokens = sum(int((m["labels"] != IGNORED).sum()) for m in micro)
        return {"micro": micro, "answer_tokens": tokens, "dropped": len(items) - len(kept)}

    def empty(self) -> dict[str, Any]:
        """A micro-batch of the same kind that adds nothing."""
        return empty_micro(self.pad_id, self.packed, self.padding)
