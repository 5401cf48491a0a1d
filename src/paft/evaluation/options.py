"""How answers are scored, checked against the task."""

from __future__ import annotations

from dataclasses import dataclass

from paft.defaults import MAX_LENGTH
from paft.errors import InputError
from paft.tasks.base import Task

SCORINGS = ("likelihood", "generate", "continuation")
NORMALIZATIONS = ("none", "tokens", "bytes")


@dataclass(frozen=True, slots=True)
class Options:
    """How answers are scored.

    Attributes:
        scoring: ``likelihood``, ``generate`` or ``continuation``; ``auto`` is ``generate`` for free answers, else
            ``likelihood``.
        normalize: divide a candidate's log-likelihood by nothing, its ``tokens`` or the ``bytes`` of its text.
        batch_tokens: most tokens of a batch, padding included; None is 512 on a CPU (8,192 to generate) and 16,384
            elsewhere, and a longer row then stands alone.
        max_length: most tokens of prompt and answer, never more than the model has positions; None is 1,024.
        max_new_tokens: most tokens to generate; None is the longest answer and 4 more.
        chat: ``auto``, ``on`` or ``off``: whether prompts are wrapped in the tokenizer's chat template.
        date: what a chat template takes for today, such as ``2025-03-01``.
    """

    scoring: str = "auto"
    normalize: str = "none"
    batch_tokens: int | None = None
    max_length: int | None = None
    max_new_tokens: int | None = None
    chat: str = "auto"
    date: str | None = None

    @property
    def longest(self) -> int:
        """Most tokens of prompt and answer."""
        return MAX_LENGTH if self.max_length is None else self.max_length

    def scoring_of(self, task: Task) -> str:
        """The scoring to use for ``task``. Raises InputError where the options do not fit it or each other."""
        scoring = ("generate" if task.type == "free" else "likelihood") if self.scoring == "auto" else self.scoring
        if scoring not in SCORINGS:
            raise InputError(f"unknown --scoring {scoring!r}; expected one of {', '.join(SCORINGS)}")
        if self.normalize not in NORMALIZATIONS:
            raise InputError(f"unknown --normalize {self.normalize!r}; expected one of {', '.join(NORMALIZATIONS)}")
        if task.type == "free" and scoring != "generate":
            raise InputError(f"task {task.name!r} has free answers, so there are no candidates; use --scoring generate")
        for name in ("batch_tokens", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1, found {value}")
        return scoring
