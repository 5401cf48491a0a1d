"""Numbers from a table of prompts x examples. Pure numpy; every draw comes from a seed that is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paft.errors import InputError

Floats = NDArray[np.float64]
DRAWS = 2000
SEEDS_TO_RESAMPLE = 3  # fewer seeds say too little about their spread to be drawn from
CHUNK = 250  # draws handled at once, to bound memory


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with a percentile bootstrap interval at ``level``."""

    estimate: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a sweep reports. Accuracies are fractions; None where a number is not defined.

    Attributes:
        mean: mean over prompts of the per-prompt accuracy.
        std: standard deviation over prompts, divided by P-1; None for one prompt.
        std_corrected: the same without the noise of finitely many examples; see ``std_corrected``.
        min: accuracy of the worst prompt.
        q05: 5% quantile over prompts, interpolated linearly.
        max: accuracy of the best prompt.
        macro_f1: mean over prompts of the macro F1; None where there are no classes. See ``macro_f1``.
        flip_rate: share of examples not answered alike under all prompts.
        top_threshold: accuracy from which a prompt is a top prompt.
        top_share: share of prompts at or above it.
        accuracy_p: the accuracy of each prompt.
    """

    mean: float
    std: float | None
    std_corrected: float | None
    min: float
    q05: float
    max: float
    macro_f1: float | None
    flip_rate: float
    top_threshold: float
    top_share: float
    accuracy_p: Floats


def summarize(correct_pn: ArrayLike, answer_pn: ArrayLike, gold_n: ArrayLike, top: float = 0.85) -> Summary:
    """All numbers of a sweep of P prompts over the same n examples.

    Args:
        correct_pn: whether the answer was right, bool.
        answer_pn: a code for each answer, int: the class index, -1 where none was found; for free answers any
            code that is equal where the answers are.
        gold_n: index of the right class, int; all -1 for free answers.
        top: accuracy from which a prompt counts as a top prompt.

    Raises:
        InputError: no prompts, no examples, or tables of different shapes.
    """
    table = _table(correct_pn)
    answers, gold = np.asarray(answer_pn), np.asarray(gold_n)
    if answers.shape != table.shape or gold.shape != table.shape[1:]:
        raise InputError(f"tables do not match: correct {table.shape}, answers {answers.shape}, gold {gold.shape}")
    accuracy_p = table.mean(axis=1)
    return Summary(
        mean=float(accuracy_p.mean()),
        std=std(accuracy_p),
        std_corrected=std_corrected(table),
        min=float(accuracy_p.min()),
        q05=float(np.quantile(accuracy_p, 0.05)),
        max=float(accuracy_p.max()),
        macro_f1=None if (gold < 0).all() else macro_f1(answers, gold),
        flip_rate=flip_rate(answers),
        top_threshold=top,
        top_share=float((accuracy_p >= top).mean()),
        accuracy_p=accuracy_p,
    )


def std(accuracy_p: ArrayLike) -> float | None:
    """Standard deviation over prompts, divided by P-1; None for one prompt."""
    values = np.asarray(accuracy_p, dtype=np.float64)
    return float(values.std(ddof=1)) if len(values) > 1 else None


def residual_mean_square(correct_pn: ArrayLike) -> float | None:
    """``MS_E``: the prompt-by-example residual mean square of the two-way table, (P-1)(n-1) degrees of freedom.

    None for one prompt or one example.
    """
    table = _table(correct_pn)
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if freedom == 0:
        return None
    residual_pn = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return float((residual_pn**2).sum() / freedom)


def std_corrected(correct_pn: ArrayLike) -> float | None:
    """Standard deviation over prompts without the share that finitely many examples explain.

    ``sqrt(max(0, s2 - MS_E / n))`` with ``s2`` the variance of the per-prompt accuracies: in the two-way layout
    with examples drawn at random, ``E[s2]`` is the variance of the prompts plus ``E[MS_E] / n``.
    None for one prompt or one example.
    """
    table = _table(correct_pn)
    noise = residual_mean_square(table)
    if noise is None:
        return None
    return float(np.sqrt(max(0.0, table.mean(axis=1).var(ddof=1) - noise / table.shape[1])))


def macro_f1(prediction_pn: ArrayLike, gold_n: ArrayLike) -> float:
    """Macro F1 of each prompt, averaged over prompts.

    The macro mean runs over the classes that occur in ``gold_n``, the same for all prompts. An answer that is no
    class (-1) is a miss for its gold class and a false alarm for none.
    """
    predicted, gold = np.atleast_2d(np.asarray(prediction_pn)), np.asarray(gold_n)
    per_class = []
    for c in np.unique(gold[gold >= 0]):
        hit_p = ((predicted == c) & (gold == c)).sum(axis=1)
        per_class.append(2 * hit_p / ((predicted == c).sum(axis=1) + (gold == c).sum()))
    return float(np.mean(per_class))


def flip_rate(answer_pn: ArrayLike) -> float:
    """Share of examples not answered alike under all prompts; -1, no answer found, is an answer of its own."""
    answers = np.atleast_2d(np.asarray(answer_pn))
    return float((answers != answers[0]).any(axis=0).mean())


def crossed_bootstrap(
    value_spn: ArrayLike, statistic: str = "mean", draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of a statistic with prompts and examples resampled, crossed, and seeds too from three on.

    Args:
        value_spn: prompts x examples, or seeds x prompts x examples; correctness or any other value.
        statistic: ``mean``, or ``std``: the standard deviation over prompts, averaged over seeds. The interval of
            ``std`` includes the noise of finitely many examples; it is meant for comparisons.
        draws: bootstrap draws.
        seed: decides every draw.
        level: coverage, between 0 and 1.

    Raises:
        InputError: an empty table, an unknown statistic, or ``std`` of one prompt.
    """
    values = _cube(value_spn)
    measure = _measure(statistic, values)
    estimate = measure(values.mean(axis=2)[None], np.ones((1, values.shape[1])), np.ones((1, len(values))))[0]
    return _interval(float(estimate), _resampled([values], measure, draws, seed)[0], level)


