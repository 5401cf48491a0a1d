"""``zopo``: localised zeroth-order prompt optimisation (Hu et al., NeurIPS 2024, arXiv 2403.02993).

A few prompts are scored at random. From the best of them on, the search walks over the embeddings of the prompts: a
Gaussian process on the scored prompts nearby says in which direction scores rise, and the nearest prompt in that
direction that has not been scored is scored next. The candidates are the prompts of the set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch

from paft.baselines.base import PromptScore, Score, Selection
from paft.baselines.ntk import GaussianProcess, RandomNetwork
from paft.errors import InputError
from paft.prompts import Prompt, PromptSet
from paft.tasks import Example

Embeddings = np.ndarray | Callable[[Sequence[Prompt]], np.ndarray]
STREAM = 6  # parts these draws from others with the same seed


@dataclass(frozen=True, eq=False)
class Zopo:
    """Finds a good prompt without scoring all of them. Of equally good ones the first that was scored is taken.

    Every round fits the Gaussian process around one prompt, the latest that was scored; it takes an Adam step up the
    posterior mean and scores the nearest prompt that has no score yet. Where the posterior stays uncertain, or has no
    slope, the neighbours are scored first.

    Args:
        embeddings: one row per prompt in the order of the set, or what makes them of the prompts; any scale, since
            every dimension is brought to 0 to 1 over the set.
        seed: decides the examples, the first prompts and the network of the kernel.
        examples: how many training examples a prompt is scored on; all where there are fewer.
        initial: prompts scored before the search, drawn at random.
        queries: most prompts scored in all.
        target: an accuracy at which the search ends.
        nearest: scored prompts that the Gaussian process is fitted to.
        noise: standard deviation of the noise of a score.
        depth, width: hidden layers, and units in each, of the network whose tangent kernel is the kernel.
        uncertainty: the predictive variance above which the gradient is not trusted.
        patience: uncertain rounds in succession after which neighbours are scored.
        neighbours: how many.
        steps: most Adam steps of a round; those after the first only while the gradient is trusted.
        learning_rate: of Adam.
        stall: after more rounds than this without a better score the search returns to the best prompt.

    Raises:
        InputError: a setting out of range.
    """

    embeddings: Embeddings
    seed: int = 0
    examples: int = 20
    initial: int = 40
    queries: int = 165
    target: float = 1.0
    nearest: int = 20
    noise: float = 0.01
    depth: int = 2
    width: int = 32
    uncertainty: float = 0.01
    patience: int = 5
    neighbours: int = 10
    steps: int = 2
    learning_rate: float = 0.01
    stall: int = 2

    name = "zopo"

    def __post_init__(self) -> None:
        least = dict.fromkeys(
            ("examples", "initial", "queries", "nearest", "depth", "width", "patience", "neighbours", "steps"), 1
        )
        least |= dict.fromkeys(("seed", "stall", "noise", "learning_rate"), 0)
        for setting, low in least.items():
            if not getattr(self, setting) >= low:
                raise InputError(f"zopo: {setting} must be at least {low}, found {getattr(self, setting)}")

    def select(self, prompts: PromptSet, score: Score) -> Selection:
        """Search ``prompts``; see the class.

        Raises:
            InputError: embeddings that are not one finite row per prompt, or no examples to score on.
        """
        points_pd = normalise(self._embed(list(prompts)))
        rng = np.random.default_rng([self.seed, STREAM])
        drawn = np.sort(rng.permutation(len(score.examples))[: self.examples])
        if not len(drawn):
            raise InputError("zopo: there are no training examples to score prompts on")
        search = _Search(self, list(prompts), points_pd, score, [score.examples[i] for i in drawn])
        search.evaluate(rng.permutation(len(points_pd))[: self.initial].tolist(), "initial")
        search.run()
        return self._selection(search)

    def _embed(self, prompts: list[Prompt]) -> np.ndarray:
        made = self.embeddings(prompts) if callable(self.embeddings) else self.embeddings
        embedded_pd = np.asarray(made, dtype=np.float64)
        if embedded_pd.ndim != 2 or len(embedded_pd) != len(prompts) or not embedded_pd.shape[1]:
            raise InputError(f"zopo: expected one embedding per prompt, {len(prompts)} rows, found {embedded_pd.shape}")
        if not np.isfinite(embedded_pd).all():
            row = int(np.argmin(np.isfinite(embedded_pd).all(axis=1)))
            raise InputError(f"zopo: the embedding of prompt {prompts[row].id!r} holds values that are no numbers")
        return embedded_pd

    def _selection(self, search: _Search) -> Selection:
        trail = [(search.prompts[q.candidate], q) for q in search.trail]
        best, query = trail[search.best]
        size = len(search.examples)
        ranked = sorted((PromptScore(p.id, q.score, size) for p, q in trail), key=lambda s: -s.score)
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "embeddings"}
        facts: dict[str, Any] = {
            "settings": settings,
            "stopped": search.stopped,
            "dimensions": search.points_pd.shape[1],
            "example_ids": [example.id for example in search.examples],
            "evaluated": [{"prompt_id": p.id, "score": q.score, "why": q.why} for p, q in trail],
        }
        return Selection(self.name, best, query.score, tuple(ranked), facts)


class _Query(NamedTuple):
    """One scored prompt, by its index in the set, and why: ``initial``, ``explore``, ``gradient`` or ``restart``."""

    candidate: int
    score: float
    why: str


class _Search:
    """One run: the prompts scored so far, and where the walk stands.

    Attributes:
        points_pd: normalised embeddings.
        trail: every scored prompt, in order.
        stopped: why the search is over, or "".
    """

    def __init__(
        self, settings: Zopo, prompts: list[Prompt], points_pd: np.ndarray, score: Score, examples: list[Example]
    ) -> None:
        self.settings = settings
        self.prompts = prompts
        self.points_pd = points_pd
        self.examples = examples
        self.trail: list[_Query] = []
        self.open_p = np.ones(len(prompts), dtype=bool)
        self._score = score
        self._network = RandomNetwork(
            points_pd.shape[1], torch.Generator().manual_seed(settings.seed), settings.depth, settings.width
        )
        self._uncertain = 0
        self._place_d = torch.zeros(points_pd.shape[1], dtype=torch.float64)
        self._adam = self._fresh_adam()

    @property
    def best(self) -> int:
        """Index into the trail of the first of the best."""
        return max(range(len(self.trail)), key=lambda i: self.trail[i].score)

    @property
    def stopped(self) -> str:
        if self.trail and self.trail[self.best].score >= self.settings.target:
            return "target"
        if not self.open_p.any():
            return "all prompts scored"
        return "queries" if len(self.trail) >= self.settings.queries else ""

    def evaluate(self, candidates: list[int], why: str) -> None:
        """Score these prompts, as many as there are queries left."""
        candidates = candidates[: self.settings.queries - len(self.trail)]
        scored = self._score([self.prompts[c] for c in candidates], self.examples)
        accuracy_p = scored.correct_pn.mean(axis=1).tolist()
        self.trail += [_Query(c, a, why) for c, a in zip(candidates, accuracy_p, strict=True)]
        self.open_p[candidates] = False

    def run(self) -> None:
        """Rounds, from the best prompt so far, until the search is over."""
        start, why, stalled = self.trail[self.best].candidate, "gradient", 0
        while not self.stopped:
            before = self.trail[self.best].score
            self._round(start, why)
            stalled = 0 if self.trail[self.best].score > before else stalled + 1
            start, why = self.trail[-1].candidate, "gradient"
            if stalled > self.settings.stall:
                start, why, stalled = self.trail[self.best].candidate, "restart", 0
                self._adam = self._fresh_adam()

    def _round(self, start: int, why: str) -> None:
        """Score the prompt to which the gradient at ``start`` leads; its neighbours before that, where it is unsure."""
        place_d = torch.from_numpy(self.points_pd[start])
        process = self._fit(place_d)
        slope_d, variance = process.look(place_d)
        self._uncertain = self._uncertain + 1 if variance > self.settings.uncertainty else 0
        while self._uncertain >= self.settings.patience or not slope_d.any():
            self._uncertain = 0
            self.evaluate(self._open_near(place_d)[: self.settings.neighbours], "explore")
            if self.stopped:
                return
            process = self._fit(place_d)
            slope_d, variance = process.look(place_d)
        chosen = self._next(place_d, slope_d)
        for _ in range(self.settings.steps - 1):
            place_d = torch.from_numpy(self.points_pd[chosen])
            variance = max(variance, float(process.variance(place_d[None])))
            if variance > self.settings.uncertainty:
                break
            chosen = self._next(place_d, process.look(place_d)[0])
        self.evaluate([chosen], why)

    def _fit(self, place_d: torch.Tensor) -> GaussianProcess:
        """The process on the scored prompts nearest to a place."""
        known_q = np.array([query.candidate for query in self.trail])
        score_q = np.array([query.score for query in self.trail])
        near = np.argsort(self._distances(place_d)[known_q], kind="stable")[: self.settings.nearest]
        x_nd, y_n = torch.from_numpy(self.points_pd[known_q[near]]), torch.from_numpy(score_q[near])
        return GaussianProcess(self._network, x_nd, y_n, self.settings.noise)

    def _next(self, place_d: torch.Tensor, slope_d: torch.Tensor) -> int:
        """The prompt without a score nearest to where one Adam step leads. Adam's moments live on between rounds."""
        self._place_d.copy_(place_d)
        self._place_d.grad = slope_d
        self._adam.step()
        return self._open_near(self._place_d)[0]

    def _fresh_adam(self) -> torch.optim.Adam:
        return torch.optim.Adam([self._place_d], lr=self.settings.learning_rate)

    def _open_near(self, place_d: torch.Tensor) -> list[int]:
        """The prompts without a score, nearest first."""
        order = np.argsort(self._distances(place_d), kind="stable")
        return order[self.open_p[order]].tolist()

    def _distances(self, place_d: torch.Tensor) -> np.ndarray:
        return np.linalg.norm(self.points_pd - place_d.numpy(), axis=1)


def normalise(embedded_pd: np.ndarray) -> np.ndarray:
    """Every dimension brought to 0 to 1 over the prompts; one in which they are all alike becomes 0."""
    low_d, high_d = embedded_pd.min(axis=0), embedded_pd.max(axis=0)
    return (embedded_pd - low_d) / np.where(high_d > low_d, high_d - low_d, 1.0)
