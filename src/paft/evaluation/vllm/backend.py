"""A model that vLLM runs: from (prompt, example) pairs to cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paft.evaluation.answers.queries import Asked
from paft.evaluation.answers.reader import AnswerReader, refuse_not_finite
from paft.evaluation.answers.written import Generated, generated, line_done
from paft.evaluation.backend import Backend
from paft.evaluation.cells import Cell
from paft.evaluation.pairs import Ids, Pair, Row, Rows, TooLong
from paft.evaluation.vllm.engine import Engine
from paft.tasks.base import Example

CALL = 4096  # rows of one call: enough to keep GPUs busy, few enough that finished cells are soon on disk
LINE_ROUNDS = 3  # times that rows are stopped at a line break to see whether they are done
LINE_MARKS = ("\n", "Ċ", "<0x0A>")  # a line break in the vocabularies of byte-level and SentencePiece tokenizers


class VllmBackend(Backend):
    """Answers by the likelihood of candidates, or by what the model writes.

    Rows that are written stop at line breaks, where it is seen here whether they are done, and those that are not go
    on. What is written beyond the end of an answer is cut off, so that the text is the same however they were stopped.

    Args:
        identity, record: as ``Backend`` has them.
        end_ids: what ends a generated answer; None where candidates are compared.
    """

    def __init__(
        self,
        engine: Engine,
        rows: Rows,
        reader: AnswerReader,
        identity: dict[str, Any],
        record: dict[str, Any],
        end_ids: frozenset[int] | None,
    ) -> None:
        self.engine, self.rows, self.reader, self.encoder = engine, rows, reader, rows.encoder
        self.scoring = reader.candidates.scoring
        self._identity, self._record = identity, record
        self.generates, self.end_ids = end_ids is not None, end_ids or frozenset()
        self.stop_ids = self.end_ids
        if self.generates:
            vocabulary = self.encoder.tokenizer.get_vocab()
            breaks = (i for piece, i in vocabulary.items() if any(mark in piece for mark in LINE_MARKS))
            self.stop_ids = self.end_ids.union(breaks)

    def identity(self) -> dict[str, Any]:
        return self._identity

    def record(self) -> dict[str, Any]:
        return self._record

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]:
        return self.rows.too_long(pairs)

    def cells(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        return self._written(pairs) if self.generates else self._likeliest(pairs)

    def _likeliest(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        tokens = self.rows.scored(pairs)
        asked = Asked.of(tokens)
        order = in_order([query.context for query in asked.queries])
        for members in portions(order, [len({ids[:-1] for ids in asked.queries[i].candidates}) for i in order]):
            values = self.engine.log_likelihoods([asked.queries[i] for i in members])
            cells = []
            for i, loglik in asked.answered(members, values):
                refuse_not_finite(pairs[i], loglik)
                t = tokens[i]
                cells.append(self.reader.likeliest(pairs[i], loglik, list(map(len, t.candidates)), len(t.contexts[0])))
            yield cells

    def _written(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        prompts = self.rows.prompts(pairs)
        order = in_order(prompts)
        for members in portions(order, [1] * len(order)):
            made = self._write([prompts[i] for i in members], [pairs[i] for i in members])
            yield [
                self.reader.written(pairs[i], self.rows.opening(pairs[i]) + text.text, len(prompts[i]), text.tokens)
                for i, text in zip(members, made, strict=True)
            ]

    def _complete(self, pair: Pair, text: str) -> bool:
        return self.reader.complete(pair, self.rows.opening(pair) + text)

    def _write(self, prompts: Sequence[Ids], asked: Sequence[Pair]) -> list[Generated]:
        out: list[list[int]] = [[] for _ in prompts]
        open_ = list(range(len(prompts)))
        rounds = 0
        while open_:
            ends = [self._stops(asked[i].example, rounds) for i in open_]
            room = [self.rows.new_tokens - len(out[i]) for i in open_]
            made = self.engine.write([[*prompts[i].tolist(), *out[i]] for i in open_], room, ends)
            pieces = zip(open_, made, strict=True)
            open_ = [i for i, ids in pieces if not self._take(asked[i], out[i], ids)]
            rounds += 1
        return [generated(self.encoder.tokenizer, ids) for ids in out]

    def _stops(self, example: Example, rounds: int) -> frozenset[int]:
        """Where a row stops; one that no line break can end runs on."""
        may_end = self.reader.task.type != "free" or bool(example.answer)
        return self.stop_ids if may_end and rounds < LINE_ROUNDS else self.end_ids

    def _take(self, pair: Pair, out: list[int], ids: Sequence[int]) -> bool:
        """Append tokens up to the end of the row; whether it has come to it."""
        for token in ids:
            out.append(token)
            if token in self.end_ids or len(out) == self.rows.new_tokens:
                return True
            if line_done(self.encoder.tokenizer, out, 0, lambda _, text: self._complete(pair, text)):
                return True
        return False


def in_order(rows: Sequence[Row]) -> list[int]:
    """Rows in dictionary order: those that begin alike stand together, which is what a prefix cache wants."""
    return sorted(range(len(rows)), key=[np.asarray(row, dtype=">u4").tobytes() for row in rows].__getitem__)


def portions(order: Sequence[int], requests: Sequence[int], size: int = CALL) -> Iterator[list[int]]:
    """``order`` in parts of about ``size`` requests."""
    part: list[int] = []
    total = 0
    for i, count in zip(order, requests, strict=True):
        if part and total + count > size:
            yield part
            part, total = [], 0
        part.append(i)
        total += count
    if part:
        yield part
