"""Statistics against plain loops, an analysis of variance by hand, and known populations."""

from __future__ import annotations

import statistics as st
from collections import Counter
from itertools import product
from random import Random

import numpy as np
import pytest

from paft.errors import InputError
from paft.evaluation.results.statistics import (
    crossed_bootstrap,
    paired_difference,
    residual_mean_square,
    std_corrected,
    summarize,
)


def table(prompts: int, examples: int, seed: int = 0, rate: float = 0.7) -> np.ndarray:
    return np.random.default_rng(seed).random((prompts, examples)) < rate


def anova(rows: list[list[float]]) -> tuple[float, float]:
    """Two-way layout by hand: residual sum of squares as total - prompts - examples, and its mean square."""
    P, n = len(rows), len(rows[0])
    grand = sum(map(sum, rows)) / (P * n)
    total = sum((v - grand) ** 2 for row in rows for v in row)
    by_prompt = n * sum((sum(row) / n - grand) ** 2 for row in rows)
    by_example = P * sum((sum(row[i] for row in rows) / P - grand) ** 2 for i in range(n))
    residual = total - by_prompt - by_example
    return residual, residual / ((P - 1) * (n - 1))


@pytest.mark.parametrize(("prompts", "examples"), [(2, 2), (5, 7), (50, 40)])
def test_residual_and_correction(prompts, examples):
    correct = table(prompts, examples)
    rows = correct.astype(float).tolist()
    _, mean_square = anova(rows)
    assert residual_mean_square(correct) == pytest.approx(mean_square)
    s2 = st.variance([st.fmean(row) for row in rows])
    assert std_corrected(correct) == pytest.approx(max(0.0, s2 - mean_square / examples) ** 0.5)


def test_correction_recovers_the_prompts_own_spread():
    """Accuracies of the prompts are known here; the plain deviation is far above them, the corrected one near."""
    rng = np.random.default_rng(5)
    true_p = np.clip(0.7 + 0.05 * rng.standard_normal(400), 0, 1)
    correct = rng.random((400, 60)) < true_p[:, None]
    plain = correct.mean(axis=1).std(ddof=1)
    assert plain > 1.4 * true_p.std(ddof=1)
    assert std_corrected(correct) == pytest.approx(true_p.std(ddof=1), rel=0.15)


def test_correction_stops_at_zero():
    assert std_corrected(np.eye(4, dtype=bool)) == 0.0


def test_summary_against_plain_python():
    rng = Random(2)
    P, n, classes = 13, 31, 4
    gold = [rng.randrange(classes) for _ in range(n)]
    answers = [[g if rng.random() < 0.6 else rng.randrange(-1, classes) for g in gold] for _ in range(P)]
    correct = [[a == g for a, g in zip(row, gold, strict=True)] for row in answers]
    accuracy = [sum(row) / n for row in correct]
    got = summarize(correct, answers, gold, top=0.6)
    assert got.mean == pytest.approx(st.fmean(accuracy))
    assert got.std == pytest.approx(st.stdev(accuracy))
    assert (got.min, got.max) == (min(accuracy), max(accuracy))
    ranked, at = sorted(accuracy), 0.05 * (P - 1)
    assert got.q05 == pytest.approx(ranked[0] + at * (ranked[1] - ranked[0]))
    assert got.top_share == pytest.approx(sum(a >= 0.6 for a in accuracy) / P)
    assert got.flip_rate == pytest.approx(sum(len({row[i] for row in answers}) > 1 for i in range(n)) / n)
    f1 = []
    for row in answers:
        counts = Counter(zip(row, gold, strict=True))
        per_class = []
        for c in sorted(set(gold)):
            hit = counts[c, c]
            precision = hit / max(1, sum(v for (a, _), v in counts.items() if a == c))
            recall = hit / gold.count(c)
            per_class.append(2 * precision * recall / (precision + recall) if hit else 0.0)
        f1.append(st.fmean(per_class))
    assert got.macro_f1 == pytest.approx(st.fmean(f1))


def test_threshold_counts_when_reached():
    correct = [[True] * 17 + [False] * 3, [True] * 16 + [False] * 4]
    assert summarize(correct, np.zeros((2, 20)), np.zeros(20), top=0.85).top_share == 0.5


def test_unparsed_answers_are_wrong_and_flips():
    got = summarize([[True, False]], [[0, -1]], [0, 1])
    assert got.macro_f1 == pytest.approx(0.5)  # class 0 right, class 1 never found
    assert summarize([[1, 0], [1, 0]], [[0, -1], [0, 0]], [0, 1]).flip_rate == 0.5


def test_one_prompt_or_one_example():
    one_prompt = summarize([[True, False, True]], [[0, 1, 0]], [0, 0, 0])
    assert (one_prompt.std, one_prompt.std_corrected, one_prompt.flip_rate) == (None, None, 0.0)
    one_example = summarize([[True], [False]], [[0], [1]], [0])
    assert one_example.std == pytest.approx(0.5**0.5)
    assert one_example.std_corrected is None


