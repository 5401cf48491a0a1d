"""Mean and spread of a whole sweep from part of its cells, with intervals. Pure numpy.

What is estimated is what the whole sweep over the same prompts and examples would report, so with all cells the
estimates are its numbers and the intervals are points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paft.errors import InputError
from paft.evaluation.results.statistics import Interval

Floats = NDArray[np.float64]
WIDER = 1.1  # of the interval of the spread: its coverage falls short where a few prompts are far off the others
UNSEEN = 3.0  # what is never seen among B cells occurs, at 95%, in no more than 3 / B of them


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimates for P prompts x N examples; None where the cells do not give a number.

    Attributes:
        mean, std, std_corrected: estimates of the numbers of the whole sweep that have these names.
        examples: how many examples have an answer.
        shared_examples: how many have answers under two prompts or more.
        effective_examples: examples under all prompts that would tell the spread as well as these cells do.
    """

    mean: Interval
    std: Interval | None
    std_corrected: Interval | None
    examples: int
    shared_examples: int
    effective_examples: float


@dataclass(frozen=True, slots=True)
class _Fit:
    """Cells as ``prompt + example + rest``, the effects of the prompts free of those of the examples.

    Attributes:
        effect_p: effects of the prompts, their sum 0.
        adjusted_i: mean of each example that has answers, as if all prompts had answered it.
        answers_i: how many prompts did.
        rest_c: what the two effects leave over.
        residual: mean square of the rest, over its degrees of freedom; None where there are none.
        variance: of the prompts, without noise, as in ``std_corrected``; None where it cannot be told.
        weight: effective number of examples under all prompts.
    """

    effect_p: Floats
    adjusted_i: Floats
    answers_i: Floats
    rest_c: Floats
    residual: float | None
    variance: float | None
    weight: float


def estimate(
    prompt_c: ArrayLike, example_c: ArrayLike, correct_c: ArrayLike, prompts: int, examples: int, level: float = 0.95
) -> Estimate:
    """Estimates from cells that ``choose`` has picked.

    Args:
        prompt_c, example_c: index of each cell's prompt and example; no cell twice.
        correct_c: whether its answer is right, or any other number that is to be averaged.
        prompts, examples: of the whole sweep.

    Raises:
        InputError: arrays of different lengths, a prompt without an answer, or an index outside the sweep.
    """
    p, n = np.asarray(prompt_c, dtype=np.int64), np.asarray(example_c, dtype=np.int64)
    value = np.asarray(correct_c, dtype=np.float64)
    if not (p.ndim == 1 and p.shape == n.shape == value.shape and len(p)):
        raise InputError(f"cells do not match: {p.shape} prompts, {n.shape} examples, {value.shape} answers")
    if min(p.min(), n.min()) < 0 or p.max() >= prompts or n.max() >= examples:
        raise InputError(f"a cell lies outside {prompts} prompts x {examples} examples")
    if len(np.unique(p)) < prompts:
        raise InputError(f"only {len(np.unique(p))} of {prompts} prompts have an answer; an estimate needs all")
    place_c = np.unique(n, return_inverse=True)[1]
    fit = _fit(p, place_c, value, prompts)
    std, corrected = _spread(p, fit, examples, level)
    return Estimate(
        mean=_mean(value, fit, prompts, examples, level),
        std=std,
        std_corrected=corrected,
        examples=len(fit.adjusted_i),
        shared_examples=int((fit.answers_i > 1).sum()),
        effective_examples=fit.weight,
    )


def _fit(p: NDArray[np.int64], i: NDArray[np.int64], value: Floats, prompts: int) -> _Fit:
    """Least squares. With all cells this is the two-way table of ``std_corrected``.

    The variance is ``sum_{i != j} e_i . e_j / sum_{i != j} tr(H_i H_j)``, with ``e_i`` the answers to example i less
    their mean and ``H_i`` the matrix that takes that mean off: pairs of examples bring no noise of their own into a
    product, so it is unbiased for the whole sweep's ``s2 - MS_E / n`` however the cells lie.
    """
    answers_i = np.bincount(i).astype(np.float64)
    covered = len(answers_i)
    centred = value - (np.bincount(i, weights=value) / answers_i)[i]
    total_p = np.bincount(p, weights=centred, minlength=prompts)
    met_ip = np.zeros((covered, prompts))
    met_ip[i, p] = 1 / np.sqrt(answers_i[i])
    known_pp = np.diag(np.bincount(p, minlength=prompts).astype(np.float64)) - met_ip.T @ met_ip
    effect_p = np.linalg.lstsq(known_pp, total_p, rcond=1e-9)[0]
    effect_p = effect_p - effect_p.mean()
    adjusted_i = np.bincount(i, weights=value - effect_p[p]) / answers_i
    rest_c = value - effect_p[p] - adjusted_i[i]
    freedom = len(value) - covered - (prompts - 1)
    pairs = float((known_pp**2).sum() - (answers_i - 1).sum())
    several = prompts > 1 and freedom > 0 and pairs > 1e-9
    return _Fit(
        effect_p,
        adjusted_i,
        answers_i,
        rest_c,
        residual=float((rest_c**2).sum() / freedom) if freedom > 0 else None,
        variance=float(((total_p**2).sum() - (centred**2).sum()) / pairs) if several else None,
        weight=_among(prompts, pairs) if several else 0.0,
    )


