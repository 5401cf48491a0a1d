"""Micro-batches: tokenised rows to tensors, padded to one length or packed one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch

from paft.errors import InputError
from paft.models import Encoding
from paft.training.packing.attention import PackedRows

IGNORED = -100
Padding = Literal["left", "right", "single"]  # where rows of one length are filled up; single: one row a micro-batch
PADDINGS: tuple[Padding, ...] = ("left", "right", "single")
START_TOKENS = 32  # what a micro-batch costs beside its tokens, in tokens; measured on a processor
ACCELERATOR_START_TOKENS = 512  # an estimate: kernels to launch, and few tokens do not fill a GPU


@dataclass(frozen=True, slots=True)
class Item:
    """A rendered and tokenised row; ``encoding`` is None where it was too long and may be dropped."""

    position: int
    name: str
    encoding: Encoding | None

    @property
    def tokens(self) -> int:
        """Of prompt, answer and end; 0 where it was left out."""
        return len(self.encoding.input_ids) if self.encoding else 0


def split(
    items: Sequence[Item],
    batch_tokens: int,
    packed: bool = False,
    start_tokens: int = START_TOKENS,
    padding: Padding = "left",
) -> list[list[Item]]:
    """Group items, longest first, so that a group's tokens stay within ``batch_tokens``.

    Where ``padding`` is ``single``, rows that are not packed stand alone. Packed rows take their own tokens, and fill
    each group. Padded ones take rows x longest row, and are grouped so that those are fewest in all, with
    ``start_tokens`` for each group.

    Raises:
        InputError: one item alone is longer.
    """
    order = sorted(items, key=lambda i: -i.tokens)
    lengths = [item.tokens for item in order]
    if lengths and lengths[0] > batch_tokens:
        raise InputError(
            f"{order[0].name} takes {lengths[0]} tokens, more than --batch-tokens {batch_tokens}; raise it to that"
        )
    if padding == "single" and not packed:
        return [[item] for item in order]
    ends = _filled(lengths, batch_tokens) if packed else _least_padded(lengths, batch_tokens, start_tokens)
    return [order[start:end] for start, end in pairwise([0, *ends])]


def _filled(lengths: Sequence[int], batch_tokens: int) -> list[int]:
    """Where each group ends if it takes what fits."""
    ends, used = [], 0
    for place, length in enumerate(lengths):
        if place and used + length > batch_tokens:
            ends.append(place)
            used = 0
        used += length
    return [*ends, len(lengths)] if lengths else []


def _least_padded(lengths: Sequence[int], batch_tokens: int, start_tokens: int) -> list[int]:
    """Where each group of falling lengths ends if their tokens, padding included, are fewest."""
    least, begins = [0], [0]  # for the first n rows: their tokens, and where the last group begins
    for end in range(1, len(lengths) + 1):
        found: list[tuple[int, int]] = []
        for begin in range(end - 1, -1, -1):
            tokens = (end - begin) * lengths[begin]
            if tokens > batch_tokens:
                break
            found.append((least[begin] + tokens + start_tokens, begin))
        best = min(found)
        least.append(best[0])
        begins.append(best[1])
    ends = []
    end = len(lengths)
    while end:
        ends.append(end)
        end = begins[end]
    return ends[::-1]


def pad(items: Sequence[Item], pad_id: int) -> dict[str, torch.Tensor]:
    """Tensors of one micro-batch, padded on the left so that all answers end in the last column.

    Returns:
        ``input_ids``, ``attention_mask``, ``position_ids`` (batch x tokens); ``labels`` (batch x longest
        answer), the last columns' own ids where they are of the answer; ``positions`` (batch) in the plan.
    """
    encodings = [item.encoding for item in items if item.encoding is not None]
    width = max(len(e.input_ids) for e in encodings)
    ids = torch.full((len(encodings), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, e in enumerate(encodings):
        ids[row, width - len(e.input_ids) :] = torch.tensor(e.input_ids)
        mask[row, width - len(e.input_ids) :] = 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "labels": _labels(encodings),
        "positions": torch.tensor([item.position for item in items]),
    }


def pad_right(items: Sequence[Item], pad_id: int) -> dict[str, torch.Tensor]:
    """Tensors of one micro-batch, padded at the end, which no token of a causal model sees: no mask, no positions.

    Returns:
        ``input_ids`` (batch x tokens); ``keep``, ``targets``, ``labels`` and ``positions`` as :func:`pack` gives them,
        ``keep`` counted row by row.
    """
    encodings = [item.encoding for item in items if item.encoding is not None]
    width = max(len(e.input_ids) for e in encodings)
    ids = torch.full((len(encodings), width), pad_id, dtype=torch.long)
    for row, e in enumerate(encodings):
        ids[row, : len(e.input_ids)] = torch.tensor(e.input_ids)
    keep = [row * width + i - 1 for row, e in enumerate(encodings) for i in range(e.answer_start, len(e.input_ids))]
    return {"input_ids": ids, "keep": torch.tensor(keep), **_targets(items)}


def pack(items: Sequence[Item]) -> dict[str, Any]:
    """Tensors of one micro-batch whose rows stand one behind the other; those of one length are best neighbours.

    Returns:
        ``input_ids``, ``position_ids`` (1 x tokens), positions from 0 in each row; ``packed_rows``, their
        lengths; ``keep`` (answer tokens), the token before each answer token; ``targets`` (answer tokens);
        ``labels`` and ``positions`` as :func:`pad` gives them.
    """
    encodings = [item.encoding for item in items if item.encoding is not None]
    lengths = tuple(len(e.input_ids) for e in encodings)
    keep: list[int] = []
    start = 0
    for e, length in zip(encodings, lengths, strict=True):
        keep += range(start + e.answer_start - 1, start + length - 1)
        start += length
    return {
        "input_ids": torch.tensor([[token for e in encodings for token in e.input_ids]]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "packed_rows": PackedRows(lengths),
        "keep": torch.tensor(keep),
        **_targets(items),
    }


def _targets(items: Sequence[Item]) -> dict[str, torch.Tensor]:
    encodings = [item.encoding for item in items if item.encoding is not None]
    return {
        "targets": torch.tensor([token for e in encodings for token in e.input_ids[e.answer_start :]]),
        "labels": _labels(encodings),
        "positions": torch.tensor([item.position for item in items]),
    }


def _labels(encodings: Sequence[Encoding]) -> torch.Tensor:
    longest = max(len(e.input_ids) - e.answer_start for e in encodings)
    labels = torch.full((len(encodings), longest), IGNORED, dtype=torch.long)
    for row, e in enumerate(encodings):
        answer = e.input_ids[e.answer_start :]
        labels[row, longest - len(answer) :] = torch.tensor(answer)
    return labels


def padded(items: Sequence[Item], pad_id: int, padding: Padding) -> dict[str, torch.Tensor]:
    """Tensors of one micro-batch, padded as ``padding`` says."""
    return pad(items, pad_id) if padding == "left" else pad_right(items, pad_id)


def empty_micro(pad_id: int, packed: bool = False, padding: Padding = "left") -> dict[str, Any]:
    """A micro-batch without a label: keeps a process in step with the others and adds nothing."""
    ids = torch.full((1, 2), pad_id, dtype=torch.long)
    micro: dict[str, Any] = {
        "input_ids": ids,
        "labels": torch.full((1, 1), IGNORED, dtype=torch.long),
        "positions": torch.tensor([-1]),
    }
    nowhere = {"keep": torch.tensor([0]), "targets": torch.tensor([IGNORED])}
    if packed:
        return micro | nowhere | {"position_ids": torch.arange(2)[None], "packed_rows": PackedRows((2,))}
    if padding != "left":
        return micro | nowhere
    return micro | {"position_ids": torch.arange(2)[None], "attention_mask": torch.ones_like(ids)}
