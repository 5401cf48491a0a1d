"""Prompt sets: ordered prompts with distinct ids, read from and written to JSON lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paft.errors import DataError, InputError, TemplateError
from paft.files import read_jsonl, write_jsonl
from paft.prompts.prompt import Prompt

if TYPE_CHECKING:
    from paft.prompts.check import CheckReport
    from paft.prompts.split import SplitResult
    from paft.tasks.base import Task


class PromptSet:
    """An ordered list of prompts for one task.

    Raises:
        InputError: no prompts, or a repeated id.
    """

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._prompts = tuple(prompts)
        if not self._prompts:
            raise InputError("a prompt set needs at least one prompt, found none")
        self._by_id: dict[str, Prompt] = {}
        for prompt in self._prompts:
            if prompt.id in self._by_id:
                same = " with the same text" if self._by_id[prompt.id].text == prompt.text else ""
                raise InputError(f"prompt id {prompt.id!r} is used by two prompts{same}; ids must be distinct")
            self._by_id[prompt.id] = prompt

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PromptSet:
        """Read a set from JSON lines with ``id, text, source, split, group``; only ``text`` is needed.

        Raises:
            MissingFileError: no such file.
            DataError: no prompts, a line that is not such an object, or a repeated id; names file and line.
            TemplateError: a template that cannot be parsed; names file and line.
        """
        prompts: list[Prompt] = []
        lines: dict[str, int] = {}
        for line, row in read_jsonl(path):
            try:
                prompt = Prompt.from_row(row)
            except TemplateError as bad:
                raise TemplateError(f"{path}, line {line}: {bad}", bad.position, bad.code) from None
            except DataError as bad:
                raise DataError(f"{path}, line {line}: {bad}") from None
            if prompt.id in lines:
                raise DataError(
                    f"{path}, line {line}: id {prompt.id!r} already stands in line {lines[prompt.id]}; "
                    "ids must be distinct (paft prompts import drops exact duplicates)"
                )
            lines[prompt.id] = line
            prompts.append(prompt)
        if not prompts:
            raise DataError(f"{path}: no prompts in it; expected one JSON object with a 'text' per line")
        return cls(prompts)

    @classmethod
    def from_texts(
        cls, texts: Iterable[str | list[dict[str, str]]], source: Mapping[str, Any] | None = None
    ) -> PromptSet:
        """A set from template texts or lists of messages, all with the same ``source``."""
        return cls(Prompt.from_text(text, source) for text in texts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set as JSON lines, whole or not at all."""
        write_jsonl(path, (prompt.to_row() for prompt in self))

    @property
    def ids(self) -> list[str]:
        """The ids, in the order of the set."""
        return list(self._by_id)

    def check(self, task: Task, threshold: float = 0.9) -> CheckReport:
        """What is wrong, or looks wrong, with these prompts for ``task``; see ``paft.prompts.check``."""
        from paft.prompts.check import check

        return check(self, task, threshold)

    def split(
        self,
        test: int | None = None,
        ratio: Sequence[float] | str | None = None,
        seed: int = 0,
        threshold: float = 0.9,
        stratify: str | None = None,
    ) -> SplitResult:
        """Part into train and test prompts without near-copies across; see ``paft.prompts.split``.

        ``train, test = prompts.split(test=50, seed=0)``. Give ``test`` (a number of prompts) or ``ratio``
        (train to test, ``(8, 1)`` or ``"8:1"``). ``stratify="source"`` gives each side every source in proportion.
        """
        from paft.prompts.split import split

        return split(self, test=test, ratio=ratio, seed=seed, threshold=threshold, stratify=stratify)

    def __len__(self) -> int:
        return len(self._prompts)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self._prompts)

    def __contains__(self, id: object) -> bool:
        return id in self._by_id

    def __getitem__(self, id: str) -> Prompt:
        try:
            return self._by_id[id]
        except KeyError:
            some = ", ".join(self.ids[:3])
            raise InputError(f"no prompt with id {id!r} among the {len(self)} of this set, such as {some}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PromptSet) and self._prompts == other._prompts

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PromptSet({len(self)} prompts)"
