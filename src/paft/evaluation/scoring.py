"""From (prompt, example) pairs to cells: by the likelihood of candidate answers, or by what the model writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paft.errors import RunError
from paft.evaluation.cells import Cell
from paft.evaluation.forward import Forward
from paft.evaluation.generate import Generated, greedy
from paft.evaluation.likelihood import Query, log_likelihoods
from paft.evaluation.options import Options
from paft.evaluation.pairs import (
    Pair,
    TooLong,
    batches,
    by_shared_start,
    empty_prompt,
    encode_candidates,
    encode_prompts,
    may_be_long,
)
from paft.models import Encoder, Encoding
from paft.tasks.base import Example, Task

LOGITS = 1 << 27  # float32 logits after the contexts of one batch: 512 MB at most
SPARE_TOKENS = 4  # beyond the longest answer: a line break, a bracket, the end token
FREE_TOKENS = 64  # for free answers where no gold answer tells how long they are
T = TypeVar("T")


class Scorer:
    """What both ways of scoring share: the model, the encoder and the limits.

    The result for a pair does not depend on which others share its batch, beyond the noise of floating point.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, options: Options
    ) -> None:
        self.task = task
        self.tokenizer = tokenizer
        self.scoring = options.scoring_of(task)
        self.normalize = options.normalize
        self.forward = Forward(model, int(tokenizer.pad_token_id or 0))
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.encoder = Encoder(tokenizer, min(options.max_length, positions or options.max_length), options.chat)
        self.batch_tokens = options.batch_tokens or (2048 if self.forward.device.type == "cpu" else 16384)
        self.max_rows = max(1, LOGITS // self.forward.vocabulary)

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        """The cells of ``pairs``, one list per batch, longest pairs first.

        Raises:
            EncodingError: a pair that cannot be encoded or is too long; names prompt and example.
            InputError: ``batch_tokens`` is too small for a pair.
            RunError: out of memory, or log-likelihoods that are not numbers.
        """
        raise NotImplementedError

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        """The pairs that do not fit ``max_length``."""
        raise NotImplementedError

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as bad:
            if isinstance(bad, RuntimeError) and "memory" not in str(bad):
                raise
            raise RunError(
                f"out of memory with --batch-tokens {self.batch_tokens}: give a smaller number, "
                "or --dtype bfloat16; finished cells are kept"
            ) from bad


class CandidateScorer(Scorer):
    """``likelihood`` and ``continuation``: the candidate answer that the model finds likeliest."""

    def candidates(self, example: Example) -> Sequence[str]:
        """The full option texts for ``continuation`` of a choice, else the task's answers."""
        return example.options if self.scoring == "continuation" and example.options else self.task.answers

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        room = [max(len(c.encode()) for c in self.candidates(p.example)) for p in pairs]
        doubtful = [p for p, size in zip(pairs, room, strict=True) if may_be_long(self.encoder, p, size)]
        items = [(p.prompt.render(p.example.slots), c) for p in doubtful for c in self.candidates(p.example)]
        owners = [p for p in doubtful for _ in self.candidates(p.example)]
        encoded = self.encoder.encode_batch(items, end=False, on_long="none")
        return [TooLong(p, self.encoder.max_length) for p, e in zip(owners, encoded, strict=True) if e is None]

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        encoded = encode_candidates(self.encoder, pairs, self.candidates)
        queries = [_queries(pair, cell) for pair, cell in zip(pairs, encoded, strict=True)]
        lengths = [max(len(e.input_ids) for e in cell) for cell in encoded]
        costs = [sum(query.cost(self.forward.free_masks) for query, _ in parts) for parts in queries]
        for shared, group in self._groups(pairs, encoded):
            named = [pairs[i] for i in group], [lengths[i] for i in group], [costs[i] for i in group]
            for batch in batches(*named, self.batch_tokens, self.max_rows):
                members = [group[k] for k in batch]
                flat = [query for i in members for query, _ in queries[i]]
                values = iter(self._run(partial(log_likelihoods, self.forward, flat, shared)))
                yield [self._cell(pairs[i], encoded[i], _placed(queries[i], values)) for i in members]

    def _groups(self, pairs: Sequence[Pair], encoded: Sequence[Sequence[Encoding]]) -> list[tuple[int, list[int]]]:
        """Pairs that are batched together, and how many tokens their contexts begin with alike."""
        if not self.forward.free_masks:
            return [(0, list(range(len(pairs))))]
        return by_shared_start(pairs, [cell[0].input_ids[: min(e.answer_start for e in cell)] for cell in encoded])

    def _cell(self, pair: Pair, encoded: Sequence[Encoding], loglik: NDArray[np.float32]) -> Cell:
        if not np.isfinite(loglik).all():
            raise RunError(
                f"{pair.name}: the log-likelihoods {loglik.tolist()} are not all finite numbers\n"
                "the weights may be broken, or too large for this dtype: try --dtype float32"
            )
        # argmax gives the first of equals
        prediction = int(np.argmax(loglik.astype(np.float64) / self._divisors(pair.example, encoded)))
        return Cell(
            prompt_id=pair.prompt.id,
            example_id=pair.example.id,
            gold=pair.example.gold,
            prediction=prediction,
            text="",
            correct=prediction == pair.example.gold,
            loglik=tuple(loglik.tolist()),
            prompt_tokens=encoded[0].answer_start,
        )

    def _divisors(self, example: Example, encoded: Sequence[Encoding]) -> NDArray[np.float64]:
        if self.normalize == "tokens":
            return np.array([len(e.input_ids) - e.answer_start for e in encoded], dtype=np.float64)
        if self.normalize == "bytes":
            return np.array([len(text.encode()) for text in self.candidates(example)], dtype=np.float64)
        return np.ones(len(encoded))


class GenerateScorer(Scorer):
    """``generate``: greedy decoding, and the task's own reading of the text.

    Args:
        longest_answer: tokens of the longest gold answer of a free task; None where there is none.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        options: Options,
        longest_answer: int | None = None,
    ) -> None:
        super().__init__(model, tokenizer, task, options)
        if task.type != "free":
            longest_answer = longest(self.tokenizer, task.answers)
        room = FREE_TOKENS if longest_answer is None else longest_answer + SPARE_TOKENS
        self.max_new_tokens = options.max_new_tokens or room
        self.end_ids = _end_ids(model, self.encoder)

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        doubtful = [p for p in pairs if may_be_long(self.encoder, p, self.max_new_tokens)]
        ids = encode_prompts(self.encoder, doubtful)
        return [
            TooLong(p, self.encoder.max_length) for p, row in zip(doubtful, ids, strict=True) if not self._fits(row)
        ]

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        prompts = encode_prompts(self.encoder, pairs)
        for pair, ids in zip(pairs, prompts, strict=True):
            if not ids:
                raise empty_prompt(pair)
            if not self._fits(ids):
                raise TooLong(pair, self.encoder.max_length).error()
        lengths = [len(ids) + self.max_new_tokens for ids in prompts]
        for batch in batches(pairs, lengths, lengths, self.batch_tokens, self.max_rows):
            rows = [prompts[i] for i in batch]
            examples = [pairs[i].example for i in batch]
            made = self._run(partial(self._greedy, rows, examples))
            yield [self._cell(pairs[i], len(prompts[i]), text) for i, text in zip(batch, made, strict=True)]

    def _fits(self, ids: Sequence[int]) -> bool:
        return len(ids) + self.max_new_tokens <= self.encoder.max_length

    def _greedy(self, rows: Sequence[Sequence[int]], examples: Sequence[Example]) -> list[Generated]:
        def satisfied(row: int, text: str) -> bool:
            return self._complete(examples[row], text)

        return greedy(self.forward, self.tokenizer, rows, self.end_ids, self.max_new_tokens, satisfied)

    def _complete(self, example: Example, text: str) -> bool:
        """Whether the lines written so far hold the whole answer; a free answer that is not known has no last line."""
        if self.task.type != "free":
            return self.task.parse(text) >= 0
        return bool(example.answer) and text.lstrip().count("\n") > example.answer.strip().count("\n")

    def _cell(self, pair: Pair, prompt_tokens: int, made: Generated) -> Cell:
        prediction, correct = self.task.judge(pair.example, made.text)
        return Cell(
            prompt_id=pair.prompt.id,
            example_id=pair.example.id,
            gold=pair.example.gold,
            prediction=prediction,
            text=made.text,
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
    answers = [e.answer for e in examples if e.answer] if task.type == "free" else []
    return GenerateScorer(model, tokenizer, task, options, longest(tokenizer, answers) if answers else None)


def longest(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str]) -> int:
    """Tokens of the longest answer."""
    rows = tokenizer([f" {a}" for a in answers], add_special_tokens=False, verbose=False)["input_ids"]
    return max(map(len, rows))


def _queries(pair: Pair, encoded: Sequence[Encoding]) -> list[tuple[Query, list[int]]]:
    """A query per distinct context, with the places of its candidates.

    There is more than one context only where a tokenizer's merges reach back over the boundary.
    """
    places: dict[tuple[int, ...], list[int]] = {}
    for place, e in enumerate(encoded):
        places.setdefault(tuple(e.input_ids[: e.answer_start]), []).append(place)
    if () in places:
        raise empty_prompt(pair)
    answers = [e.input_ids[e.answer_start :] for e in encoded]
    return [(Query(context, [answers[p] for p in where]), where) for context, where in places.items()]


def _placed(parts: Sequence[tuple[Query, list[int]]], values: Iterator[list[float]]) -> NDArray[np.float32]:
    """The values of a pair's queries, in the order of its candidates."""
    loglik = np.zeros(sum(len(places) for _, places in parts), dtype=np.float32)
    for _, places in parts:
        loglik[places] = next(values)
    return loglik


def _end_ids(model: PreTrainedModel, encoder: Encoder) -> frozenset[int]:
    """The encoder's end token, the tokenizer's, and those the model's generation settings name."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    named = named if isinstance(named, list | tuple) else [named]
    return frozenset(int(i) for i in (encoder.end_id, encoder.tokenizer.eos_token_id, *named) if i is not None)
