"""The result of a sweep: its numbers, its cells as tables of prompts x examples, and comparison with another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paft.errors import DataError, InputError, MissingFileError
from paft.evaluation.cells import IDENTITY_FILE, SUMMARY_FILE, Cell, read_cells
from paft.evaluation.results.statistics import Interval, Summary, crossed_bootstrap, paired_difference, summarize
from paft.files import read_json
from paft.tasks.base import normalize
from paft.tasks.reasoning import without_reasoning


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep of P prompts over n examples.

    Attributes:
        summary: what ``summary.json`` holds.
        prompt_ids: in the order of the prompt set.
        example_ids: in the order of the data.
        cells_pn: one cell per prompt and example.
    """

    summary: dict[str, Any]
    prompt_ids: list[str]
    example_ids: list[str]
    cells_pn: list[list[Cell]]

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SweepResult:
        """Read the output folder of a finished sweep.

        Raises:
            MissingFileError: no sweep there, or one that is not finished.
            DataError: a damaged file, or cells that are missing.
        """
        folder = Path(folder)
        if not (folder / IDENTITY_FILE).is_file():
            raise MissingFileError(f"{folder} holds no sweep: expected {IDENTITY_FILE} and {SUMMARY_FILE}")
        if not (folder / SUMMARY_FILE).is_file():
            raise MissingFileError(f"the sweep in {folder} is not finished; run the same sweep again to go on")
        summary = read_json(folder / SUMMARY_FILE)
        order = read_json(folder / IDENTITY_FILE)["example_ids"]
        if "quick" in summary:
            return cls.of_cells(read_cells(folder)[0], list(summary["quick"]["per_prompt"]), order, summary)
        dropped = set(summary.get("dropped_examples", ()))  # a server says so when other prompts are answered already
        kept = [e for e in order if e not in dropped]
        return cls.of_cells(read_cells(folder)[0], list(summary["per_prompt"]), kept, summary)

    @classmethod
    def of_cells(
        cls, cells: Iterable[Cell], prompt_ids: Sequence[str], example_ids: Sequence[str], summary: dict[str, Any]
    ) -> SweepResult:
        """A result from cells in any order; examples without a cell are those that were dropped.

        The summary of a quick sweep gives a ``QuickResult``; ``example_ids`` are then those of the whole sweep.
        """
        if "quick" in summary:
            from paft.evaluation.results.quick import QuickResult

            return QuickResult(summary, prompt_ids, example_ids, cells)
        by_key = {(c.prompt_id, c.example_id): c for c in cells}
        met = {example for _, example in by_key}
        kept = [e for e in example_ids if e in met]
        try:
            table = [[by_key[p, e] for e in kept] for p in prompt_ids]
        except KeyError as missing:
            raise DataError(
                f"no cell for prompt {missing.args[0][0]}, example {missing.args[0][1]}; run the sweep again"
            ) from None
        return cls(summary, list(prompt_ids), kept, table)

    @cached_property
    def correct_pn(self) -> NDArray[np.bool_]:
        """Whether each answer was right."""
        return np.array([[c.correct for c in row] for row in self.cells_pn], dtype=bool)

    @cached_property
    def prediction_pn(self) -> NDArray[np.int32]:
        """Index of each answer given; -1 where none was found, and for free answers."""
        return np.array([[c.prediction for c in row] for row in self.cells_pn], dtype=np.int32)

    @cached_property
    def gold_n(self) -> NDArray[np.int32]:
        """Index of each right answer; -1 for free answers."""
        return np.array([c.gold for c in self.cells_pn[0]], dtype=np.int32)

    @cached_property
    def answer_pn(self) -> NDArray[np.int64]:
        """A code for each answer, equal where the answers are; free answers are compared normalized."""
        if (self.gold_n >= 0).any():
            return self.prediction_pn.astype(np.int64)
        texts = [[normalize(without_reasoning(c.text).text) for c in row] for row in self.cells_pn]
        codes = np.unique(np.array(texts), return_inverse=True)[1]
        return np.asarray(codes, dtype=np.int64).reshape(len(texts), -1)

    @property
    def loglik_pnk(self) -> NDArray[np.float32]:
        """Log-likelihood (nats) of each answer, -inf of one that the example does not offer.

        Where examples have fewer option texts than others, NaN follows.
        """
        width = max(len(c.loglik) for row in self.cells_pn for c in row)
        padded = [[[*c.loglik, *([np.nan] * (width - len(c.loglik)))] for c in row] for row in self.cells_pn]
        return np.array(padded, dtype=np.float32)

    @property
    def text_pn(self) -> list[list[str]]:
        """Each generated text; empty where candidates were compared."""
        return [[c.text for c in row] for row in self.cells_pn]

    def statistics(self, top: float) -> Summary:
        """All numbers, computed anew from the cells."""
        return summarize(self.correct_pn, self.answer_pn, self.gold_n, top)

    @property
    def mean(self) -> float:
        """Mean over prompts of the accuracy."""
        return self.summary["mean"]

    @property
    def std(self) -> float | None:
        """Standard deviation over prompts, divided by P-1; None for one prompt."""
        return self.summary["std"]

    @property
    def std_corrected(self) -> float | None:
        """The same without the noise of finitely many examples; None for one prompt or example."""
        return self.summary["std_corrected"]

    @property
    def min(self) -> float:
        """Accuracy of the worst prompt."""
        return self.summary["min"]

    @property
    def q05(self) -> float:
        """5% quantile over prompts."""
        return self.summary["q05"]

    @property
    def max(self) -> float:
        """Accuracy of the best prompt."""
        return self.summary["max"]

    @property
    def per_prompt(self) -> dict[str, float]:
        """Prompt id -> accuracy, in the order of the prompt set."""
        return dict(self.summary["per_prompt"])

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """``(prompt id, accuracy)``, best first; equals in the order of the prompt set."""
        return sorted(self.per_prompt.items(), key=lambda item: -item[1])

    @property
    def worst(self) -> tuple[str, float]:
        """``(prompt id, accuracy)`` of the worst prompt."""
        return self.ranked[-1]

    @property
    def best(self) -> tuple[str, float]:
        """``(prompt id, accuracy)`` of the best prompt."""
        return self.ranked[0]

    def top(self, threshold: float | None = None) -> float:
        """Share of prompts with at least this accuracy; without a threshold, the sweep's own."""
        if threshold is None:
            return self.summary["top"]["share"]
        return float(np.mean([accuracy >= threshold for accuracy in self.per_prompt.values()]))

    def interval(self, statistic: str = "mean", seed: int = 0) -> Interval:
        """95% interval of the mean or std, prompts and examples resampled."""
        return crossed_bootstrap(self.correct_pn, statistic, seed=seed)

    def compare(self, other: SweepResult, statistic: str = "mean", seed: int = 0) -> Interval:
        """This result minus ``other`` with a 95% interval, paired by prompt and example.

        Raises:
            InputError: the two do not hold the same prompts and examples.
        """
        for what, mine, theirs in (
            ("prompts", self.prompt_ids, other.prompt_ids),
            ("examples", self.example_ids, other.example_ids),
        ):
            if set(mine) != set(theirs):
                raise InputError(
                    f"the two sweeps share {len(set(mine) & set(theirs))} {what} of {len(mine)} and {len(theirs)}; "
                    "a paired difference needs the same"
                )
        rows = [other.prompt_ids.index(p) for p in self.prompt_ids]
        place = {e: i for i, e in enumerate(other.example_ids)}
        columns = [place[e] for e in self.example_ids]
        return paired_difference(self.correct_pn, other.correct_pn[np.ix_(rows, columns)], statistic, seed=seed)