def paired_difference(
    a_spn: ArrayLike, b_spn: ArrayLike, statistic: str = "mean", draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Interval:
    """``statistic(a) - statistic(b)`` with an interval, paired: both sides meet the same draws.

    Args as for ``crossed_bootstrap``; both tables hold the same prompts and examples in the same order.
    """
    a, b = _cube(a_spn), _cube(b_spn)
    if a.shape != b.shape:
        raise InputError(f"a paired difference needs the same seeds, prompts and examples: {a.shape} and {b.shape}")
    measure = _measure(statistic, a)
    one = np.ones((1, a.shape[1])), np.ones((1, len(a)))
    estimate = measure(a.mean(axis=2)[None], *one)[0] - measure(b.mean(axis=2)[None], *one)[0]
    drawn_a, drawn_b = _resampled([a, b], measure, draws, seed)
    return _interval(float(estimate), drawn_a - drawn_b, level)


Measure = Callable[[Floats, Floats, Floats], Floats]


def _measure(statistic: str, values: Floats) -> Measure:
    if statistic not in ("mean", "std"):
        raise InputError(f"unknown statistic {statistic!r}; expected mean or std")
    if statistic == "std" and values.shape[1] < 2:
        raise InputError("the standard deviation over prompts needs at least two prompts, found one")
    return _mean if statistic == "mean" else _std


def _mean(accuracy_dsp: Floats, weight_dp: Floats, weight_ds: Floats) -> Floats:
    """Mean of each draw; weights are how often a prompt and a seed were drawn."""
    mean_ds = np.einsum("dsp,dp->ds", accuracy_dsp, weight_dp) / weight_dp.shape[1]
    return (mean_ds * weight_ds).sum(axis=1) / weight_ds.shape[1]


def _std(accuracy_dsp: Floats, weight_dp: Floats, weight_ds: Floats) -> Floats:
    """Standard deviation over the drawn prompts, averaged over the drawn seeds."""
    prompts = weight_dp.shape[1]
    mean_ds = np.einsum("dsp,dp->ds", accuracy_dsp, weight_dp) / prompts
    square_ds = np.einsum("dsp,dp->ds", (accuracy_dsp - mean_ds[:, :, None]) ** 2, weight_dp)
    return (np.sqrt(square_ds / (prompts - 1)) * weight_ds).sum(axis=1) / weight_ds.shape[1]


def _resampled(tables: list[Floats], measure: Measure, draws: int, seed: int) -> list[Floats]:
    """The statistic of every table under the same ``draws`` resamplings.

    A resampling is a count for every prompt and example, so a mean is a product of matrices: w_p C w_n / (P n).
    """
    if draws < 1:
        raise InputError(f"the bootstrap needs at least one draw, found {draws}")
    rng = np.random.default_rng(seed)
    seeds, prompts, examples = tables[0].shape
    out: list[list[Floats]] = [[] for _ in tables]
    for start in range(0, draws, CHUNK):
        count = min(CHUNK, draws - start)
        weight_dp, weight_dn = _counts(rng, prompts, count), _counts(rng, examples, count)
        weight_ds = _counts(rng, seeds, count) if seeds >= SEEDS_TO_RESAMPLE else np.ones((count, seeds))
        for kept, table in zip(out, tables, strict=True):
            accuracy_dsp = (table.reshape(-1, examples) @ weight_dn.T / examples).T.reshape(count, seeds, prompts)
            kept.append(measure(accuracy_dsp, weight_dp, weight_ds))
    return [np.concatenate(kept) for kept in out]


def _counts(rng: np.random.Generator, size: int, draws: int) -> Floats:
    """How often each of ``size`` things is drawn in ``size`` draws with replacement: ``draws`` x ``size``."""
    return rng.multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float64)


def _interval(estimate: float, drawn_d: Floats, level: float) -> Interval:
    if not 0 < level < 1:
        raise InputError(f"the level of an interval lies between 0 and 1, found {level}")
    low, high = np.quantile(drawn_d, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)


def _table(correct_pn: ArrayLike) -> Floats:
    table = np.asarray(correct_pn, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise InputError(f"expected a table of prompts x examples with at least one of each, found shape {table.shape}")
    return table


def _cube(value_spn: ArrayLike) -> Floats:
    cube: Any = np.asarray(value_spn, dtype=np.float64)
    cube = cube[None] if cube.ndim == 2 else cube
    if cube.ndim != 3 or cube.size == 0:
        raise InputError(f"expected prompts x examples or seeds x prompts x examples, found shape {cube.shape}")
    return cube
