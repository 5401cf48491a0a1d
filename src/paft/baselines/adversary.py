"""Altered copies of examples: drawn blindly to score candidates on, or searched for to hurt one prompt."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from paft.baselines.attacks import OFFLINE, REWRITTEN, Attacker
from paft.baselines.base import Score
from paft.baselines.writer import Rewriting, Writer
from paft.prompts import Prompt
from paft.tasks import Example, Task


class Harm(NamedTuple):
    """How an example is answered under a prompt; less is worse. Without candidate answers, margins are all 0."""

    margin: float
    correct: bool


@dataclass
class Attacked:
    """An example under one kind of attack, so far.

    Attributes:
        before: how the original is answered.
        after: how ``current`` is.
    """

    kind: str
    original: Example
    current: Example
    before: Harm
    after: Harm

    def changes(self, task: Task) -> list[tuple[str, str]]:
        """The texts that were altered: before, after."""
        slots = [(self.original.slots[name], self.current.slots[name]) for name in task.slots]
        return [(before, after) for before, after in slots if before != after]


@dataclass(frozen=True)
class Adversary:
    """Attacks the examples of a task, with a writer in every way, without one by characters and words.

    Attributes:
        steps: how often an example is attacked, one attack upon the other.
        variants: how many variants each step of a search tries.
    """

    task: Task
    writer: Writer | None
    seed: int
    steps: int
    variants: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of attack that can be made."""
        return (*OFFLINE, *REWRITTEN) if self.writer else OFFLINE

    def perturb(self, examples: Sequence[Example]) -> dict[str, list[Example]]:
        """Each example under each kind of attack, whoever is asked: attacked ``steps`` times, or rewritten once.

        An example whose text is too short for an attack stays as it is.
        """
        attacked = [Attacked(kind, e, e, Harm(0, True), Harm(0, True)) for kind in self.kinds for e in examples]
        for step in range(self.steps):
            going = [each for each in attacked if step == 0 or each.kind in OFFLINE]
            for each, variants in zip(going, self._variants(going, 1, f"perturb {step}"), strict=True):
                each.current = next(iter(variants), each.current)
        return {kind: [each.current for each in attacked if each.kind == kind] for kind in self.kinds}

    def search(self, prompt: Prompt, examples: Sequence[Example], score: Score, purpose: str) -> list[Attacked]:
        """Each example under each kind of attack, so that ``prompt`` is hurt: each step keeps the worst variant."""
        harm = _harm(prompt, examples, score)
        attacked = [Attacked(kind, e, e, harm[e.id], harm[e.id]) for kind in self.kinds for e in examples]
        for step in range(self.steps):
            offered = self._variants(attacked, self.variants, f"{purpose} {step}")
            harm = _harm(prompt, (variant for variants in offered for variant in variants), score)
            for each, variants in zip(attacked, offered, strict=True):
                worst = min(variants, key=lambda variant: harm[variant.id], default=each.current)
                if worst is not each.current and harm[worst.id] < each.after:
                    each.current, each.after = worst, harm[worst.id]
        return attacked

    def _variants(self, attacked: Sequence[Attacked], count: int, purpose: str) -> list[list[Example]]:
        """Up to ``count`` distinct further variants of each, within what its kind allows."""
        attacker = Attacker(self.task)
        rngs = [random.Random(f"{self.seed} {purpose} {each.kind} {each.original.id}") for each in attacked]
        asked: dict[int, Rewriting] = {}
        for at, (each, rng) in enumerate(zip(attacked, rngs, strict=True)):
            if each.kind in REWRITTEN and (slot := attacker.pick_slot(each.original, rng)):
                asked[at] = Rewriting(each.kind, slot, each.current.slots[slot], count)
        written = self.writer.rewrite(list(asked.values())) if self.writer and asked else {}
        offered = []
        for at, (each, rng) in enumerate(zip(attacked, rngs, strict=True)):
            start, origin = each.current, each.original
            if at in asked:
                slot, texts = asked[at].slot, written[asked[at]]
                made = [attacker.replaced(each.kind, origin, start, slot, text) for text in texts]
            elif each.kind in OFFLINE:
                made = [attacker.attack(each.kind, origin, start, rng) for _ in range(count)]
            else:
                made = []
            offered.append(list({variant.id: variant for variant in made if variant.id != start.id}.values()))
        return offered


def _harm(prompt: Prompt, examples: Iterable[Example], score: Score) -> dict[str, Harm]:
    """Example id -> how it is answered; every example is asked about once."""
    distinct = list({example.id: example for example in examples}.values())
    if not distinct:
        return {}
    scored = score([prompt], distinct)
    margins, correct = scored.margin_pn[0].tolist(), scored.correct_pn[0].tolist()
    return {e.id: Harm(margin, right) for e, margin, right in zip(distinct, margins, correct, strict=True)}
