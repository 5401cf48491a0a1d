"""Greedy decoding of a batch of prompts, each row stopping for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from paft.evaluation.answers.written import Generated, generated, line_done
from paft.evaluation.local.forward import Forward
from paft.evaluation.local.walking import Behind, start_in_parts
from paft.evaluation.pairs import Row

NOTHING = Behind(None, ())


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
