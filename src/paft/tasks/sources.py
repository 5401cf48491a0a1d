"""Where rows come from: files found in a folder, one file, or a data set of the Hugging Face hub.

A layout is found by looking. Where nothing fits, or two things fit, the error says what was expected and found.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from paft.errors import DataError, InputError, MissingFileError
from paft.files import read_text
from paft.tasks.base import SPLITS
from paft.tasks.rows import Format, Row, read_rows

_WORDS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation"}
_WORDS |= {"val": "validation", "dev": "validation", "test": "test", "tests": "test"}
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")
_FILE_ENDS = (".jsonl", ".parquet", ".csv", ".tsv", ".txt", ".json", ".yaml", ".lst")

Groups = dict[str, list[tuple[Path, ...]]]


class Source(Protocol):
    """Rows by split. ``description`` is for records; ``splits`` is None where only the hub knows."""

    @property
    def description(self) -> str: ...

    @property
    def splits(self) -> tuple[str, ...] | None: ...

    def rows(self, split: str) -> Iterator[Row]: ...


@dataclass(frozen=True)
class FileSource:
    """Files by split.

    Attributes:
        root: what the user gave: a folder or a file.
        files: split -> its files, in order.
        how: how each is read.
        label_key: where set, a file ``<stem>-labels.lst`` beside a jsonl file gives this key of its rows.
        note: what was chosen among several, for records.
        named: split -> where a task YAML names its file, for the error when it is not there.
    """

    root: Path
    files: Mapping[str, tuple[Path, ...]]
    how: Format = field(default_factory=Format)
    label_key: str | None = None
    note: str = ""
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if split in self.files)

    @property
    def description(self) -> str:
        return f"{self.root} ({self.note})" if self.note else str(self.root)

    def rows(self, split: str) -> Iterator[Row]:
        if split not in self.files:
            raise no_split(split, self.description, self.splits)
        for path in self.files[split]:
            if split in self.named and not path.is_file():
                raise MissingFileError(
                    f"{self.named[split]}: no such file: {path}; mend `files`, or give the folder with --data"
                )
            rows = read_rows(path, self.how)
            labels = path.with_name(f"{path.stem}-labels.lst")
            if self.label_key and path.suffix == ".jsonl" and labels.is_file():
                rows = with_labels(rows, path, labels, self.label_key)
            yield from rows


@dataclass(frozen=True)
class HubSource:
    """A data set of the Hugging Face hub, read through ``datasets``; remote code never runs."""

    id: str
    config: str | None = None

    @property
    def splits(self) -> None:
        return None

    @property
    def description(self) -> str:
        return f"hub:{self.id}" + (f":{self.config}" if self.config else "")

    def rows(self, split: str) -> Iterator[Row]:
        from datasets import load_dataset

        try:
            with _quiet_hub():
                loaded: Iterable[Any] = load_dataset(self.id, self.config, split=split)
        except Exception as bad:  # the hub, the network and the data set's files each fail in ways of their own
            reason = (str(bad).strip() or type(bad).__name__).split("\n")[0]
            raise InputError(
                f"{self.id!r} is no file or folder here, and the hub did not give its {split} split: {reason}\n"
                "give a local file or folder with --data, or check the id and the network"
            ) from bad
        for number, row in enumerate(loaded, start=1):
            yield f"{self.description}, {split} row {number}", dict(row)


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without the hub client's own account of every try; what came of them is in the error."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def no_split(split: str, place: str, present: Sequence[str]) -> InputError:
    """The error for a split that is not there."""
    there = f"there is {', '.join(present)}" if present else "there is none"
    return InputError(f"no {split} split in {place}; {there}: choose one with --split, or add the missing files")


def with_labels(rows: Iterator[Row], path: Path, labels: Path, key: str) -> Iterator[Row]:
    """``rows`` with ``key`` from a file of one label a line; both must be equally long and agree."""
    values = [line.strip() for line in read_text(labels).rstrip("\n").splitlines()]
    all_rows = list(rows)
    if len(all_rows) != len(values):
        raise DataError(f"{labels} holds {len(values)} labels, but {path} holds {len(all_rows)} rows; expected as many")
    for number, ((where, row), value) in enumerate(zip(all_rows, values, strict=True), start=1):
        found = row.get(key)
        if found is not None and str(found) != value:
            raise DataError(f"{where}: {key} is {found!r}, but line {number} of {labels} says {value!r}")
        yield where, {**row, key: value}


def split_of(name: str) -> str | None:
    """The split that a file's name states, as in ``train_xl``, ``hellaswag_val`` or ``dev``; None if it states none."""
    words = {_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _WORDS}
    return words.pop() if len(words) == 1 else None


