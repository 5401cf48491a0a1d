"""From (prompt, example) pairs to cells: by the likelihood of candidate answers, or by what the model writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from paft.errors import RunError
from paft.evaluation.candidates import Candidates, answer_end
from paft.evaluation.cells import Cell
from paft.evaluation.local.decoding import Generated, greedy
from paft.evaluation.local.forward import Forward
from paft.evaluation.local.likelihood import Query, log_likelihoods
from paft.evaluation.local.planning import Ids
from paft.evaluation.local.shortcuts import Shortcuts
from paft.evaluation.local.walking import Batch, Behind, Walk
from paft.evaluation.options import Options
from paft.evaluation.pairs import (
    Pair,
    Tokens,
    TooLong,
    empty_prompt,
    encode_candidates,
    encode_prompts,
    may_be_long,
    refuse_small,
)
from paft.evaluation.queries import Asked
from paft.models import Encoder
from paft.models.limits import Limits
from paft.models.memory import is_out_of_memory
from paft.tasks.base import Example, Task
from paft.tasks.reasoning import left_open

CPU_TOKENS = 512  # small enough that what a layer hands to the next stays in the processor's cache
CPU_RUN_TOKENS = 1024
CPU_DECODING_TOKENS = 8192  # every step of decoding reads all weights, so many rows are better
ACCELERATOR_TOKENS = 16384
LOGITS = 1 << 27  # float32 logits of one batch: 512 MB at most
SPARE_TOKENS = 4  # beyond the longest answer: a line break, a bracket, the end token
FREE_TOKENS = 64  # for free answers where no gold answer tells how long they are
T = TypeVar("T")


class Scorer(ABC):
    """What both ways of scoring share: the model, the encoder and the limits.

    The result for a pair does not depend on which others share its batch, beyond the noise of floating point.
    """

    cpu_tokens = CPU_TOKENS
    end_ids: frozenset[int] | None = None  # what ends a generated answer

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, options: Options
    ) -> None:
        self.task = task
        self.tokenizer = tokenizer
        self.scoring = options.scoring_of(task)
        self.normalize = options.normalize
        limits = Limits.of(model, tokenizer)
        self.forward = Forward(model, limits.pad_id(tokenizer))
        self.shortcuts = Shortcuts(self.forward, self.scoring == "generate")
        self.encoder = Encoder(tokenizer, options.max_length, options.chat, options.date, limits)
        on_cpu = self.forward.device.type == "cpu"
        self.batch_tokens = options.batch_tokens or (self.cpu_tokens if on_cpu else ACCELERATOR_TOKENS)
        self.run_tokens = min(self.batch_tokens, CPU_RUN_TOKENS) if on_cpu else self.batch_tokens
        self.limited = options.batch_tokens is not None  # a limit that was asked for is kept, or it is an error
        self.max_logits = max(1, LOGITS // self.forward.vocabulary)

    def answer_end(self, examples: Sequence[Example]) -> str | None:
        """The end token, as text, if candidates of these examples are scored with it; else None."""
        return None

    @abstractmethod
    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        """The cells of ``pairs``, one list per batch, longest pairs first.

        Raises:
            EncodingError: a pair that cannot be encoded or is too long; names prompt and example.
            InputError: ``batch_tokens`` is too small for a pair.
            RunError: out of memory, or log-likelihoods that are not numbers.
        """

    @abstractmethod
    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        """The pairs that do not fit ``max_length``."""

    def check(self, pair: Pair) -> None:
        """Refuse a model that sees later tokens, which shows on one pair. Raises ModelError."""
        row = encode_prompts(self.encoder, [pair])[0]
        if len(row):  # else it is refused by name
            self._run(partial(self.shortcuts.refuse_not_causal, [row]))

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (MemoryError, RuntimeError) as bad:
            if not is_out_of_memory(bad):
                raise
            raise RunError(
                f"out of memory with --batch-tokens {self.batch_tokens}: give a smaller number, "
                "or --dtype bfloat16; finished cells are kept"
            ) from bad


class CandidateScorer(Scorer):
    """``likelihood`` and ``continuation``: the candidate answer that the model finds likeliest."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, options: Options
    ) -> None:
        super().__init__(model, tokenizer, task, options)
        self.candidates = Candidates(task, self.scoring, self.encoder)

    def answer_end(self, examples: Sequence[Example]) -> str | None:
        return answer_end(self.candidates, self.encoder, examples)

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        room = [max(len(c.encode()) for c in self.candidates.of(p.example)) for p in pairs]
        doubtful = [p for p, size in zip(pairs, room, strict=True) if may_be_long(self.encoder, p, size)]
        encoded = encode_candidates(self.encoder, doubtful, self.candidates, on_long="none")
        return [TooLong(p, self.encoder.max_length) for p, e in zip(doubtful, encoded, strict=True) if e is None]

    def encoded(self, pairs: Sequence[Pair]) -> list[Tokens]:
        """Every pair with its candidates as token ids; raises as ``score`` does."""
        tokens = [t for t in encode_candidates(self.encoder, pairs, self.candidates) if t is not None]
        for pair, t in zip(pairs, tokens, strict=True):
            if not min(map(len, t.contexts)):
                raise empty_prompt(pair)
        return tokens

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        tokens = self.encoded(pairs)
        if self.limited:
            refuse_small(pairs, [t.longest for t in tokens], self.batch_tokens)
        asked = Asked.of(tokens)
        self._run(partial(self.shortcuts.settle, asked.queries))
        more = [query.rest(self.forward.free_masks) for query in asked.queries]
        contexts = [np.asarray(query.context) for query in asked.queries]
        logits = [max(1, query.rest(True)) for query in asked.queries]
        batches = Walk(self.forward, contexts, more, self.batch_tokens, self.max_logits, logits=logits).batches()
        while (batch := self._run(partial(next, batches, None))) is not None:
            values = self._run(partial(self._values, asked.queries, batch))
            done = asked.answered(batch.members, values)
            yield [self._cell(pairs[i], tokens[i], loglik) for i, loglik in done]

    def _values(self, queries: Sequence[Query], batch: Batch) -> list[list[float]]:
        members = [queries[i] for i in batch.members]
        rest = [Query(q.context[begin:], q.candidates) for q, begin in zip(members, batch.begins, strict=True)]
        room = max(len(query.context) + query.rest(True) for query in rest)
        return log_likelihoods(self.forward, rest, batch.behind.take(room))

    def _cell(self, pair: Pair, tokens: Tokens, found: NDArray[np.float32]) -> Cell:
        if not np.isfinite(found).all():
            raise RunError(
                f"{pair.name}: the log-likelihoods {found.tolist()} are not all finite numbers\n"
                "the weights may be broken, or too large for this dtype: try --dtype float32"
            )
        # argmax gives the first of equals
        best = int(np.argmax(found.astype(np.float64) / self._divisors(pair.example, tokens)))
        prediction = self.candidates.places(pair.example)[best]
        return Cell(
            prompt_id=pair.prompt.id,
            example_id=pair.example.id,
            gold=pair.example.gold,
            prediction=prediction,
            text="",
            correct=prediction == pair.example.gold,
            loglik=tuple(self.candidates.spread(pair.example, found).tolist()),
            prompt_tokens=len(tokens.contexts[0]),
        )

    def _divisors(self, example: Example, tokens: Tokens) -> NDArray[np.float64]:
        if self.normalize == "tokens":
            return np.array(list(map(len, tokens.candidates)), dtype=np.float64)
        if self.normalize == "bytes":
            return np.array([len(text.encode()) for text in self.candidates.of(example)], dtype=np.float64)
        return np.ones(len(tokens.candidates))


