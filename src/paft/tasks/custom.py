"""A task of a user's own, from a task YAML or the same settings in Python."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from paft.errors import DataError, InputError
from paft.tasks.base import LETTERS, SPLITS, Example, Task
from paft.tasks.benchmark import Reader
from paft.tasks.meaning import WAYS, meant
from paft.tasks.rows import Row, cell, read_rows, shorten
from paft.tasks.sampling import pick
from paft.tasks.sources import FileSource, Source, find_data, find_splits, nothing_fits, only, split_of
from paft.tasks.spec import Division, Spec, parse_spec
from paft.tasks.spool import keep
from paft.yamlfile import as_document, read_yaml


def task_from_yaml(path: str | Path, data: str | Path | None = None) -> Task:
    """The task of a task YAML.

    Args:
        path: the YAML; its files are relative to its folder.
        data: another folder for the files; or one file, which is the split that the YAML or its name states,
            and else whichever split is asked for; or a hub id.

    Raises:
        MissingFileError: the YAML is not there. A file that it names is looked for when its split is read.
        DataError: a key or value that does not fit.
    """
    return task_from_spec(parse_spec(read_yaml(path)), Path(path).parent, data)


def task_from_files(settings: Mapping[str, Any], name: str = "Task.from_jsonl") -> Task:
    """The task of settings with the keys of a task YAML; files are relative to the working folder."""
    return task_from_spec(parse_spec(as_document(settings, name)), Path(), None)


def task_from_spec(spec: Spec, folder: Path, data: str | Path | None = None) -> Task:
    """The task of a checked ``spec`` whose files are relative to ``folder``; ``data`` as in ``task_from_yaml``."""
    source = _source(spec, folder, data)
    return Task(
        name=spec.name,
        type=spec.type,
        slots={slot: spec.notes.get(slot, f"the text of column {column!r}") for slot, column in spec.slots.items()},
        answers=spec.answers,
        choices=spec.choices,
        match=spec.match,
        top_threshold=spec.top_threshold,
        user_prompt=spec.user_prompt,
        description=spec.description,
        source=source.description if source else "",
        read=_reader(spec, source) if source else None,
        read_questions=partial(_read_questions, spec),
    )


def _reader(spec: Spec, source: Source) -> Reader:
    if spec.division:
        return Reader(_Divided(spec, source, spec.division))
    return Reader(partial(_read, spec, source))


def _source(spec: Spec, folder: Path, data: str | Path | None) -> Source | None:
    place = find_data(data) if data is not None else folder
    if not isinstance(place, Path):
        return place
    if place.is_file():
        names = [split for split, name in spec.files.items() if Path(name).name == place.name]
        split = "train" if spec.division else names[0] if names else split_of(place.stem)
        return FileSource(place, dict.fromkeys([split] if split else SPLITS, (place,)), spec.how)
    if not spec.files:
        if data is None:
            return None
        groups = find_splits(place)
        if not groups:
            raise nothing_fits(spec.name, place, "files such as train.jsonl or data/train-00000-of-00001.parquet")
        return FileSource(place, only(groups, place), spec.how)
    files = {split: (place / name,) for split, name in spec.files.items()}
    named = {split: spec.document.where("files", split) for split in files}
    return FileSource(place, files, spec.how, named=named)


def _slots(spec: Spec, where: str, row: Mapping[str, Any]) -> dict[str, str]:
    """The text of every slot. An option that is null or empty is one that the row does not have."""
    missing = {slot for slot in spec.choices if row.get(spec.slots[slot], "") is None}
    slots = {s: "" if s in missing else cell(where, row, column) for s, column in spec.slots.items()}
    there = [slot for slot in spec.choices if slots[slot].strip()]
    if spec.choices and len(there) < 2:
        columns = ", ".join(spec.slots[slot] for slot in spec.choices)
        raise DataError(f"{where}: expected at least two options in the columns {columns}; found {len(there)}")
    return slots


def _example(spec: Spec, where: str, row: Mapping[str, Any], example_id: str) -> Example:
    slots = _slots(spec, where, row)
    options = tuple(slots[slot] for slot in spec.choices)
    stored = cell(where, row, spec.answer)
    if spec.type == "free":
        if not stored.strip():
            raise DataError(f"{where}: column {spec.answer!r} is empty; expected the answer")
        return Example(example_id, slots, stored)
    stored = stored.strip()
    gold = _letter(spec, where, stored, options) if spec.type == "choice" else _label(spec, where, stored)
    if options and not options[gold].strip():
        there = ", ".join(letter for letter, option in zip(spec.answers, options, strict=True) if option.strip())
        raise DataError(
            f"{where}: the answer in column {spec.answer!r}, {shorten(stored)}, is an option that this row does not "
            f"have; expected one of {there}, since column {spec.slots[spec.choices[gold]]!r} is empty"
        )
    return Example(example_id, slots, spec.answers[gold], gold, options)


def _label(spec: Spec, where: str, stored: str) -> int:
    if stored not in spec.stored:
        raise DataError(
            f"{where}: {shorten(stored)} in column {spec.answer!r} is not among the labels; "
            f"expected one of {', '.join(spec.stored)}, or add it to `labels`"
        )
    return spec.stored[stored]


def _letter(spec: Spec, where: str, stored: str, options: tuple[str, ...]) -> int:
    """The option a stored answer means: by ``labels`` where given, else by the ways the task allows."""
    if spec.stored:
        return _label(spec, where, stored)
    found = meant(stored, spec.ways, options, [(slot, spec.slots[slot]) for slot in spec.choices])
    if len(found) == 1:
        return found.pop()
    if found:
        raise DataError(
            f"{where}: {shorten(stored)} in column {spec.answer!r} could mean {len(found)} of the options; "
            f"say which with `answer_is` ({', '.join(WAYS)}) or `labels: {{stored value: letter}}`"
        )
    expected = {
        "letter": ", ".join(LETTERS[: len(options)]),
        "column": ", ".join(spec.choices),
        "text": "an option's text",
        "index0": f"0 to {len(options) - 1}",
        "index1": f"1 to {len(options)}",
    }
    raise DataError(
        f"{where}: {shorten(stored)} in column {spec.answer!r} is none of the options; expected one of "
        + ", ".join(expected[way] for way in ("letter", "column", "text", "index0", "index1") if way in spec.ways)
        + ", or say what it means with `answer_is` or `labels: {stored value: letter}`"
    )


def _identified(spec: Spec, source: Source, split: str, prefix: str) -> Iterator[Example]:
    """Examples with the ids of the id column, which must not repeat, or ``prefix:row``."""
    met = array("q")
    for number, (where, row) in enumerate(source.rows(split)):
        if spec.id is None:
            example_id = f"{prefix}:{number}"
        else:
            example_id = _own_id(where, row, spec.id)
            met.append(hash(example_id))
        yield _example(spec, where, row, example_id)
    values, counts = np.unique(np.array(met, np.int64), return_counts=True)
    twice = set(values[counts > 1].tolist())
    if twice and spec.id is not None:
        _refuse_repeated(spec.id, source.rows(split), twice)


def _own_id(where: str, row: Mapping[str, Any], column: str) -> str:
    example_id = cell(where, row, column).strip()
    if not example_id:
        raise DataError(f"{where}: column {column!r} is empty; expected an id")
    return example_id


def _refuse_repeated(column: str, rows: Iterable[Row], hashes: Container[int]) -> None:
    """Name the first id that repeats among those with these hashes: memory holds no other id of a large file."""
    seen: dict[str, str] = {}
    for where, row in rows:
        example_id = _own_id(where, row, column)
        if hash(example_id) in hashes:
            if example_id in seen:
                raise DataError(f"{where}: the id {example_id!r} was used at {seen[example_id]}; ids must be unique")
            seen[example_id] = where


def _read(spec: Spec, source: Source, split: str) -> Iterable[Example]:
    return _identified(spec, source, split, split)


@dataclass
class _Divided:
    """One file parted into splits.

    Rows are ranked by a hash of the seed and their slots' texts, and each split takes its share from the top.
    So rows that read alike land in one split, and every share that is asked for gets at least one row
    where there are enough. Ids keep the row of the file, ``train:row``.
    """

    spec: Spec
    source: Source
    division: Division
    parts: dict[str, Sequence[Example]] = field(default_factory=dict)

    def __call__(self, split: str) -> Iterable[Example]:
        if split != "train" and split not in self.division.shares:
            return _read(self.spec, self.source, split)
        if not self.parts:
            self.parts = self._divide()
        return self.parts[split]

    def _divide(self) -> dict[str, Sequence[Example]]:
        examples = keep(_identified(self.spec, self.source, "train", "train"))
        if not examples:
            return dict.fromkeys(("train", *self.division.shares), ())
        digests = np.frombuffer(b"".join(map(self._digest, examples)), dtype=">u8").reshape(-1, 2)
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        alike = (digests[order][1:] == digests[order][:-1]).all(axis=1)
        begins = np.concatenate([[True], ~alike])  # where rows that read alike begin
        owner = np.zeros(len(examples), np.int8)
        end = len(order)
        for number, share in enumerate(self.division.shares.values(), start=1):
            taken, wanted = 0, max(1, round(share * len(examples)))
            while taken < wanted and begins[1:end].any():
                begin = end - 1 - int(begins[:end][::-1].argmax())
                owner[order[begin:end]] = number
                taken, end = taken + end - begin, begin
        return {
            split: pick(examples, np.flatnonzero(owner == number))
            for number, split in enumerate(("train", *self.division.shares))
        }

    def _digest(self, example: Example) -> bytes:
        text = "\0".join([str(self.division.seed), *example.slots.values()])
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "parts": {}}


def _read_questions(spec: Spec, path: str | Path) -> list[Example]:
    examples, seen = [], set()
    for number, (where, row) in enumerate(read_rows(Path(path), spec.how)):
        example_id = cell(where, row, spec.id).strip() if spec.id is not None and spec.id in row else f"row:{number}"
        if example_id in seen:
            raise DataError(f"{where}: the id {example_id!r} stands twice; ids must be unique")
        seen.add(example_id)
        slots = _slots(spec, where, row)
        examples.append(Example(example_id, slots, "", -1, tuple(slots[slot] for slot in spec.choices)))
    if not examples:
        raise InputError(f"{path} holds no rows")
    return examples
