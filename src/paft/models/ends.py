"""Whether candidate answers can be told apart by their own tokens, or only with the token that ends an answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from paft.models.encoding import Encoder

CONTEXTS = ("Answer:", "Answer:\n")  # answers follow a space or stand at the start of a line


def begins_another(encoder: Encoder, rows: Sequence[Sequence[str]]) -> list[bool]:
    """For each row of candidate answers, whether the tokens of one begin those of another.

    The longer one then holds all that the shorter one does and more, and no sum of log-probabilities can be higher: it
    never wins. With what ends an answer behind both, neither holds the other.
    """
    prompts = [encoder.prompt_text(context) for context in CONTEXTS]
    texts = [[p + encoder.answer_text(p, answer) for answer in row] for row in rows for p in prompts]
    every = list(dict.fromkeys(text for group in texts for text in group))
    if not every:
        return [False] * len(rows)
    read = encoder.tokenizer(every, add_special_tokens=False, verbose=False, split_special_tokens=not encoder.chat)[
        "input_ids"
    ]
    known = dict(zip(every, map(tuple, read), strict=True))
    found = [_one_begins_another({known[text] for text in group}) for group in texts]
    return [any(found[start : start + len(prompts)]) for start in range(0, len(found), len(prompts))]


def _one_begins_another(candidates: set[tuple[int, ...]]) -> bool:
    """In dictionary order what begins with another follows it, with nothing else in between."""
    return any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(sorted(candidates)))
