"""The candidate answers of examples: which ones each has, and whether they are scored with the token that ends them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paft.tasks.base import Example, Task

if TYPE_CHECKING:
    from paft.models import Encoder


class Candidates:
    """The candidates of a task's examples under one scoring.

    Letters and label words are the same for all examples, and so is whether they are scored with the end token; of
    option texts (``continuation``) each example has its own, and whether they are is decided for each.

    Args:
        scoring: ``likelihood`` or ``continuation``; under ``generate`` the answers are what may be written.
        encoder: what makes tokens of them; None where a server does.
    """

    def __init__(self, task: Task, scoring: str, encoder: Encoder | None = None) -> None:
        self.task, self.scoring = task, scoring
        self.by_text = scoring == "continuation"
        self._encoder = encoder
        self._ended: dict[tuple[str, ...], bool] = {}

    def places(self, example: Example) -> tuple[int, ...]:
        """The candidates' indices among the task's answers."""
        return self.task.offered(example)

    def of(self, example: Example) -> tuple[str, ...]:
        """The candidates: full option texts for ``continuation`` of a choice, else letters or label words."""
        texts, places = self._texts(example), self.places(example)
        return texts if len(places) == len(texts) else tuple(texts[place] for place in places)

    def ended(self, examples: Iterable[Example]) -> list[bool]:
        """Whether each example's candidates are scored with the end token: where one's tokens begin another's."""
        if self._encoder is None:
            raise ValueError("a server's tokens are not known here")
        from paft.models.ends import begins_another

        groups = [self.group(example) for example in examples]
        new = [group for group in dict.fromkeys(groups) if group not in self._ended]
        self._ended.update(zip(new, begins_another(self._encoder, new), strict=True))
        return [self._ended[group] for group in groups]

    def group(self, example: Example) -> tuple[str, ...]:
        """The candidates for which it is decided together whether they are scored with the end token."""
        return self.of(example) if self.by_text and example.options else self.task.answers

    def spread(self, example: Example, values: ArrayLike) -> NDArray[np.float32]:
        """One value for each of the task's answers: those of the candidates, and ``-inf`` for what is none."""
        out = np.full(len(self._texts(example)), -np.inf, dtype=np.float32)
        out[list(self.places(example))] = values
        return out

    def _texts(self, example: Example) -> tuple[str, ...]:
        return example.options if self.by_text and example.options else self.task.answers


def answer_end(candidates: Candidates, encoder: Encoder, examples: Iterable[Example]) -> str | None:
    """The end token, as text, if candidates of any of these examples are scored with it; else None."""
    if not any(candidates.ended(examples)):
        return None
    return "".join(encoder.tokenizer.convert_ids_to_tokens(encoder.end_ids))
