"""The search on score surfaces whose truth is known, and against a replay of its rules."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from paft.baselines.base import Scored, Selector
from paft.baselines.zopo import Zopo, normalise
from paft.errors import InputError
from paft.prompts import Prompt, PromptSet
from paft.tasks import Example


class Surface:
    """A score of prompts "0", "1", ... with a given true accuracy each; without a seed it is met exactly."""

    def __init__(self, truth_p: Sequence[float], examples: int = 20, seed: int | None = None) -> None:
        self.truth_p = np.asarray(truth_p, dtype=float)
        self.examples = [Example(str(i), {"text": "…"}, "yes", 0) for i in range(examples)]
        self.queries = self.calls = 0
        level_n = (np.arange(examples) + 0.5) / examples
        shape = (len(self.truth_p), examples)
        self._level_pn = (
            np.random.default_rng(seed).random(shape) if seed is not None else np.broadcast_to(level_n, shape)
        )

    def __call__(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Scored:
        self.queries += len(prompts)
        self.calls += len(prompts) * len(examples)
        rows = np.array([int(p.id) for p in prompts])[:, None]
        correct_pn = self._level_pn[rows, [int(e.id) for e in examples]] < self.truth_p[rows]
        return Scored(correct_pn, np.zeros(correct_pn.shape))


def prompt_set(size: int) -> PromptSet:
    return PromptSet(Prompt.from_text(f"{{text}} {i}", id=str(i)) for i in range(size))


def trail(selection) -> tuple[list[int], list[float], list[str]]:
    rows = selection.facts["evaluated"]
    return [int(r["prompt_id"]) for r in rows], [r["score"] for r in rows], [r["why"] for r in rows]


def by_random_search(truth_p: np.ndarray, accuracy_p: np.ndarray, queries: int) -> float:
    """True accuracy of the prompt that scores best among so many random ones: the mean of 1000 draws."""
    drawn_rq = np.argsort(np.random.default_rng(0).random((1000, len(truth_p))), axis=1)[:, :queries]
    best_r = np.argmax(accuracy_p[drawn_rq], axis=1)
    return float(truth_p[drawn_rq[np.arange(1000), best_r]].mean())


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [False, True])
def test_it_beats_random_search_with_the_same_queries_on_a_smooth_surface(noisy):
    size, examples, queries = 300, 200, 80
    prompts, gains = prompt_set(size), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        embedded_pd, peak_d = rng.standard_normal((size, 16)), rng.standard_normal(16)
        truth_p = 0.15 + 0.8 * np.exp(-((embedded_pd - peak_d) ** 2).sum(axis=1) / 32)
        score = Surface(truth_p, examples, seed if noisy else None)
        found = Zopo(embedded_pd, seed=seed, examples=examples, queries=queries).select(prompts, score)
        assert score.queries == len(found.scores) == queries
        accuracy_p = score(list(prompts), score.examples).correct_pn.mean(axis=1)
        gains.append(truth_p[int(found.prompt.id)] - by_random_search(truth_p, accuracy_p, queries))
    assert np.mean(gains) > 0, gains
    assert np.mean(np.array(gains) >= 0) > 0.5, gains


def test_on_a_line_it_climbs_to_the_top_and_stops_at_a_perfect_score():
    size = 400
    truth_p = np.linspace(0.0, 1.0, size)
    found = Zopo(truth_p[:, None] * 7 - 3, examples=400, initial=8).select(prompt_set(size), Surface(truth_p, size))
    assert found.facts["stopped"] == "target"
    assert found.prompt.id == str(size - 1)
    assert found.score == 1.0
    assert len(found.scores) < 100  # a random search needs 200 on average


def test_with_tiny_steps_it_scores_the_nearest_prompt_and_returns_to_the_best_after_three_vain_rounds():
    rng = np.random.default_rng(5)
    embedded_pd = rng.random((60, 3))
    score = Surface(rng.random(60) * 0.9, 100)
    found = Zopo(embedded_pd, examples=100, initial=15, queries=50, learning_rate=1e-12).select(prompt_set(60), score)
    order, scores, why = trail(found)
    points_pd = normalise(embedded_pd)
    start, vain, seen = order[int(np.argmax(scores[:15]))], 0, []
    for at in range(15, 50):
        unscored = [i for i in range(60) if i not in order[:at]]
        nearest = min(unscored, key=lambda i: np.linalg.norm(points_pd[i] - points_pd[start]))
        assert order[at] == nearest
        assert why[at] == ("restart" if at > 15 and vain == 0 and seen[-1] == "back" else "gradient")
        better = scores[at] > max(scores[:at])
        vain = 0 if better else vain + 1
        start, step = order[at], "on"
        if vain == 3:
            start, vain, step = order[int(np.argmax(scores[: at + 1]))], 0, "back"
        seen.append(step)
    assert seen.count("back") > 2
    assert found.facts["stopped"] == "queries"


def test_without_a_slope_the_ten_nearest_neighbours_of_the_start_are_scored():
    embedded_pd = np.random.default_rng(1).random((50, 4))
    found = Zopo(embedded_pd, initial=12).select(prompt_set(50), Surface(np.zeros(50)))
    order, scores, why = trail(found)
    points_pd = normalise(embedded_pd)
    distance_p = np.linalg.norm(points_pd - points_pd[order[0]], axis=1)
    nearest = [i for i in np.argsort(distance_p) if i not in order[:12]]
    assert why == ["initial"] * 12 + ["explore"] * 38
    assert order[12:] == nearest
    assert set(scores) == {0.0}
    assert (found.prompt.id, found.facts["stopped"]) == (str(order[0]), "all prompts scored")


def test_the_fifth_uncertain_round_in_succession_explores_first():
    rng = np.random.default_rng(2)
    found = Zopo(rng.random((90, 4)), initial=10, queries=45, uncertainty=0.0).select(
        prompt_set(90), Surface(rng.random(90) * 0.9, 50)
    )
    explored = ["explore" if why == "explore" else "step" for why in trail(found)[2][10:]]
    assert explored == (["step"] * 4 + ["explore"] * 10 + ["step"]) * 2 + ["step"] * 4 + ["explore"]


def test_a_perfect_score_in_the_first_round_ends_it():
    truth_p = np.full(60, 0.5)
    truth_p[:50] = 1.0
    score = Surface(truth_p)
    found = Zopo(np.random.default_rng(0).random((60, 3))).select(prompt_set(60), score)
    assert (score.queries, score.calls, found.score, found.facts["stopped"]) == (40, 800, 1.0, "target")
    assert set(trail(found)[2]) == {"initial"}


@pytest.mark.parametrize("size", [1, 7, 40])
def test_with_no_more_prompts_than_the_first_round_takes_all_are_scored_once(size):
    truth_p = np.linspace(0.1, 0.8, size)
    score = Surface(truth_p)
    found = Zopo(np.random.default_rng(0).random((size, 5))).select(prompt_set(size), score)
    assert sorted(trail(found)[0]) == list(range(size))
    assert found.score == pytest.approx(max(s.score for s in found.scores))
    assert found.facts["stopped"] == "all prompts scored"


@pytest.mark.parametrize("distinct", [1, 5])
def test_repeated_embeddings_and_equal_scores_are_no_trouble(distinct):
    embedded_pd = np.random.default_rng(3).random((distinct, 6))[np.arange(80) % distinct]
    embedded_pd[:, 2] = 4.0
    found = Zopo(embedded_pd, initial=20, queries=60).select(prompt_set(80), Surface(np.full(80, 0.5)))
    order, scores, _ = trail(found)
    assert len(set(order)) == len(order) == 60
    assert set(scores) == {0.5}
    assert found.prompt.id == str(order[0])  # the first of equals


def test_a_seed_decides_everything_and_no_global_state_is_touched():
    rng = np.random.default_rng(4)
    embedded_pd, truth_p = rng.random((120, 8)), rng.random(120) * 0.9
    before = (torch.get_rng_state(), np.random.get_state()[1].copy())
    first, again, other = (
        Zopo(embedded_pd, seed=seed, queries=60).select(prompt_set(120), Surface(truth_p, 100, seed=1))
        for seed in (3, 3, 4)
    )
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert first == again
    assert first.facts["example_ids"] != other.facts["example_ids"]
    assert trail(first)[0] != trail(other)[0]


def test_the_record_holds_every_query_and_is_json():
    rng = np.random.default_rng(6)
    embedded_pd, score = rng.random((50, 3)).astype(np.float32), Surface(rng.random(50) * 0.9, 30)
    selector: Selector = Zopo(lambda prompts: embedded_pd[[int(p.id) for p in prompts]], queries=45)
    found = selector.select(prompt_set(50), score)
    assert json.loads(json.dumps(found.facts)) == found.facts
    assert found.method == selector.name == "zopo"
    settings = found.facts["settings"]
    assert (settings["examples"], settings["initial"], settings["queries"], settings["noise"]) == (20, 40, 45, 0.01)
    assert len(set(found.facts["example_ids"])) == 20
    assert [s.score for s in found.scores] == sorted((s.score for s in found.scores), reverse=True)
    assert {(s.prompt_id, s.score) for s in found.scores} == {
        (r["prompt_id"], r["score"]) for r in found.facts["evaluated"]
    }
    assert found.score == found.scores[0].score
    assert found.prompt.id == found.scores[0].prompt_id


def test_every_dimension_counts_from_0_to_1_and_a_constant_one_not_at_all():
    points_pd = normalise(np.array([[2.0, 5.0, -1e6], [4.0, 5.0, 1e6], [3.0, 5.0, 0.0]]))
    np.testing.assert_allclose(points_pd, [[0, 0, 0], [1, 0, 1], [0.5, 0, 0.5]])


def test_what_cannot_work_is_refused():
    prompts, score = prompt_set(5), Surface(np.full(5, 0.5))
    for wrong in (np.zeros((4, 2)), np.zeros(5), np.zeros((5, 0))):
        with pytest.raises(InputError, match="5 rows"):
            Zopo(wrong).select(prompts, score)
    broken = np.zeros((5, 2))
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="'3'"):
        Zopo(broken).select(prompts, score)
    with pytest.raises(InputError, match="queries must be at least 1"):
        Zopo(broken, queries=0)
    with pytest.raises(InputError, match="no training examples"):
        Zopo(np.zeros((5, 2))).select(prompts, Surface(np.full(5, 0.5), examples=0))
