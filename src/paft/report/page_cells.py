"""Right and wrong answers as packed bits, and how many examples of a large comparison the page has room for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paft.experiments.records import Measured

FEWEST = 25  # examples; with room for fewer a sweep is shown without its single answers


def pack(values: NDArray[Any], bits: int) -> str:
    """Non-negative integers below ``2**bits``, row by row, low bit first, as base64."""
    flat = np.asarray(values, dtype=np.uint8).reshape(-1, 1)
    return base64.b64encode(np.packbits((flat >> np.arange(bits)) & 1, bitorder="little").tobytes()).decode()


def answer_bits(measured: Sequence[Measured]) -> int:
    """Bits for an answer's index plus one, 0 standing for no answer."""
    highest = max((int(m.answer_pn.max(initial=-1)) for m in measured if m.answer_pn is not None), default=-1)
    return max(1, (highest + 1).bit_length())


def pick_columns(measured: Sequence[Measured], room: int) -> NDArray[np.int64] | None:
    """Which examples of a sweep to show, evenly spaced where not all of them fit into ``room`` bytes.

    Args:
        measured: the sweep of every method and seed.

    Returns:
        Indices into the sweep's examples; None where there is no room to speak of.
    """
    bits = answer_bits(measured)
    per_column = sum(len(m.prompt_ids) * (1 + (0 if m.answer_pn is None else bits)) for m in measured)
    total = len(measured[0].example_ids)
    count = min(total, int(room * 0.75 * 8 / per_column))  # base64 takes four bytes for three
    if count < min(FEWEST, total):
        return None
    return np.unique(np.linspace(0, total - 1, count).round().astype(np.int64))


def packed_cells(measured: Measured, columns: NDArray[np.int64] | None, bits: int) -> dict[str, Any]:
    """``correct`` and ``answers`` of one record as base64, prompts x chosen examples; None where not kept."""
    if columns is None:
        return {"correct": None, "answers": None}
    answers = None if measured.answer_pn is None else pack(measured.answer_pn[:, columns] + 1, bits)
    return {"correct": pack(measured.correct_pn[:, columns], 1), "answers": answers}


def derived_gold(measured: Sequence[Measured]) -> NDArray[np.int64]:
    """The right answer of each example as far as some answer was right; -1 where none was or none was kept."""
    gold = np.full(len(measured[0].example_ids), -1, dtype=np.int64)
    for m in measured:
        if m.answer_pn is not None:
            gold = np.maximum(gold, np.where(m.correct_pn, m.answer_pn, -1).max(axis=0))
    return gold
