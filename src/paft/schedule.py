"""Which prompt stands at each position of the training stream (Algorithm 1 of arXiv 2502.12859).

A schedule is told the whole order of an epoch before the epoch is trained on, so that the plan can be
written down first. It holds no text and no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

import numpy as np

from paft.errors import InputError


@runtime_checkable
class Schedule(Protocol):
    """Assigns a prompt id to every position of an epoch, and may learn from the losses it caused.

    One that learns sets ``adaptive = True``: its plans cannot be made again, so the written ones count. Its
    runs can be resumed where it is a :class:`StatefulSchedule` too.
    """

    def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
        """The prompt id of each position; ``example_ids`` are in training order. Same call, same answer."""
        ...

    def observe(self, epoch: int, prompt_ids: Sequence[str], losses: Sequence[float]) -> None:
        """The mean answer loss (nats per token) of examples just trained on, in step order.

        Called once per optimiser step on the main process. Schedules that do not adapt ignore it.
        """
        ...


@runtime_checkable
class StatefulSchedule(Schedule, Protocol):
    """A schedule whose run can be resumed though it learns: checkpoints keep what it has learnt."""

    def state_dict(self) -> dict[str, Any]:
        """All that ``assign`` and ``observe`` depend on: text, numbers, lists and dicts, as JSON holds them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave; what follows has to be the same as if nothing had come between."""
        ...


class _Fixed:
    """What the schedules that do not adapt share: losses change nothing."""

    def observe(self, epoch: int, prompt_ids: Sequence[str], losses: Sequence[float]) -> None:
        return None


class UniformSchedule(_Fixed):
    """PAFT: after every K examples a prompt is drawn anew, uniformly, and anew in every epoch.

    Args:
        prompt_ids: the training prompts, at least one.
        examples_per_prompt: K of the paper.
        seed: decides every draw, with the epoch.
    """

    def __init__(self, prompt_ids: Sequence[str], examples_per_prompt: int = 4, seed: int = 0) -> None:
        if not prompt_ids:
            raise InputError("a schedule needs at least one prompt, found none")
        if examples_per_prompt < 1:
            raise InputError(f"examples_per_prompt must be at least 1, found {examples_per_prompt}")
        if seed < 0:
            raise InputError(f"a seed must be at least 0, found {seed}")
        self.prompt_ids = list(prompt_ids)
        self.examples_per_prompt = examples_per_prompt
        self.seed = seed

    def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
        blocks = -(-len(example_ids) // self.examples_per_prompt)
        rng = np.random.default_rng([self.seed, epoch, 1])
        drawn = rng.integers(len(self.prompt_ids), size=blocks).tolist()
        return [self.prompt_ids[drawn[i // self.examples_per_prompt]] for i in range(len(example_ids))]


class StaticMixSchedule(_Fixed):
    """One fixed pairing of examples and prompts for all epochs, as instruction mixtures are built.

    The pairing depends on the seed and the example's id alone, not on order, epoch or data size.
    """

    def __init__(self, prompt_ids: Sequence[str], seed: int = 0) -> None:
        if not prompt_ids:
            raise InputError("a schedule needs at least one prompt, found none")
        self.prompt_ids = list(prompt_ids)
        self.seed = seed

    def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
        return [self.prompt_ids[self._pick(example)] for example in example_ids]

    def _pick(self, example_id: str) -> int:
        digest = blake2b(f"{self.seed}\x00{example_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % len(self.prompt_ids)


class FixedSchedule(_Fixed):
    """One prompt throughout: ordinary fine-tuning."""

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id

    def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
        return [self.prompt_id] * len(example_ids)
