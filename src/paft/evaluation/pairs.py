"""(prompt, example) pairs, encoded with errors that name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paft.errors import EncodingError, InputError
from paft.evaluation.answers.candidates import Candidates
from paft.models import Encoder, Parts, TooLongError
from paft.models.encoding import Rendered
from paft.prompts import Prompt
from paft.tasks.base import Example
from paft.tasks.reasoning import left_open

Ids = NDArray[np.int32]
Row = Sequence[int] | np.ndarray  # token ids
SPARE_BYTES = 8  # BOS, the space before the answer, the end token
AT_ONCE = 512  # pairs given to the tokenizer together; what it returns is many times as large as the ids


class Pair(NamedTuple):
    """A prompt and an example to be scored under it."""

    prompt: Prompt
    example: Example

    @property
    def key(self) -> tuple[str, str]:
        """The ids of both."""
        return self.prompt.id, self.example.id

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


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair as token ids.

    Attributes:
        contexts: the tokens before each candidate's: one array for all, unless a tokenizer's merges reach back over
            the boundary.
        candidates: the tokens of each candidate, the end token among them where one is scored.
    """

    contexts: list[Ids]
    candidates: list[tuple[int, ...]]

    @property
    def longest(self) -> int:
        """Tokens of the longest candidate with its context."""
        return max(len(a) + len(b) for a, b in zip(self.contexts, self.candidates, strict=True))


class Rows:
    """Pairs as rows of token ids that a model takes; for backends that are given tokens.

    Args:
        candidates: what is scored behind the prompts.
        new_tokens: how many may be generated behind a prompt; 0 where candidates are scored.
    """

    def __init__(self, encoder: Encoder, candidates: Candidates, new_tokens: int = 0) -> None:
        self.encoder, self.candidates, self.new_tokens = encoder, candidates, new_tokens

    def scored(self, pairs: Sequence[Pair]) -> list[Tokens]:
        """Every pair with its candidates. Raises EncodingError, which names a pair that cannot be encoded."""
        tokens = [t for t in encode_candidates(self.encoder, pairs, self.candidates) if t is not None]
        for pair, t in zip(pairs, tokens, strict=True):
            if not min(map(len, t.contexts)):
                raise empty_prompt(pair)
        return tokens

    def prompts(self, pairs: Sequence[Pair]) -> list[Ids]:
        """The prompt of every pair. Raises EncodingError, which names a pair that cannot be encoded or is too long."""
        prompts = encode_prompts(self.encoder, pairs)
        for pair, ids in zip(pairs, prompts, strict=True):
            if not len(ids):
                raise empty_prompt(pair)
            if not self._fits(ids):
                raise TooLong(pair, self.encoder.max_length).error()
        return prompts

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        """The pairs that do not fit ``max_length``."""
        most = self.encoder.max_length
        if self.new_tokens:
            doubtful = [p for p in pairs if may_be_long(self.encoder, p, self.new_tokens)]
            ids = encode_prompts(self.encoder, doubtful)
            return [TooLong(p, most) for p, row in zip(doubtful, ids, strict=True) if not self._fits(row)]
        sizes = [max(len(c.encode()) for c in self.candidates.of(p.example)) for p in pairs]
        doubtful = [p for p, size in zip(pairs, sizes, strict=True) if may_be_long(self.encoder, p, size)]
        encoded = encode_candidates(self.encoder, doubtful, self.candidates, on_long="none")
        return [TooLong(p, most) for p, e in zip(doubtful, encoded, strict=True) if e is None]

    def opening(self, pair: Pair) -> str:
        """The mark of reasoning that the prompt leaves open; what is written goes on from it."""
        return left_open(self.encoder.prompt_text(pair.prompt.render(pair.example.slots)))

    def _fits(self, ids: Ids) -> bool:
        return len(ids) + self.new_tokens <= self.encoder.max_length


def encode_candidates(
    encoder: Encoder,
    pairs: Sequence[Pair],
    candidates: Candidates,
    on_long: Literal["error", "none"] = "error",
) -> list[Tokens | None]:
    """Every pair with every candidate answer; None where it is too long and may be.

    Raises:
        EncodingError: a pair that cannot be encoded, or TooLongError; the message names it.
    """
    out: list[Tokens | None] = []
    for start in range(0, len(pairs), AT_ONCE):
        part = pairs[start : start + AT_ONCE]
        items = [(p.prompt.render(p.example.slots), candidates.of(p.example)) for p in part]
        ends = candidates.ended(p.example for p in part)
        ended = {i for i, end in enumerate(ends) if end}
        try:
            out += map(_tokens, encoder.encode_answers(items, on_long, ended))
        except EncodingError as bad:
            for pair, item, end in zip(part, items, ends, strict=True):
                _name_error(encoder, pair, item, on_long, end)
            raise bad
    return out


def _tokens(parts: Sequence[Parts] | None) -> Tokens | None:
    if parts is None:
        return None
    made: dict[int, Ids] = {}
    for part in parts:
        if id(part.prompt) not in made:
            made[id(part.prompt)] = np.array(part.prompt, dtype=np.int32)
    return Tokens([made[id(part.prompt)] for part in parts], [tuple(part.answer) for part in parts])


def _name_error(
    encoder: Encoder, pair: Pair, item: tuple[Rendered, Sequence[str]], on_long: Literal["error", "none"], end: bool
) -> None:
    """Raise the error of this pair, with its name, if it has one."""
    try:
        encoder.encode_answers([item], on_long, {0} if end else ())
    except TooLongError:
        raise TooLong(pair, encoder.max_length).error() from None
    except EncodingError as named:
        raise EncodingError(f"{pair.name}: {named}") from None


def encode_prompts(encoder: Encoder, pairs: Sequence[Pair]) -> list[Ids]:
    """The prompt of every pair; the errors name the pair."""
    out: list[Ids] = []
    for start in range(0, len(pairs), AT_ONCE):
        part = pairs[start : start + AT_ONCE]
        try:
            rows = encoder.encode_prompts([p.prompt.render(p.example.slots) for p in part])
        except EncodingError as bad:
            for pair in part:
                try:
                    encoder.encode_prompts([pair.prompt.render(pair.example.slots)])
                except EncodingError as named:
                    raise EncodingError(f"{pair.name}: {named}") from None
            raise bad
        out += [np.array(row, dtype=np.int32) for row in rows]
    return out


def may_be_long(encoder: Encoder, pair: Pair, answer_bytes: int) -> bool:
    """Whether a pair needs the tokenizer to know that it fits: no text has more tokens than bytes."""
    rendered = pair.prompt.render(pair.example.slots)
    if encoder.chat or not isinstance(rendered, str):
        return True
    return len(rendered.encode()) + answer_bytes + SPARE_BYTES > encoder.max_length


def empty_prompt(pair: Pair) -> EncodingError:
    """The error for a prompt without tokens, which gives a model nothing to go on from."""
    return EncodingError(f"{pair.name}: the prompt is empty, so the model has nothing to answer")


def refuse_small(pairs: Sequence[Pair], lengths: Sequence[int], batch_tokens: int) -> None:
    """Refuse a pair whose longest row alone is more than ``batch_tokens``."""
    for pair, length in zip(pairs, lengths, strict=True):
        if length > batch_tokens:
            raise InputError(
                f"--batch-tokens {batch_tokens} is too small for one example: {pair.name} takes {length} tokens\n"
                f"give --batch-tokens {length} or more"
            )
