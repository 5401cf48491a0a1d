"""What selectors ask: a base model's answers on training examples, scored as a sweep scores them, each asked once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from paft.baselines.base import Scored
from paft.errors import InputError
from paft.evaluation import Backend, Cell, CellStore, Pair, bar, examples_digest
from paft.prompts import Prompt
from paft.prompts.prompt import default_id
from paft.tasks.base import Example

CHUNK = 1024  # pairs that are asked together
Key = tuple[str, str]


class ModelScore:
    """The ``Score`` of a loaded model.

    Answers are kept by the prompt's text and the example: ``prompt_id`` of a kept cell is the digest that a prompt has
    as its id by default, and an altered example has a digest of what it holds behind its id.

    Args:
        backend: what a sweep asks.
        store: where answers are kept; those it holds already are not asked for again.
        examples: the training examples that may be asked about.
        progress: show a bar where stderr is a terminal.

    Attributes:
        queries, calls: as ``Score`` has them. An answer that the store held counts among the calls once it is asked
            for, so that a selection that was killed and goes on counts like one that was not.
    """

    def __init__(self, backend: Backend, store: CellStore, examples: Sequence[Example], progress: bool = True) -> None:
        self.examples = examples
        self.queries = 0
        self.calls = 0
        self._backend = backend
        self._store = store
        self._progress = progress
        self._asked: set[Key] = set()
        self._known = {example.id: example for example in examples}

    def __call__(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Scored:
        """Answers for every pair.

        Raises:
            InputError: two prompts or two examples of one call share an id and are not the same.
            EncodingError: a pair that cannot be encoded or is too long; names prompt and example.
            RunError: out of memory.
        """
        texts = [default_id(prompt.text) for prompt in prompts]
        rows = [self._example_key(example) for example in examples]
        _refuse_two_of_one_id("prompts", zip((p.id for p in prompts), texts, strict=True))
        _refuse_two_of_one_id("examples", zip((e.id for e in examples), rows, strict=True))
        self._ask(prompts, examples, texts, rows)
        self.queries += len(prompts)
        self._asked |= {(text, row) for text in texts for row in rows}
        self.calls = len(self._asked)
        cells_pn = [[self._store.cells[text, row] for row in rows] for text in texts]
        return Scored(
            np.array([[cell.correct for cell in row] for row in cells_pn], dtype=bool),
            np.array([[margin(cell) for cell in row] for row in cells_pn], dtype=np.float64),
        )

    def _ask(self, prompts: Sequence[Prompt], examples: Sequence[Example], texts: list[str], rows: list[str]) -> None:
        """Have the model answer what the store does not hold."""
        todo: dict[Key, Pair] = {}
        for prompt, text in zip(prompts, texts, strict=True):
            for example, row in zip(examples, rows, strict=True):
                if (text, row) not in self._store:
                    todo.setdefault((text, row), Pair(prompt, example))
        keys = {(pair.prompt.id, pair.example.id): key for key, pair in todo.items()}
        pairs = list(todo.values())
        with bar("select", len(pairs), shown=self._progress and bool(pairs)) as advance:
            for start in range(0, len(pairs), CHUNK):
                for cells in self._backend.cells(pairs[start : start + CHUNK]):
                    self._store.add(_under(keys[cell.prompt_id, cell.example_id], cell) for cell in cells)
                    advance(len(cells))

    def _example_key(self, example: Example) -> str:
        if self._known.get(example.id) == example:
            return example.id
        return f"{example.id}~{examples_digest([example])}"


def margin(cell: Cell) -> float:
    """Log-likelihood (nats) of the right answer minus that of the best wrong one; 0 where there are no two."""
    if cell.gold < 0 or len(cell.loglik) < 2:
        return 0.0
    return cell.loglik[cell.gold] - max(value for i, value in enumerate(cell.loglik) if i != cell.gold)


def _under(key: Key, cell: Cell) -> Cell:
    return replace(cell, prompt_id=key[0], example_id=key[1])


def _refuse_two_of_one_id(what: str, named: Iterable[tuple[str, str]]) -> None:
    """Refuse one id for two things: their answers could not be told apart."""
    seen: dict[str, str] = {}
    for id, key in named:
        if seen.setdefault(id, key) != key:
            raise InputError(f"two {what} of one call to the score share the id {id!r} and differ; give each its own")
