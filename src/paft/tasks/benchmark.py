"""What the multiple-choice benchmarks share: rows of a source become examples with lettered answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from paft.errors import DataError
from paft.tasks.base import LETTERS, Example
from paft.tasks.rows import Format, read_rows
from paft.tasks.sources import Source
from paft.tasks.spool import keep

Asked = tuple[dict[str, str], tuple[str, ...]]
Ask = Callable[[str, Mapping[str, Any]], Asked]
Gold = Callable[[str, Mapping[str, Any]], int]


@dataclass
class Reader:
    """``split -> examples``, read once and kept. Pickles without what it has read, for loader workers."""

    function: Callable[[str], Iterable[Example]]
    kept: dict[str, Sequence[Example]] = field(default_factory=dict, repr=False)

    def __call__(self, split: str) -> Sequence[Example]:
        if split not in self.kept:
            self.kept[split] = keep(self.function(split))
        return self.kept[split]

    def __getstate__(self) -> dict[str, Any]:
        return {"function": self.function, "kept": {}}


def lettered(example_id: str, asked: Asked, gold: int) -> Example:
    """An example whose answer is the letter of option ``gold``; -1 leaves the answer empty."""
    slots, options = asked
    return Example(example_id, slots, LETTERS[gold] if gold >= 0 else "", gold, options)


def _read(source: Source, ask: Ask, gold: Gold, split: str) -> Iterable[Example]:
    for row_number, (where, row) in enumerate(source.rows(split)):
        yield lettered(f"{split}:{row_number}", ask(where, row), gold(where, row))


def _read_questions(ask: Ask, path: str | Path) -> list[Example]:
    rows = read_rows(Path(path), Format())
    return [lettered(f"row:{number}", ask(where, row), -1) for number, (where, row) in enumerate(rows)]


def reader(source: Source, ask: Ask, gold: Gold) -> Reader:
    """Examples with ids ``split:row``, rows counted from 0 in file order."""
    return Reader(partial(_read, source, ask, gold))


def question_reader(ask: Ask) -> Callable[[str | Path], Sequence[Example]]:
    """Examples of a file whose answers are not known; ids ``row:N``."""
    return partial(_read_questions, ask)


def gold_index(where: str, row: Mapping[str, Any], key: str, stored: Sequence[str], benchmark: str) -> int:
    """The place of ``row[key]``, as text, among ``stored``.

    Raises:
        DataError: the answer is absent (as in test files whose answers are kept back) or none of ``stored``.
    """
    value = row.get(key)
    text = "" if value is None else str(value).strip()
    if text in ("", "-1"):
        raise DataError(
            f"{where}: no answer under {key!r}; {benchmark} keeps its test answers back, "
            "so use --split validation, or add the answers"
        )
    if text not in stored:
        raise DataError(f"{where}: {key} is {text!r}; expected one of {', '.join(stored)}")
    return stored.index(text)