class GenerateScorer(Scorer):
    """``generate``: greedy decoding, and the task's own reading of the text.

    Args:
        room: most tokens to generate.
    """

    cpu_tokens = CPU_DECODING_TOKENS
    end_ids: frozenset[int]

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        options: Options,
        room: int,
    ) -> None:
        super().__init__(model, tokenizer, task, options)
        self.max_new_tokens = room
        self.end_ids = end_ids(self.encoder, getattr(model, "generation_config", None))

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        doubtful = [p for p in pairs if may_be_long(self.encoder, p, self.max_new_tokens)]
        ids = encode_prompts(self.encoder, doubtful)
        return [
            TooLong(p, self.encoder.max_length) for p, row in zip(doubtful, ids, strict=True) if not self._fits(row)
        ]

    def encoded(self, pairs: Sequence[Pair]) -> list[Ids]:
        """The prompt of every pair as token ids; raises as ``score`` does."""
        prompts = encode_prompts(self.encoder, pairs)
        for pair, ids in zip(pairs, prompts, strict=True):
            if not len(ids):
                raise empty_prompt(pair)
            if not self._fits(ids):
                raise TooLong(pair, self.encoder.max_length).error()
        return prompts

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        prompts = self.encoded(pairs)
        if self.limited:
            refuse_small(pairs, [len(ids) + self.max_new_tokens for ids in prompts], self.batch_tokens)
        self._run(partial(self.shortcuts.settle, [Query(ids, ()) for ids in prompts]))
        more = [self.max_new_tokens] * len(prompts)
        batches = Walk(self.forward, prompts, more, self.batch_tokens, self.max_logits, self.run_tokens).batches()
        while (batch := self._run(partial(next, batches, None))) is not None:
            rows = [prompts[i][begin:] for i, begin in zip(batch.members, batch.begins, strict=True)]
            members = [pairs[i] for i in batch.members]
            made = self._run(partial(self._greedy, rows, members, batch.behind))
            yield [self._cell(pairs[i], len(prompts[i]), text) for i, text in zip(batch.members, made, strict=True)]

    def _fits(self, ids: Ids) -> bool:
        return len(ids) + self.max_new_tokens <= self.encoder.max_length

    def _greedy(self, rows: Sequence[Ids], pairs: Sequence[Pair], behind: Behind) -> list[Generated]:
        def satisfied(row: int, text: str) -> bool:
            return self._complete(pairs[row], text)

        room = self.max_new_tokens
        return greedy(self.forward, self.tokenizer, rows, self.end_ids, room, satisfied, behind, self.run_tokens)

    def _complete(self, pair: Pair, text: str) -> bool:
        """Whether the lines written so far hold the whole answer."""
        return self.task.complete(pair.example, self._opening(pair) + text)

    def _opening(self, pair: Pair) -> str:
        """The mark of reasoning that the prompt leaves open; what is written goes on from it."""
        return left_open(self.encoder.prompt_text(pair.prompt.render(pair.example.slots)))

    def _cell(self, pair: Pair, prompt_tokens: int, made: Generated) -> Cell:
        text = self._opening(pair) + made.text
        prediction, correct = self.task.judge(pair.example, text)
        return Cell(
            prompt_id=pair.prompt.id,
            example_id=pair.example.id,
            gold=pair.example.gold,
            prediction=prediction,
            text=text,
            correct=correct,
            prompt_tokens=prompt_tokens,
            generated_tokens=made.tokens,
        )


