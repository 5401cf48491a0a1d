"""RACE: questions on an article, with four options each, from English exams (Lai et al., 2017).

Official files: ``RACE/{train,dev,test}/{middle,high}/*.txt``, one JSON article a file, read in order of their
numbers. Hub rows: example_id, article, question, options, answer. ``race`` takes both levels,
``race-middle`` and ``race-high`` one. Ids are the article's and the question's place in it, ``middle7351.txt:0``,
the same from either source. The options stay in file order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from paft.errors import DataError, InputError
from paft.files import read_json
from paft.tasks.base import SPLITS, Example, Task
from paft.tasks.benchmark import Asked, Reader, gold_index, lettered, question_reader
from paft.tasks.rows import Row, cell, cells
from paft.tasks.sources import (
    FileSource,
    HubSource,
    Source,
    find_data,
    find_splits,
    no_split,
    nothing_fits,
    one_file,
    only,
)

LEVELS = ("middle", "high")
FOLDERS = {"train": "train", "validation": "dev", "test": "test"}
LAYOUT = "RACE/{train,dev,test}/{middle,high}/*.txt, or parquet as all/train-00000-of-00001.parquet"
PROMPT = """Read the article and answer the question about it.

Article: {article}

Question: {question}
A. {A}
B. {B}
C. {C}
D. {D}

Reply with one letter.
Answer:"""


@dataclass(frozen=True)
class Articles:
    """The official folders, seen as rows with the hub's columns; ``where`` counts questions from 1."""

    root: Path
    levels: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self._present(split))

    @property
    def description(self) -> str:
        held = (f"{split}: {' and '.join(self._present(split))}" for split in self.splits)
        return f"{self.root} ({', '.join(held)})"

    def _present(self, split: str) -> list[str]:
        return [level for level in self.levels if (self.root / FOLDERS[split] / level).is_dir()]

    def rows(self, split: str) -> Iterator[Row]:
        levels = self._present(split)
        if not levels:
            raise no_split(split, self.description, self.splits)
        for level in levels:
            folder = self.root / FOLDERS[split] / level
            for path in sorted(folder.glob("*.txt"), key=lambda path: (len(path.stem), path.stem)):
                yield from _article(path, f"{level}{path.name}")


def _article(path: Path, article_id: str) -> Iterator[Row]:
    article = read_json(path)
    if not isinstance(article, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(article).__name__}")
    missing = [key for key in ("article", "questions", "options", "answers") if key not in article]
    if missing:
        raise DataError(f"{path}: no key {', '.join(missing)}; found {', '.join(article) or 'none'}")
    lists = [article[key] for key in ("questions", "options", "answers")]
    counts = [len(each) if isinstance(each, list) else -1 for each in lists]
    if len(set(counts)) > 1 or counts[0] < 0:
        raise DataError(f"{path}: expected lists of as many questions, options and answers, found {counts}")
    rows = zip(article["questions"], article["options"], article["answers"], strict=True)
    for number, (question, options, answer) in enumerate(rows, start=1):
        row = {"article": article["article"], "question": question, "options": options, "answer": answer}
        yield f"{path}, question {number}", {"example_id": article_id, **row}


def ask(where: str, row: Mapping[str, Any]) -> Asked:
    options = cells(where, row, "options", 4)
    slots = {slot: cell(where, row, slot) for slot in ("article", "question")}
    return {**slots, **dict(zip("ABCD", options, strict=True))}, options


def gold(where: str, row: Mapping[str, Any]) -> int:
    return gold_index(where, row, "answer", ("A", "B", "C", "D"), "RACE")


def _level(where: str, article_id: str) -> str:
    for level in LEVELS:
        if article_id.startswith(level):
            return level
    raise DataError(f"{where}: example_id is {article_id!r}; expected it to begin with middle or high")


def _read(source: Source, levels: tuple[str, ...], split: str) -> Iterable[Example]:
    asked: Counter[str] = Counter()
    for where, row in source.rows(split):
        article_id = cell(where, row, "example_id")
        if _level(where, article_id) in levels:
            yield lettered(f"{article_id}:{asked[article_id]}", ask(where, row), gold(where, row))
            asked[article_id] += 1


def _source(name: str, path: Path, levels: tuple[str, ...]) -> Source:
    if path.is_file():
        return one_file(path)
    for root in (path, path / "RACE"):
        if any((root / folder / level).is_dir() for folder in FOLDERS.values() for level in LEVELS):
            articles = Articles(root, levels)
            if not articles.splits:
                raise InputError(f"task {name!r}: {root} holds no articles of level {levels[0]}; use another task")
            return articles
    groups = find_splits(path, ["all"]) or _by_level(path, levels)
    if not groups:
        raise nothing_fits(name, path, LAYOUT)
    files = only(groups, path)
    used = sorted({shard.parent.name for shards in files.values() for shard in shards if shard.parent != path})
    return FileSource(path, files, note=" and ".join(used))


def _by_level(path: Path, levels: Sequence[str]) -> dict[str, list[tuple[Path, ...]]]:
    """Hub folders ``middle`` and ``high``, their files joined for each split."""
    joined: dict[str, list[tuple[Path, ...]]] = {}
    for level in levels:
        if (path / level).is_dir():
            for split, files in only(find_splits(path / level), path).items():
                joined[split] = [(*joined.get(split, [()])[0], *files)]
    return joined


def _race(name: str, levels: tuple[str, ...], data: str | Path | None) -> Task:
    found = find_data(data, config=levels[0] if len(levels) == 1 else "all") if data is not None else None
    source = found if found is None or isinstance(found, HubSource) else _source(name, found, levels)
    return Task(
        name=name,
        type="choice",
        slots={"article": "the article", "question": "a question on it"} | {each: f"option {each}" for each in "ABCD"},
        answers=("A", "B", "C", "D"),
        choices=("A", "B", "C", "D"),
        user_prompt=PROMPT,
        description="Reading comprehension: of four options, choose the one that answers a question on an article.",
        source=source.description if source else "",
        read=Reader(partial(_read, source, levels)) if source else None,
        read_questions=question_reader(ask),
    )


def race(data: str | Path | None = None) -> Task:
    """Both levels; ``data`` is the RACE folder, one of hub rows, a file or a hub id (``ehovy/race``)."""
    return _race("race", LEVELS, data)


def race_middle(data: str | Path | None = None) -> Task:
    """The middle-school articles only."""
    return _race("race-middle", ("middle",), data)


def race_high(data: str | Path | None = None) -> Task:
    """The high-school articles only."""
    return _race("race-high", ("high",), data)