def test_free_answers_have_no_f1():
    assert summarize([[True, False]], [[5, 6]], [-1, -1]).macro_f1 is None


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_tables_are_refused(shape):
    with pytest.raises(InputError, match="at least one of each"):
        summarize(np.zeros(shape), np.zeros(shape), np.zeros(shape[1]))
    with pytest.raises(InputError, match="do not match"):
        summarize(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(4))


def loop_bootstrap(values, statistic, draws, seed):
    """Index by index, in plain Python: (draws,) values of the statistic of seeds x prompts x examples."""
    rng = Random(seed)
    S, P, n = len(values), len(values[0]), len(values[0][0])
    out = []
    for _ in range(draws):
        ps, ns = [rng.randrange(P) for _ in range(P)], [rng.randrange(n) for _ in range(n)]
        ss = [rng.randrange(S) for _ in range(S)] if S >= 3 else range(S)
        per_seed = [statistic([st.fmean([values[s][p][i] for i in ns]) for p in ps]) for s in ss]
        out.append(st.fmean(per_seed))
    return np.array(out)


@pytest.mark.parametrize("seeds", [1, 2, 4])
@pytest.mark.parametrize("statistic", ["mean", "std"])
def test_bootstrap_against_loops(seeds, statistic):
    values = np.stack([table(6, 9, s, 0.5 + 0.1 * s) for s in range(seeds)]).astype(float)
    drawn = loop_bootstrap(values.tolist(), {"mean": st.fmean, "std": st.stdev}[statistic], 4000, 1)
    got = crossed_bootstrap(values, statistic, draws=8000)
    assert got.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.02)
    assert got.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.02)
    per_seed = [v.mean(axis=1) for v in values]
    assert got.estimate == pytest.approx(
        np.mean([a.mean() if statistic == "mean" else a.std(ddof=1) for a in per_seed])
    )


def test_weights_are_resampled_tables():
    """The product of matrices equals building each resampled table, for the very same counts."""
    values = table(4, 5, 3).astype(float)
    rng = np.random.default_rng(11)
    weight_dp = rng.multinomial(4, np.full(4, 0.25), size=50)
    weight_dn = rng.multinomial(5, np.full(5, 0.2), size=50)
    built = [
        np.mean([values[p, i] for p, i in product(np.repeat(range(4), wp), np.repeat(range(5), wn))])
        for wp, wn in zip(weight_dp, weight_dn, strict=True)
    ]
    got = crossed_bootstrap(values, draws=50, seed=11)
    assert (got.low, got.high) == pytest.approx(tuple(np.quantile(built, [0.025, 0.975])))


def test_paired_difference_sees_what_unpaired_ones_cannot():
    a = table(20, 200, 1, 0.6)
    b = a.copy()
    b[:, :6] = False  # b misses six examples that a sometimes has
    got = paired_difference(a, b)
    assert got.estimate == pytest.approx(a.mean() - b.mean())
    assert 0 < got.low < got.estimate < got.high
    one, two = crossed_bootstrap(a), crossed_bootstrap(b)
    assert one.low < two.high  # apart, the two intervals overlap
    assert got.high - got.low < 0.7 * (one.high - one.low)


def test_paired_difference_of_deviations():
    steady, shaky = table(30, 100, 2, 0.7), table(30, 100, 3, 0.7)
    shaky[:15] &= table(15, 100, 4, 0.5)
    got = paired_difference(shaky, steady, "std")
    assert got.estimate == pytest.approx(shaky.mean(1).std(ddof=1) - steady.mean(1).std(ddof=1))
    assert got.low > 0


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(8)
    covered = 0
    for trial in range(200):
        prompt_p, example_n = 0.1 * rng.standard_normal(25), 0.15 * rng.standard_normal(40)
        correct = rng.random((25, 40)) < 0.6 + prompt_p[:, None] + example_n[None]
        got = crossed_bootstrap(correct, draws=300, seed=trial)
        covered += got.low <= 0.6 <= got.high
    assert 0.90 <= covered / 200 <= 1.0


def test_seeded():
    values = table(6, 9)
    assert crossed_bootstrap(values, seed=3) == crossed_bootstrap(values, seed=3)
    assert crossed_bootstrap(values, seed=3) != crossed_bootstrap(values, seed=4)
    before = np.random.get_state()[1].tolist()
    crossed_bootstrap(values)
    assert np.random.get_state()[1].tolist() == before


def test_one_prompt_resamples_examples_alone():
    got = crossed_bootstrap(table(1, 100))
    assert got.low < got.estimate < got.high
    with pytest.raises(InputError, match="at least two prompts"):
        crossed_bootstrap(table(1, 100), "std")


def test_wrong_calls():
    with pytest.raises(InputError, match="same seeds, prompts and examples"):
        paired_difference(table(2, 3), table(3, 3))
    with pytest.raises(InputError, match="unknown statistic"):
        crossed_bootstrap(table(2, 3), "median")
    with pytest.raises(InputError, match="between 0 and 1"):
        crossed_bootstrap(table(2, 3), level=95)
    with pytest.raises(InputError, match="at least one draw"):
        crossed_bootstrap(table(2, 3), draws=0)