def make_scorer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    options: Options,
    examples: Sequence[Example],
) -> Scorer:
    """The scorer that ``options`` ask for; ``examples`` tell how long free answers are."""
    if options.scoring_of(task) != "generate":
        return CandidateScorer(model, tokenizer, task, options)
    return GenerateScorer(model, tokenizer, task, options, answer_room(tokenizer, task, options, examples))


def answer_room(tokenizer: PreTrainedTokenizerBase, task: Task, options: Options, examples: Sequence[Example]) -> int:
    """Most tokens to generate: what was asked for, else those of the longest answer and some more."""
    answers = task.answers if task.type != "free" else [e.answer for e in examples if e.answer]
    if options.max_new_tokens or not answers:
        return options.max_new_tokens or FREE_TOKENS
    rows = tokenizer([f" {a}" for a in answers], add_special_tokens=False, verbose=False)["input_ids"]
    return max(map(len, rows)) + SPARE_TOKENS


def end_ids(encoder: Encoder, settings: GenerationConfig | None) -> frozenset[int]:
    """The encoder's end token, the tokenizer's, and those the model's generation settings name."""
    named: Any = getattr(settings, "eos_token_id", None)
    named = named if isinstance(named, list | tuple) else [named]
    return frozenset(int(i) for i in (encoder.end_id, encoder.tokenizer.eos_token_id, *named) if i is not None)
