"""``batprompt``: a prompt that holds where inputs are altered (BATprompt, Shi et al., 2024, arXiv 2412.18196).

From the user prompt, in rounds: attack examples so that the prompt fails, have a writer say what the attacks did and
write prompts that bear it, score these on altered examples, go on from the best. Without a writer the attacks are
those on characters and words, and candidates come from the prompt set.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from paft.baselines.adversary import Adversary, Attacked
from paft.baselines.attacks import FLOOR, MOST_ADDED, OFFLINE, REWRITTEN
from paft.baselines.base import PromptScore, Score, Selection
from paft.baselines.wording import UNTOLD
from paft.baselines.writer import Writer
from paft.errors import InputError
from paft.prompts import Prompt, PromptSet
from paft.prompts.generation.judging import Judge
from paft.tasks import Example, Task

DRAWN = 2  # without a writer, prompts drawn for each one that is scored


@dataclass
class BatPrompt:
    """Searches for a prompt that bears altered inputs.

    Candidates are ranked by their accuracy on the same altered training examples in all rounds, averaged over the
    kinds of attack, then by mean margin. These are not the examples that are attacked, where there are enough.

    Without a writer, each round draws twice as many prompts of the set as it scores, and scores those that answer the
    attacked examples best.

    Args:
        task: whose slots are attacked; the writer is told about it.
        user_prompt: where the search starts; it is a candidate itself.
        writer: an LLM; None for the offline way.
        seed: decides examples, attacks and draws.
        rounds: how often attack and improvement are repeated.
        examples: training examples attacked in a round.
        steps, variants: attacks upon one example, and how many variants each of them tries.
        scored: altered examples for each kind of attack that candidates are scored on.
        improved, paraphrased: candidates asked for in a round: improvements of the prompt, paraphrases of these.
        kept: prompts kept from round to round; the best of them is attacked next.

    Raises:
        InputError: a number below 1 (``seed`` and ``paraphrased``: below 0), or a writer of another task.
    """

    task: Task
    user_prompt: Prompt
    writer: Writer | None = None
    seed: int = 0
    rounds: int = 5
    examples: int = 5
    steps: int = 3
    variants: int = 5
    scored: int = 20
    improved: int = 5
    paraphrased: int = 2
    kept: int = 5
    name: str = field(default="batprompt", init=False)

    def __post_init__(self) -> None:
        for name in ("rounds", "examples", "steps", "variants", "scored", "improved", "kept"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, found {getattr(self, name)}")
        for name in ("seed", "paraphrased"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be at least 0, found {getattr(self, name)}")
        if self.writer is not None and self.writer.task is not self.task:
            raise InputError(f"the writer writes for task {self.writer.task.name}, not for {self.task.name}; make one")

    def select(self, prompts: PromptSet, score: Score) -> Selection:
        """The best prompt found. With a writer, ``prompts`` is not used.

        Raises:
            InputError: no training examples.
            RunError: the writer cannot be asked any more, or its budget is spent.
        """
        adversary = Adversary(self.task, self.writer, self.seed, self.steps, self.variants)
        attackable, chosen = self._deal(score.examples)
        ground = _Ground(score, adversary.perturb(chosen))
        source = self._written() if self.writer else self._drawn(prompts, score)
        everyone = kept = ground.rank([self.user_prompt])
        history: list[dict[str, Any]] = []
        for number in range(1, self.rounds + 1):
            if source.exhausted:
                break
            sampled = self._rng(f"sample {number}").sample(attackable, min(self.examples, len(attackable)))
            attacked = adversary.search(kept[0].prompt, sampled, score, f"round {number}")
            candidates = source.candidates(kept[0].prompt, attacked)
            new = ground.rank(candidates)
            everyone = _best_first([*everyone, *new])
            before, kept = kept[0], _best_first([*kept, *new])[: self.kept]
            history.append(_told(number, before, attacked, candidates, kept, source.differences))
        best = kept[0]
        return Selection(
            method=self.name,
            prompt=best.prompt,
            score=best.accuracy,
            scores=tuple(PromptScore(each.prompt.id, each.accuracy, ground.size) for each in everyone),
            facts=self._facts(adversary, ground, everyone, history),
        )

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed} batprompt {purpose}")

    def _deal(self, examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
        """Examples to attack, and those to score on; they overlap only where there are too few."""
        if not examples:
            raise InputError("batprompt needs training examples, found none")
        order = self._rng("deal").sample(list(examples), len(examples))
        chosen, rest = order[: self.scored], order[self.scored :]
        return (rest if len(rest) >= self.examples else order), chosen

    def _written(self) -> _Written:
        assert self.writer is not None
        judge = Judge(self.task, [self.user_prompt.template], threshold=1.0)
        return _Written(self.writer, judge, self.improved, self.paraphrased)

    def _drawn(self, prompts: PromptSet, score: Score) -> _Drawn:
        there = [p for p in prompts if p.id != self.user_prompt.id and p.text != self.user_prompt.text]
        pool = self._rng("draw").sample(there, len(there))
        return _Drawn(pool, score, self.improved + self.paraphrased)

    def _facts(
        self, adversary: Adversary, ground: _Ground, everyone: Sequence[_Ranked], history: list[dict[str, Any]]
    ) -> dict[str, Any]:
        best = everyone[0]
        user = next(each for each in everyone if each.prompt is self.user_prompt)
        return {
            "offline": self.writer is None,
            "candidates": "written by an LLM" if self.writer else "drawn from the prompt set",
            "rounds": len(history),
            "attacks": list(adversary.kinds),
            "attacks_left_out": [kind for kind in (*OFFLINE, *REWRITTEN) if kind not in adversary.kinds],
            "floor": {"similarity": FLOOR, "words_added": MOST_ADDED},
            "altered": ground.altered,
            "seed": self.seed,
            "user_prompt": {"prompt_id": user.prompt.id, "score": user.accuracy},
            "by_attack": {"picked": best.by_kind, "user": user.by_kind},
            "margin": best.margin,
            "writer": self.writer.facts() if self.writer else None,
            "history": history,
        }


@dataclass(frozen=True)
class _Ranked:
    """A prompt with its accuracy, averaged over the kinds of attack, and its mean margin in nats."""

    prompt: Prompt
    accuracy: float
    margin: float
    by_kind: dict[str, float]


def _best_first(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    return sorted(ranked, key=lambda each: (-each.accuracy, -each.margin))  # equals stay in the order they came


class _Ground:
    """The altered examples, by kind, that all candidates are scored on."""

    def __init__(self, score: Score, by_kind: dict[str, list[Example]]) -> None:
        self._score, self._by_kind = score, by_kind
        self._all = list({e.id: e for examples in by_kind.values() for e in examples}.values())
        self._place = {example.id: at for at, example in enumerate(self._all)}
        self.size = sum(map(len, by_kind.values()))
        originals = {example.id for example in score.examples}
        self.altered = {kind: sum(e.id not in originals for e in each) for kind, each in by_kind.items()}

    def rank(self, prompts: Sequence[Prompt]) -> list[_Ranked]:
        """The prompts, best first."""
        if not prompts:
            return []
        scored = self._score(prompts, self._all)
        ranked = []
        for prompt, correct_n, margin_n in zip(prompts, scored.correct_pn, scored.margin_pn, strict=True):
            places = {kind: [self._place[e.id] for e in each] for kind, each in self._by_kind.items()}
            by_kind = {kind: float(correct_n[at].mean()) for kind, at in places.items()}
            margin = sum(float(margin_n[at].mean()) for at in places.values()) / len(places)
            ranked.append(_Ranked(prompt, sum(by_kind.values()) / len(by_kind), margin, by_kind))
        return _best_first(ranked)


@dataclass
class _Drawn:
    """Candidates from the prompt set, each drawn once; those that bear the attacked examples best."""

    pool: list[Prompt]
    score: Score
    count: int
    differences: str = ""

    @property
    def exhausted(self) -> bool:
        return not self.pool

    def candidates(self, prompt: Prompt, attacked: Sequence[Attacked]) -> list[Prompt]:
        drawn, self.pool = self.pool[: DRAWN * self.count], self.pool[DRAWN * self.count :]
        if len(drawn) <= self.count:
            return drawn
        scored = self.score(drawn, list({each.current.id: each.current for each in attacked}.values()))
        accuracy_p, margin_p = scored.correct_pn.mean(axis=1), scored.margin_pn.mean(axis=1)
        order = sorted(range(len(drawn)), key=lambda at: (-accuracy_p[at], -margin_p[at]))
        return [drawn[at] for at in order[: self.count]]


@dataclass
class _Written:
    """Candidates from the writer, told what the attacks did."""

    writer: Writer
    judge: Judge
    improved: int
    paraphrased: int
    exhausted: bool = False
    differences: str = ""

    def candidates(self, prompt: Prompt, attacked: Sequence[Attacked]) -> list[Prompt]:
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for each in attacked:
            if changes := each.changes(self.writer.task):
                pairs[each.kind] += changes
        self.differences = self.writer.describe(pairs) if pairs else ""
        better = self.writer.improve(prompt, self.differences or UNTOLD, self.improved, self.judge)
        provider = self.writer.provider
        source = {"kind": "llm", "provider": provider.name, "model": provider.model}
        made = [Prompt.from_text(each.text, {**source, "strategy": "batprompt-improve"}) for each in better]
        if better and self.paraphrased:
            again = self.writer.paraphrase(better, self.paraphrased, self.judge)
            made += [Prompt.from_text(each.text, {**source, "strategy": "batprompt-paraphrase"}) for each in again]
        return made


def _told(
    number: int,
    start: _Ranked,
    attacked: Sequence[Attacked],
    candidates: Sequence[Prompt],
    kept: Sequence[_Ranked],
    differences: str,
) -> dict[str, Any]:
    """What happened in a round: how often the prompt was right before and after each attack, and what came of it."""
    by_kind: dict[str, list[Attacked]] = defaultdict(list)
    for each in attacked:
        by_kind[each.kind].append(each)
    return {
        "round": number,
        "prompt_id": start.prompt.id,
        "examples": [each.original.id for each in next(iter(by_kind.values()))],
        "right_before": {kind: sum(each.before.correct for each in some) for kind, some in by_kind.items()},
        "right_after": {kind: sum(each.after.correct for each in some) for kind, some in by_kind.items()},
        "candidates": [prompt.id for prompt in candidates],
        "kept": [each.prompt.id for each in kept],
        "best": kept[0].accuracy,
        "differences": differences,
    }
