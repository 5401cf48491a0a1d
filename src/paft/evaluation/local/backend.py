"""A model in this process: from (prompt, example) pairs to cells by forward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from paft.errors import RunError
from paft.evaluation.answers.candidates import Candidates, answer_end
from paft.evaluation.answers.queries import Asked, Query
from paft.evaluation.answers.reader import AnswerReader, refuse_not_finite
from paft.evaluation.answers.written import Generated, end_ids, most_new_tokens, tokens_counted
from paft.evaluation.backend import Backend, Work
from paft.evaluation.cells import Cell, refuse_other_work
from paft.evaluation.dating import dated
from paft.evaluation.identity import tokens_identity
from paft.evaluation.local.decoding import greedy
from paft.evaluation.local.forward import Forward, evaluating
from paft.evaluation.local.likelihood import log_likelihoods
from paft.evaluation.local.loading import Loaded, load
from paft.evaluation.local.shortcuts import Shortcuts
from paft.evaluation.local.walking import Batch, Walk
from paft.evaluation.local.whole import own_device
from paft.evaluation.pairs import Ids, Pair, Rows, TooLong, encode_prompts, refuse_small
from paft.models import Encoder
from paft.models.identity import model_digest
from paft.models.limits import Limits
from paft.models.memory import is_out_of_memory

CPU_TOKENS = 512  # small enough that what a layer hands to the next stays in the processor's cache
CPU_RUN_TOKENS = 1024
CPU_DECODING_TOKENS = 8192  # every step of decoding reads all weights, so many rows are better
ACCELERATOR_TOKENS = 16384
LOGITS = 1 << 27  # float32 logits of one batch: 512 MB at most


@contextmanager
def open_here(work: Work) -> Iterator[LocalBackend]:
    """Load the model, or take it where it is loaded, and hold it in evaluation mode.

    Raises:
        OutputError: the output folder holds other work.
        InputError, ModelError: the model does not fit the call.
    """
    if work.output is not None:
        refuse_other_work(work.output, work.identity)
    device = own_device(work.device)
    loaded = load(work.model, work.source, work.adapter, work.dtype, device, work.trust_remote_code)
    with evaluating(loaded.model):
        yield LocalBackend(loaded, work)


class LocalBackend(Backend):
    """Answers by the likelihood of candidates, or by what the model writes.

    A cell does not depend on which others share its batch, beyond the noise of floating point.

    Attributes:
        loaded: the model.
        encoder: how prompts become tokens.
        rows: pairs as token ids.
    """

    def __init__(self, loaded: Loaded, work: Work) -> None:
        model, tokenizer, options = loaded.model, loaded.tokenizer, work.options
        self.loaded, self.work = loaded, work
        self.scoring = work.scoring
        self.generates = self.scoring == "generate"
        limits = Limits.of(model, tokenizer)
        self.forward = Forward(model, limits.pad_id(tokenizer))
        self.encoder = Encoder(tokenizer, options.longest, options.chat, options.date, limits)
        self.reader = AnswerReader(Candidates(work.task, self.scoring, self.encoder), options.normalize)
        count, new_tokens, ends = tokens_counted(tokenizer), 0, None
        if self.generates:
            new_tokens = most_new_tokens(work.task, options, work.examples, count)
            ends = end_ids(self.encoder, getattr(model, "generation_config", None))
        self.rows = Rows(self.encoder, self.reader.candidates, new_tokens)
        self.end_ids: frozenset[int] | None = ends
        on_cpu = self.forward.device.type == "cpu"
        by_default = (CPU_DECODING_TOKENS if self.generates else CPU_TOKENS) if on_cpu else ACCELERATOR_TOKENS
        self.batch_tokens = options.batch_tokens or by_default
        self.run_tokens = min(self.batch_tokens, CPU_RUN_TOKENS) if on_cpu else self.batch_tokens
        self.max_logits = max(1, LOGITS // self.forward.vocabulary)
        self.shortcuts = Shortcuts(self.forward, new_tokens, self.batch_tokens, self.max_logits)

    def identity(self) -> dict[str, Any]:
        return {
            "dtype": self.loaded.dtype,
            "weights": model_digest(self.loaded.model),
            **tokens_identity(self.encoder, self.end_ids),
            **self._decides(),
        }

    def record(self) -> dict[str, Any]:
        loaded = self.loaded
        return {"model": loaded.name, "adapter": loaded.adapter, "dtype": loaded.dtype, **self._decides()}

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        return self.rows.too_long(pairs)

    def check(self, pair: Pair) -> None:
        """Refuse a model that sees later tokens, which shows on one pair. Raises ModelError."""
        row = encode_prompts(self.encoder, [pair])[0]
        if len(row):  # else it is refused by name
            with self._within_memory():
                self.shortcuts.refuse_not_causal([row])

    def proof(self) -> dict[str, Any]:
        return self.shortcuts.record()

    def cells(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        """The cells of ``pairs``, one list per batch, longest pairs first; raises as ``Backend.cells`` says."""
        return self._written(pairs) if self.generates else self._likeliest(pairs)

    def _likeliest(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        tokens = self.rows.scored(pairs)
        self._refuse_small(pairs, [t.longest for t in tokens])
        asked = Asked.of(tokens)
        with self._within_memory():
            self.shortcuts.settle(asked.queries)
        more = [query.rest(self.forward.free_masks) for query in asked.queries]
        contexts = [np.asarray(query.context) for query in asked.queries]
        logits = [max(1, query.rest(True)) for query in asked.queries]
        batches = Walk(self.forward, contexts, more, self.batch_tokens, self.max_logits, logits=logits).batches()
        while True:
            with self._within_memory():
                if (batch := next(batches, None)) is None:
                    return
                values = self._values(asked.queries, batch)
            found = [(pairs[i], tokens[i], loglik) for i, loglik in asked.answered(batch.members, values)]
            for pair, _, loglik in found:
                refuse_not_finite(pair, loglik)
            yield [
                self.reader.likeliest(pair, loglik, list(map(len, t.candidates)), len(t.contexts[0]))
                for pair, t, loglik in found
            ]

    def _values(self, queries: Sequence[Query], batch: Batch) -> list[list[float]]:
        members = [queries[i] for i in batch.members]
        rest = [Query(q.context[begin:], q.candidates) for q, begin in zip(members, batch.begins, strict=True)]
        room = max(len(query.context) + query.rest(True) for query in rest)
        return log_likelihoods(self.forward, rest, batch.behind.take(room))

    def _written(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        prompts, most = self.rows.prompts(pairs), self.rows.new_tokens
        self._refuse_small(pairs, [len(ids) + most for ids in prompts])
        with self._within_memory():
            self.shortcuts.settle([Query(ids, ()) for ids in prompts])
        more = [most] * len(prompts)
        batches = Walk(self.forward, prompts, more, self.batch_tokens, self.max_logits, self.run_tokens).batches()
        while True:
            with self._within_memory():
                if (batch := next(batches, None)) is None:
                    return
                made = self._greedy(prompts, pairs, batch)
            yield [
                self.reader.written(pairs[i], self.rows.opening(pairs[i]) + text.text, len(prompts[i]), text.tokens)
                for i, text in zip(batch.members, made, strict=True)
            ]

    def _greedy(self, prompts: Sequence[Ids], pairs: Sequence[Pair], batch: Batch) -> list[Generated]:
        def satisfied(row: int, text: str) -> bool:
            pair = pairs[batch.members[row]]
            return self.reader.complete(pair, self.rows.opening(pair) + text)

        rows = [prompts[i][begin:] for i, begin in zip(batch.members, batch.begins, strict=True)]
        most, ends = self.rows.new_tokens, self.end_ids or frozenset()
        return greedy(self.forward, self.loaded.tokenizer, rows, ends, most, satisfied, batch.behind, self.run_tokens)

    def _decides(self) -> dict[str, Any]:
        end = None if self.generates else answer_end(self.reader.candidates, self.encoder, self.work.examples)
        return {"answer_end": end, **dated(self.encoder)}

    def _refuse_small(self, pairs: Sequence[Pair], lengths: Sequence[int]) -> None:
        """A limit that was asked for is kept, or it is an error."""
        if self.work.options.batch_tokens is not None:
            refuse_small(pairs, lengths, self.batch_tokens)

    @contextmanager
    def _within_memory(self) -> Iterator[None]:
        """Say what to do where memory runs out. Raises RunError."""
        try:
            yield
        except (MemoryError, RuntimeError) as bad:
            if not is_out_of_memory(bad):
                raise
            raise RunError(
                f"out of memory with --batch-tokens {self.batch_tokens}: give a smaller number, "
                "or --dtype bfloat16; finished cells are kept"
            ) from bad