def _among(prompts: int, pairs: float) -> float:
    """The n for which ``(P-1) n (n-1)``, what n examples under all P prompts bring, is ``pairs``."""
    return 0.5 + math.sqrt(0.25 + pairs / (prompts - 1))


def _mean(value: Floats, fit: _Fit, prompts: int, examples: int, level: float) -> Interval:
    """Mean over examples, each as if all prompts had answered it, so that neither effect leaves noise of its own.

    Two stages of sampling without replacement, examples and then prompts under an example; where the values are
    right and wrong, a score interval with the number of draws that has this variance.
    """
    count = len(fit.adjusted_i)
    of_examples, of_prompts = count / examples, float(fit.answers_i.mean()) / prompts
    among = float(fit.adjusted_i.var(ddof=1)) if count > 1 else 0.25
    residual = max(fit.residual or 0.0, UNSEEN / len(value))
    variance = (1 - of_examples) * among / count + of_examples * (1 - of_prompts) * residual / len(value)
    mean, z = float(fit.adjusted_i.mean()), _quantile(level, max(count - 1, 3))
    if len(value) == prompts * examples:
        return Interval(mean, mean, mean, level)
    if value.min() < 0 or value.max() > 1:
        half = z * math.sqrt(variance)
        return Interval(mean, mean - half, mean + half, level)
    mean = min(1.0, max(0.0, mean))
    draws = mean * (1 - mean) / variance if 0 < mean < 1 else count / (1 - of_examples * of_prompts)
    middle = (mean + z * z / (2 * draws)) / (1 + z * z / draws)
    half = z / (1 + z * z / draws) * math.sqrt(mean * (1 - mean) / draws + (z / (2 * draws)) ** 2)
    return Interval(mean, max(0.0, min(mean, middle - half)), min(1.0, max(mean, middle + half)), level)


def _spread(p: NDArray[np.int64], fit: _Fit, examples: int, level: float) -> tuple[Interval | None, Interval | None]:
    """``std`` and ``std_corrected`` of the whole sweep.

    With ``x`` the variance of the whole sweep's accuracies and ``v`` the variance of the noise that the missing cells
    leave in an effect, the estimate of ``x`` has a variance of about ``(4 v x + 2 v^2) / (P - 1)``; the interval is
    all ``x`` for which the estimate is no surprise. ``v`` differs between prompts: it counts for more where it is
    larger for prompts that are far off the mean.
    """
    if fit.variance is None or fit.residual is None:
        return None, None
    prompts = len(fit.effect_p)
    residual = max(fit.residual, UNSEEN / len(p))
    share = max(0.0, 1 / fit.weight - 1 / examples)
    answers_p = np.bincount(p, minlength=prompts)
    scale = fit.residual / max(float((fit.rest_c**2).mean()), 1e-12)
    rest_p = scale * np.bincount(p, weights=fit.rest_c**2, minlength=prompts)
    noise_p = (rest_p + residual) / (answers_p + 1)
    v_p = noise_p * share
    far_p = np.maximum(fit.effect_p**2 - noise_p / fit.weight, 0)
    outer = float((far_p * v_p).sum() / far_p.sum()) if far_p.sum() > 0 else 0.0
    v = max(float(v_p.mean()), outer)
    of_examples = fit.residual / examples
    x = fit.variance + of_examples
    z2 = (WIDER * _quantile(level, max(prompts - 1, 3))) ** 2 / (prompts - 1)
    half = math.sqrt(max(0.0, (x + 2 * z2 * v) ** 2 - x * x + 2 * z2 * float((v_p**2).mean())))
    low, high = x + 2 * z2 * v - half, x + 2 * z2 * v + half
    std = _root(x, low, high, level, prompts)
    return std, _root(x - of_examples, low - of_examples, high - of_examples, level, prompts)


def _root(variance: float, low: float, high: float, level: float, prompts: int) -> Interval:
    """The interval of a standard deviation; that of P accuracies is never above ``sqrt(P / (P-1)) / 2``."""
    most = 0.5 * math.sqrt(prompts / (prompts - 1))
    value, below, above = (min(most, math.sqrt(max(0.0, t))) for t in (variance, low, high))
    return Interval(value, below, above, level)


def _quantile(level: float, freedom: int) -> float:
    """Two-sided quantile of Student's t, by its expansion around the normal one; within 1% from 3 degrees on."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
