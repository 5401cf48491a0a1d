"""``top-accuracy`` and its halving on scores made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from paft.baselines.base import Scored
from paft.baselines.top_accuracy import TopAccuracy, ladder
from paft.errors import InputError
from paft.prompts import Prompt, PromptSet
from paft.tasks import Example


class TableScore:
    """Answers from two tables, prompts x examples; every answer is given once."""

    def __init__(self, correct_pn: np.ndarray, margin_pn: np.ndarray | None = None) -> None:
        self.examples = [Example(str(i), {"text": "x"}, "A", 0) for i in range(correct_pn.shape[1])]
        self.queries = self.calls = 0
        self._correct_pn = correct_pn
        self._margin_pn = np.zeros(correct_pn.shape) if margin_pn is None else margin_pn
        self._asked: set[tuple[int, int]] = set()

    def __call__(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Scored:
        rows, columns = [int(p.id) for p in prompts], [int(e.id) for e in examples]
        self.queries += len(rows)
        self._asked |= {(r, c) for r in rows for c in columns}
        self.calls = len(self._asked)
        at = np.ix_(rows, columns)
        return Scored(self._correct_pn[at], self._margin_pn[at])


def numbered(count: int) -> PromptSet:
    return PromptSet(Prompt.from_text(f"Text {i}: {{text}}", id=str(i)) for i in range(count))


def noisy(accuracies: Sequence[float], examples: int, seed: int) -> np.ndarray:
    """Answers that are right with the given chances."""
    rng = np.random.default_rng(seed)
    return rng.random((len(accuracies), examples)) < np.array(accuracies)[:, None]


def test_the_most_accurate_prompt_on_the_examples_drawn() -> None:
    correct_pn = noisy([0.5] * 6, 40, seed=1)
    found = TopAccuracy(examples=15, seed=4).select(numbered(6), TableScore(correct_pn))
    drawn = np.random.default_rng([4, 3]).permutation(40)[:15]
    accuracy_p = correct_pn[:, drawn].mean(axis=1)
    assert found.prompt.id == str(int(np.argmax(accuracy_p)))
    assert found.score == accuracy_p.max()
    assert {s.prompt_id: s.score for s in found.scores} == {str(i): a for i, a in enumerate(accuracy_p.tolist())}
    assert [s.score for s in found.scores] == sorted(accuracy_p, reverse=True)
    assert {s.examples for s in found.scores} == {15}
    assert (found.method, found.facts["rounds"]) == ("top-accuracy", [{"prompts": 6, "examples": 15}])


def test_all_examples_where_there_are_fewer() -> None:
    score = TableScore(noisy([0.2, 0.9], 7, seed=0))
    found = TopAccuracy(examples=100).select(numbered(2), score)
    assert (found.scores[0].examples, found.facts["examples"], score.calls, score.queries) == (7, 7, 14, 2)


def test_ties_go_to_the_larger_margin_then_to_the_first() -> None:
    correct_pn = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]], dtype=bool)
    margin_pn = np.array([[9, 9, 9, 9], [0, 0, 0, 1], [0, 2, 0, 0], [1, 0, 1, 0]], dtype=float)
    found = TopAccuracy().select(numbered(4), TableScore(correct_pn, margin_pn))
    assert [s.prompt_id for s in found.scores] == ["2", "3", "1", "0"]
    assert found.facts["equally_accurate"] == 3
    assert found.facts["margin"] == 0.5
    halved = TopAccuracy(halving=True).select(numbered(4), TableScore(np.ones((4, 64), bool)))
    assert halved.prompt.id == "0"


@pytest.mark.parametrize("seed", range(8))
def test_halving_finds_a_prompt_that_is_clearly_best_with_fewer_answers(seed: int) -> None:
    chances = [0.3] * 32
    chances[seed * 3] = 0.95
    correct_pn = noisy(chances, 200, seed)
    full, halved = TableScore(correct_pn), TableScore(correct_pn)
    one = TopAccuracy(examples=100, seed=seed).select(numbered(32), full)
    two = TopAccuracy(examples=100, seed=seed, halving=True).select(numbered(32), halved)
    assert one.prompt.id == two.prompt.id == str(seed * 3)
    assert one.score == two.score
    assert full.calls == 3200
    assert halved.calls == 32 * 13 + 16 * 12 + 8 * 25 + 4 * 50
    assert halved.queries == 32 + 16 + 8 + 4
    assert [s.examples for s in two.scores] == [100] * 4 + [50] * 4 + [25] * 8 + [13] * 16


def test_halving_keeps_two_prompts_for_the_last_round() -> None:
    assert ladder(100) == [13, 25, 50, 100]
    assert ladder(15) == [8, 15]
    assert ladder(14) == [14]
    found = TopAccuracy(examples=100, halving=True).select(numbered(3), TableScore(noisy([0.1, 0.9, 0.8], 100, 0)))
    assert [r["prompts"] for r in found.facts["rounds"]] == [3, 2, 2, 2]
    alone = TopAccuracy(examples=100, halving=True).select(numbered(1), TableScore(noisy([0.1], 100, 0)))
    assert [r["prompts"] for r in alone.facts["rounds"]] == [1, 1, 1, 1]


@pytest.mark.parametrize("settings", [{"examples": 0}, {"seed": -1}])
def test_numbers_out_of_range(settings: dict) -> None:
    with pytest.raises(InputError, match="must be at least"):
        TopAccuracy(**settings)
