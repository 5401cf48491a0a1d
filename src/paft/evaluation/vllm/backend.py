"""From (prompt, example) pairs to cells with vLLM: what the scorers of this process do, but for the forward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from paft.evaluation.candidates import Candidates
from paft.evaluation.cells import Cell
from paft.evaluation.local.backend import CandidateScorer, GenerateScorer
from paft.evaluation.local.decoding import Generated, generated, line_done
from paft.evaluation.local.forward import Row
from paft.evaluation.local.planning import Ids
from paft.evaluation.options import Options
from paft.evaluation.pairs import Pair
from paft.evaluation.queries import Asked
from paft.evaluation.vllm.engine import Engine
from paft.models import Encoder
from paft.tasks.base import Example, Task

CALL = 4096  # rows of one call: enough to keep GPUs busy, few enough that finished cells are soon on disk
LINE_ROUNDS = 3  # times that rows are stopped at a line break to see whether they are done
LINE_MARKS = ("\n", "Ċ", "<0x0A>")  # a line break in the vocabularies of byte-level and SentencePiece tokenizers


class VllmCandidates(CandidateScorer):
    """``likelihood`` and ``continuation`` with vLLM."""

    def __init__(
        self, engine: Engine, encoder: Encoder, tokenizer: PreTrainedTokenizerBase, task: Task, options: Options
    ) -> None:
        # the parent's own set-up is about a model in this process
        self.engine, self.encoder, self.tokenizer, self.task = engine, encoder, tokenizer, task
        self.scoring, self.normalize = options.scoring_of(task), options.normalize
        self.candidates = Candidates(task, self.scoring, encoder)

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        tokens = self.encoded(pairs)
        asked = Asked.of(tokens)
        order = in_order([query.context for query in asked.queries])
        for members in portions(order, [len({ids[:-1] for ids in asked.queries[i].candidates}) for i in order]):
            values = self.engine.log_likelihoods([asked.queries[i] for i in members])
            yield [self._cell(pairs[i], tokens[i], loglik) for i, loglik in asked.answered(members, values)]


class VllmGenerate(GenerateScorer):
    """``generate`` with vLLM.

    Rows stop at line breaks, where it is seen here whether they are done, and those that are not go on. What is
    written beyond the end of an answer is cut off, so that the text is the same however they were stopped.
    """

    def __init__(
        self,
        engine: Engine,
        encoder: Encoder,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        options: Options,
        room: int,
        end_ids: frozenset[int],
    ) -> None:
        self.engine, self.encoder, self.tokenizer, self.task = engine, encoder, tokenizer, task
        self.scoring, self.normalize = options.scoring_of(task), options.normalize
        self.max_new_tokens, self.end_ids = room, end_ids
        breaks = (i for piece, i in tokenizer.get_vocab().items() if any(mark in piece for mark in LINE_MARKS))
        self.stop_ids = end_ids.union(breaks)

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        prompts = self.encoded(pairs)
        order = in_order(prompts)
        for members in portions(order, [1] * len(order)):
            made = self._write([prompts[i] for i in members], [pairs[i] for i in members])
            yield [self._cell(pairs[i], len(prompts[i]), text) for i, text in zip(members, made, strict=True)]

    def _write(self, prompts: Sequence[Ids], asked: Sequence[Pair]) -> list[Generated]:
        out: list[list[int]] = [[] for _ in prompts]
        open_ = list(range(len(prompts)))
        rounds = 0
        while open_:
            ends = [self._stops(asked[i].example, rounds) for i in open_]
            room = [self.max_new_tokens - len(out[i]) for i in open_]
            made = self.engine.write([[*prompts[i].tolist(), *out[i]] for i in open_], room, ends)
            pieces = zip(open_, made, strict=True)
            open_ = [i for i, ids in pieces if not self._take(asked[i], out[i], ids)]
            rounds += 1
        return [generated(self.tokenizer, ids) for ids in out]

    def _stops(self, example: Example, rounds: int) -> frozenset[int]:
        """Where a row stops; one that no line break can end runs on."""
        may_end = self.task.type != "free" or bool(example.answer)
        return self.stop_ids if may_end and rounds < LINE_ROUNDS else self.end_ids

    def _take(self, pair: Pair, out: list[int], ids: Sequence[int]) -> bool:
        """Append tokens up to the end of the row; whether it has come to it."""
        for token in ids:
            out.append(token)
            if token in self.end_ids or len(out) == self.max_new_tokens:
                return True
            if line_done(self.tokenizer, out, 0, lambda _, text: self._complete(pair, text)):
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