def find_data(data: str | Path, config: str | None = None) -> Path | HubSource:
    """A local path that exists, or a hub id (``owner/name``, or ``owner/name:config``).

    Raises:
        MissingFileError: it looks like a path, and nothing is there.
    """
    path, text = Path(data).expanduser(), str(data)
    if path.exists():
        return path
    looks_local = isinstance(data, Path) or text.endswith(_FILE_ENDS) or text.startswith((".", "~", "/"))
    looks_local |= len(path.parts) > 1 and Path(path.parts[0]).is_dir()
    if looks_local or not _HUB_ID.fullmatch(text):
        raise MissingFileError(f"no such file or folder: {data}; give --data a hub id, a file or a folder")
    name, _, given = text.partition(":")
    return HubSource(name, given or config)


def find_splits(folder: Path, subfolders: Sequence[str] = ()) -> Groups:
    """The jsonl and parquet files below ``folder`` by the split that their names state.

    Looked at: the folder itself, ``data/``, ``default/`` and each of ``subfolders``; in each of them files
    such as ``train.jsonl`` and ``train-00000-of-00001.parquet`` and folders such as ``train/0000.parquet``.
    The shards of one split are one group; more than one group means that somebody must choose.
    """
    found: dict[str, dict[Path, list[Path]]] = {}
    for place in [folder, *(folder / name for name in ("data", "default", *subfolders))]:
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if path.name.startswith("."):
                continue
            if path.is_dir() and path.name in _WORDS:
                for shard in sorted(path.glob("*.parquet")):
                    found.setdefault(_WORDS[path.name], {}).setdefault(path, []).append(shard)
            elif path.suffix in (".jsonl", ".parquet") and (split := split_of(path.stem)):
                key = path.with_name(_SHARD.sub("", path.stem) + path.suffix)
                found.setdefault(split, {}).setdefault(key, []).append(path)
    for groups in found.values():
        for files in groups.values():
            _check_shards(files)
    return {split: [tuple(files) for files in groups.values()] for split, groups in found.items()}


def _check_shards(files: Sequence[Path]) -> None:
    marks = [match for path in files if (match := _SHARD.search(path.stem))]
    totals = {int(mark[2]) for mark in marks}
    if marks and totals != {len(files)}:
        wanted = " or ".join(map(str, sorted(totals)))
        raise DataError(f"{files[0].parent}: expected {wanted} files like {files[0].name}, found {len(files)}")


def only(groups: Groups, folder: Path) -> dict[str, tuple[Path, ...]]:
    """The one group of each split.

    Raises:
        InputError: a split that two groups claim.
    """
    for split, several in groups.items():
        if len(several) > 1:
            names = ", ".join(str(files[0].relative_to(folder)) for files in several)
            raise InputError(f"{folder}: more than one {split} split: {names}; give --data the one that is meant")
    return {split: several[0] for split, several in groups.items()}


def one_file(path: Path, label_key: str | None = None) -> FileSource:
    """A single file as the split that its name states.

    Raises:
        InputError: the name states none; the split is never guessed.
    """
    split = split_of(path.stem)
    if split is None:
        raise InputError(
            f"{path}: the name does not say which split it is; expected train, validation (valid, val, dev) "
            "or test in it, as in train.jsonl"
        )
    return FileSource(path, {split: (path,)}, label_key=label_key)


def nothing_fits(task: str, folder: Path, expected: str) -> InputError:
    """The error for a folder in which no layout fits; lists what stands there."""
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    found = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    found = found or "an empty folder"
    return InputError(f"task {task!r}: nothing fits in {folder}\nexpected {expected}\nfound {found}")


def local_source(task: str, path: Path, expected: str, label_key: str | None = None) -> FileSource:
    """The source of a benchmark with one set of splits: a folder in a known layout, or one file."""
    if path.is_file():
        return one_file(path, label_key)
    groups = find_splits(path)
    if not groups:
        raise nothing_fits(task, path, expected)
    source = FileSource(path, only(groups, path), label_key=label_key)
    return replace(source, note=", ".join(f"{split}: {source.files[split][0].name}" for split in source.splits))
