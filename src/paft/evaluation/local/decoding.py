"""Greedy decoding of a batch of prompts, each row stopping for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from paft.evaluation.local.forward import Forward, Row
from paft.evaluation.local.walking import Behind, start_in_parts
from paft.tasks.reasoning import is_mark

NOTHING = Behind(None, ())


@dataclass(frozen=True, slots=True)
class Generated:
    """The text of one row and how many tokens it took, the end token included.

    The text is without special tokens, but for marks of reasoning.
    """

    text: str
    tokens: int


def greedy(
    forward: Forward,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Row],
    end_ids: frozenset[int],
    max_new_tokens: int,
    satisfied: Callable[[int, str], bool],
    behind: Behind = NOTHING,
    run_tokens: int = 1 << 30,
) -> list[Generated]:
    """The likeliest token after another, until an end token, a line that satisfies, or ``max_new_tokens``.

    Args:
        prompts: token ids of each prompt.
        end_ids: tokens that end a row.
        max_new_tokens: most tokens of a row.
        satisfied: ``(row, text)`` whether a text that has just got a line break needs no more.
        behind: what the prompts go on from.
        run_tokens: most tokens of prompts run at once.
    """
    out: list[list[int]] = [[] for _ in prompts]
    live = list(range(len(prompts)))  # which prompt each row of the state belongs to
    done: set[int] = set()
    logits_bv, state = start_in_parts(forward, prompts, behind, run_tokens, max_new_tokens)
    while True:
        for row, token in zip(live, logits_bv.argmax(dim=1).tolist(), strict=True):
            if row in done:
                continue
            out[row].append(token)
            if token in end_ids or len(out[row]) == max_new_tokens or line_done(tokenizer, out[row], row, satisfied):
                done.add(row)
        if len(done) == len(prompts):
            return [generated(tokenizer, ids) for ids in out]
        kept = [i for i, row in enumerate(live) if row not in done]
        if 2 * len(kept) <= len(live):  # rows that are done still cost time; shrinking costs a copy
            state.select(kept)
            live = [live[i] for i in kept]
        logits_bv = forward.extend(state, [[out[row][-1]] for row in live])


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
