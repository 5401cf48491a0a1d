"""What a model writes: how much it may, what ends it, and the text that its tokens say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from paft.evaluation.options import Options
from paft.tasks.base import Example, Task
from paft.tasks.reasoning import is_mark

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase

    from paft.models import Encoder

SPARE_TOKENS = 4  # beyond the longest answer: a line break, a bracket, the end token
FREE_TOKENS = 64  # for free answers where no gold answer tells how long they are


@dataclass(frozen=True, slots=True)
class Generated:
    """The text of one row and how many tokens it took, the end token included.

    The text is without special tokens, but for marks of reasoning.
    """

    text: str
    tokens: int


def most_new_tokens(
    task: Task, options: Options, examples: Sequence[Example], count: Callable[[list[str]], Sequence[int]]
) -> int:
    """Most tokens to generate: what was asked for, else those of the longest answer and some more.

    Args:
        count: how many tokens each of these texts has, at most.
    """
    answers = task.answers if task.type != "free" else [e.answer for e in examples if e.answer]
    if options.max_new_tokens or not answers:
        return options.max_new_tokens or FREE_TOKENS
    return max(count([f" {answer}" for answer in answers])) + SPARE_TOKENS


def tokens_counted(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[str]], list[int]]:
    """Counts with this tokenizer."""
    return lambda texts: list(map(len, tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]))


def bytes_counted(texts: list[str]) -> list[int]:
    """Where no tokenizer is at hand: a text has no more tokens than bytes."""
    return [len(text.encode()) for text in texts]


def end_ids(encoder: Encoder, settings: GenerationConfig | None) -> frozenset[int]:
    """The encoder's end token, the tokenizer's, and those the model's generation settings name."""
    named: Any = getattr(settings, "eos_token_id", None)
    named = named if isinstance(named, list | tuple) else [named]
    return frozenset(int(i) for i in (encoder.end_id, encoder.tokenizer.eos_token_id, *named) if i is not None)


def line_done(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], row: int, satisfied: Callable[[int, str], bool]
) -> bool:
    """Whether the last token breaks the line and ``satisfied`` says that the text so far will do."""
    return "\n" in _decode(tokenizer, ids[-1:]) and satisfied(row, _decode(tokenizer, ids))


def generated(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Generated:
    """What these tokens say."""
    return Generated(_decode(tokenizer, ids), len(ids))


def _decode(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The text without special tokens, but for marks of reasoning: without them it would read as the answer."""
    marks = _special_marks(tokenizer)
    text, start = "", 0
    for place in [i for i, token in enumerate(ids) if token in marks]:
        text += _without_special(tokenizer, ids[start:place]) + marks[ids[place]]
        start = place + 1
    return text + _without_special(tokenizer, ids[start:])


def _without_special(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text if isinstance(text, str) else "".join(text)


@lru_cache(maxsize=8)
def _special_marks(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The special tokens that are marks of reasoning, by their ids."""
    return {i: t.content for i, t in tokenizer.added_tokens_decoder.items() if t.special and is_mark(t.content)}
