"""From log-likelihoods or from a text to the cell of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paft.errors import RunError
from paft.evaluation.answers.candidates import Candidates
from paft.evaluation.cells import Cell

if TYPE_CHECKING:
    from paft.evaluation.pairs import Pair


class AnswerReader:
    """Reads the answers of a task.

    Args:
        candidates: the task's, under the scoring in use.
        normalize: divide a log-likelihood by nothing, the answer's ``tokens`` or the ``bytes`` of its text.
    """

    def __init__(self, candidates: Candidates, normalize: str = "none") -> None:
        self.candidates, self.normalize = candidates, normalize
        self.task = candidates.task

    def likeliest(
        self, pair: Pair, loglik: NDArray[np.float32], answer_tokens: Sequence[int], prompt_tokens: int
    ) -> Cell:
        """The cell of a pair whose candidates have these log-likelihoods (nats) and so many tokens each."""
        example = pair.example
        # argmax gives the first of equals
        best = int(np.argmax(loglik.astype(np.float64) / self._divisors(pair, answer_tokens)))
        prediction = self.candidates.places(example)[best]
        return Cell(
            prompt_id=pair.prompt.id,
            example_id=example.id,
            gold=example.gold,
            prediction=prediction,
            text="",
            correct=prediction == example.gold,
            loglik=tuple(self.candidates.spread(example, loglik).tolist()),
            prompt_tokens=prompt_tokens,
        )

    def written(self, pair: Pair, text: str, prompt_tokens: int, generated_tokens: int) -> Cell:
        """The cell of a pair to which this was written, a mark of reasoning that its prompt leaves open in front."""
        prediction, correct = self.task.judge(pair.example, text)
        return Cell(
            prompt_id=pair.prompt.id,
            example_id=pair.example.id,
            gold=pair.example.gold,
            prediction=prediction,
            text=text,
            correct=correct,
            prompt_tokens=prompt_tokens,
            generated_tokens=generated_tokens,
        )

    def complete(self, pair: Pair, text: str) -> bool:
        """Whether the lines written so far hold the whole answer."""
        return self.task.complete(pair.example, text)

    def cut(self, pair: Pair, text: str) -> str:
        """The text up to the line that completes the answer."""
        end = text.find("\n")
        while end >= 0:
            if self.complete(pair, text[: end + 1]):
                return text[: end + 1]
            end = text.find("\n", end + 1)
        return text

    def _divisors(self, pair: Pair, answer_tokens: Sequence[int]) -> NDArray[np.float64]:
        if self.normalize == "tokens":
            return np.array(answer_tokens, dtype=np.float64)
        if self.normalize == "bytes":
            return np.array([len(text.encode()) for text in self.candidates.of(pair.example)], dtype=np.float64)
        return np.ones(len(answer_tokens))


def refuse_not_finite(pair: Pair, loglik: NDArray[np.float32]) -> None:
    """Refuse log-likelihoods that are not numbers. Raises RunError."""
    if not np.isfinite(loglik).all():
        raise RunError(
            f"{pair.name}: the log-likelihoods {loglik.tolist()} are not all finite numbers\n"
            "the weights may be broken, or too large for this dtype: try --dtype float32"
        )
