"""Whether a model is causal: what it says after a token must not hang on the tokens that come later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from paft.errors import ModelError

Row = Sequence[int] | np.ndarray


def refuse_not_causal(plain: Callable[[Row, int], Tensor], rows: Sequence[Row], share: float) -> None:
    """Run the shortest row twice, the second time with its later half changed.

    Args:
        plain: ``(row, first)`` gives the logits after each token from ``first`` on, tokens x vocabulary.
        rows: token ids, one row or more.
        share: of the largest logit, what rounding may change.

    Raises:
        ModelError: the logits in the middle differ, as they do for BERT and its kin.
    """
    row = [int(i) for i in min(rows, key=len)]
    row = row if len(row) > 1 else row * 2  # a row that fits the model's positions is not made longer
    middle = len(row) // 2 - 1
    changed = row[: middle + 1] + [i - 1 if i else 1 for i in row[middle + 1 :]]
    one, two = plain(row, middle)[0], plain(changed, middle)[0]
    if float((one - two).abs().max()) > share * float(one.abs().max()):  # not so where they are no numbers
        raise ModelError(
            "the model sees tokens that come after the one it answers from, as masked language models such as BERT do\n"
            "expected a causal language model, which sees only what stands before; give another --model"
        )
