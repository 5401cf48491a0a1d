"""(prompt, example) pairs: encoded with errors that name them, and parted into batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from paft.errors import EncodingError, InputError
from paft.models import Encoder, Encoding, TooLongError
from paft.prompts import Prompt
from paft.tasks.base import Example

SPARE_BYTES = 8  # BOS and the space before the answer
SHARING_PAIRS = 8  # fewer pairs of a prompt are not worth a batch of their own


class Pair(NamedTuple):
    """A prompt and an example to be scored under it."""

    prompt: Prompt
    example: Example

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"prompt {self.prompt.id}, example {self.example.id}"


@dataclass(frozen=True, slots=True)
class TooLong:
    """A pair that does not fit ``max_length``."""

    pair: Pair
    max_length: int

    def error(self) -> TooLongError:
        """The error that names it."""
        return TooLongError(
            f"{self.pair.name}: prompt and answer are longer than {self.max_length} tokens\n"
            "raise --max-length where the model allows more, or drop such examples with --on-long drop"
        )


def encode_candidates(
    encoder: Encoder, pairs: Sequence[Pair], candidates: Callable[[Example], Sequence[str]]
) -> list[list[Encoding]]:
    """Every pair with every candidate answer, without end token.

    Raises:
        EncodingError: a pair that cannot be encoded, or TooLongError; the message names it.
    """
    items = [(p.prompt.render(p.example.slots), candidates(p.example)) for p in pairs]
    try:
        flat = iter(encoder.encode_batch([(text, answer) for text, answers in items for answer in answers], end=False))
    except EncodingError as bad:
        for pair, (text, answers) in zip(pairs, items, strict=True):
            for answer in answers:
                try:
                    encoder.encode(text, answer, end=False)
                except TooLongError:
                    raise TooLong(pair, encoder.max_length).error() from None
                except EncodingError as named:
                    raise EncodingError(f"{pair.name}: {named}") from None
        raise bad
    return [[e for _, e in zip(answers, flat) if e is not None] for _, answers in items]  # noqa: B905


def encode_prompts(encoder: Encoder, pairs: Sequence[Pair]) -> list[list[int]]:
    """The prompt of every pair; the errors name the pair."""
    try:
        return encoder.encode_prompts([p.prompt.render(p.example.slots) for p in pairs])
    except EncodingError as bad:
        for pair in pairs:
            try:
                encoder.encode_prompts([pair.prompt.render(pair.example.slots)])
            except EncodingError as named:
                raise EncodingError(f"{pair.name}: {named}") from None
        raise bad


def may_be_long(encoder: Encoder, pair: Pair, answer_bytes: int) -> bool:
    """Whether a pair needs the tokenizer to know that it fits: no text has more tokens than bytes."""
    rendered = pair.prompt.render(pair.example.slots)
    if encoder.chat or not isinstance(rendered, str):
        return True
    return len(rendered.encode()) + answer_bytes + SPARE_BYTES > encoder.max_length


def empty_prompt(pair: Pair) -> EncodingError:
    """The error for a prompt without tokens, which gives a model nothing to go on from."""
    return EncodingError(f"{pair.name}: the prompt is empty, so the model has nothing to answer")


def batches(
    pairs: Sequence[Pair], lengths: Sequence[int], costs: Sequence[int], batch_tokens: int, max_rows: int
) -> Iterator[list[int]]:
    """Indices of ``pairs``, costliest first, in batches of at most ``batch_tokens`` padded tokens.

    Args:
        lengths: tokens of the longest row of each pair.
        costs: tokens that all rows of each pair take; a pair whose cost alone is above ``batch_tokens`` stands alone.
        batch_tokens: most tokens of a batch, padding included.
        max_rows: most pairs of a batch.

    Raises:
        InputError: a row longer than ``batch_tokens``.
    """
    for pair, length in zip(pairs, lengths, strict=True):
        if length > batch_tokens:
            raise InputError(
                f"--batch-tokens {batch_tokens} is too small for one example: {pair.name} takes {length} tokens\n"
                f"give --batch-tokens {length} or more"
            )
    batch: list[int] = []
    for i in sorted(range(len(pairs)), key=lambda i: -costs[i]):
        if batch and ((len(batch) + 1) * costs[batch[0]] > batch_tokens or len(batch) == max_rows):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def by_shared_start(pairs: Sequence[Pair], contexts: Sequence[list[int]]) -> list[tuple[int, list[int]]]:
    """``(tokens shared, indices)``: the pairs of a prompt together where their common start is worth running once.

    A start is worth it where it spares at least a fifth of the prompt's tokens and the prompt has eight pairs or
    more; all other pairs form one group that shares nothing, since larger batches are better batches.
    """
    by_prompt: dict[str, list[int]] = {}
    for i, pair in enumerate(pairs):
        by_prompt.setdefault(pair.prompt.id, []).append(i)
    groups: list[tuple[int, list[int]]] = []
    mixed: list[int] = []
    for indices in by_prompt.values():
        start = _common_start([contexts[i] for i in indices])
        if len(indices) >= SHARING_PAIRS and 5 * start * len(indices) >= sum(len(contexts[i]) for i in indices):
            groups.append((start, indices))
        else:
            mixed += indices
    return groups + ([(0, mixed)] if mixed else [])


def _common_start(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with alike; at least one token of each is left over."""
    first, last = min(rows), max(rows)  # in dictionary order these two differ earliest
    alike = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return min(alike, min(map(len, rows)) - 1)
