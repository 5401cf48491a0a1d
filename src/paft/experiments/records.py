"""What a comparison keeps: one JSON file for each method, seed and variant of a task, with every answer in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paft.defaults import METHODS
from paft.errors import DataError, MissingFileError
from paft.evaluation import SweepResult
from paft.files import read_json, write_json

FORMAT_VERSION = 2
UNSEEN = "unseen"  # the sweep that every record has: prompts that no method was trained on
NUMBERS = ("mean", "std", "std_corrected", "min", "q05", "max", "macro_f1", "flip_rate", "top", "per_prompt")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NO_ANSWER = "-"


@dataclass(frozen=True)
class Measured:
    """One sweep as a record keeps it.

    Attributes:
        numbers: the fields of ``summary.json`` that tell accuracies, as fractions.
        prompt_ids, example_ids: the order of rows and columns.
        correct_pn: whether each answer was right, prompts x examples.
        answer_pn: the index of each answer among the task's, -1 where none was found; None for free answers.
        split, scoring: as ``summary.json`` has them.
        seconds: wall time of the sweep, the model's loading left out.
        tokens_generated: tokens written by the model; 0 where candidates were compared.
        answer_end: the token that was scored behind each candidate, where one begins another; else None.
    """

    numbers: Mapping[str, Any]
    prompt_ids: list[str]
    example_ids: list[str]
    correct_pn: NDArray[np.bool_]
    answer_pn: NDArray[np.int32] | None = None
    split: str = "test"
    scoring: str = "likelihood"
    seconds: float = 0.0
    tokens_generated: int = 0
    answer_end: str | None = None

    @classmethod
    def of(cls, result: SweepResult) -> Measured:
        """What a record keeps of a finished sweep."""
        known = (result.gold_n >= 0).all() and result.prediction_pn.max(initial=-1) < len(DIGITS)
        return cls(
            numbers={key: result.summary[key] for key in NUMBERS},
            prompt_ids=result.prompt_ids,
            example_ids=result.example_ids,
            correct_pn=result.correct_pn,
            answer_pn=result.prediction_pn if known else None,
            split=result.summary["split"],
            scoring=result.summary["scoring"],
            seconds=result.summary["seconds"],
            tokens_generated=result.summary["tokens_generated"],
            answer_end=result.summary.get("answer_end"),
        )

    def to_json(self) -> dict[str, Any]:
        """The form in a record's file: one character an answer."""
        correct = ["".join("01"[int(c)] for c in row) for row in self.correct_pn]
        answers = None
        if self.answer_pn is not None:
            rows = ["".join(NO_ANSWER if a < 0 else DIGITS[a] for a in row) for row in self.answer_pn]
            answers = dict(zip(self.prompt_ids, rows, strict=True))
        return {
            "split": self.split,
            "scoring": self.scoring,
            "seconds": round(self.seconds, 1),
            "tokens_generated": self.tokens_generated,
            **({"answer_end": self.answer_end} if self.answer_end else {}),
            **self.numbers,
            "examples": self.example_ids,
            "correct": dict(zip(self.prompt_ids, correct, strict=True)),
            "answers": answers,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Measured:
        """The inverse of ``to_json``."""
        answers = row["answers"]
        table = None
        if answers is not None:
            table = np.array([[DIGITS.index(a) if a != NO_ANSWER else -1 for a in answers[p]] for p in row["correct"]])
        return cls(
            numbers={key: row[key] for key in NUMBERS},
            prompt_ids=list(row["correct"]),
            example_ids=row["examples"],
            correct_pn=np.array([[c == "1" for c in line] for line in row["correct"].values()], dtype=bool),
            answer_pn=None if table is None else table.astype(np.int32),
            split=row["split"],
            scoring=row["scoring"],
            seconds=row["seconds"],
            tokens_generated=row["tokens_generated"],
            answer_end=row.get("answer_end"),
        )


@dataclass(frozen=True)
class Record:
    """The outcome of one method with one seed on one task.

    Attributes:
        task, model, method, seed: what was run; ``seed`` of ``base`` is 0, which knows no chance.
        variant: the settings in which it differs from its comparison's own, such as ``{"examples_per_prompt": 2}``;
            empty for the comparison itself.
        settings: everything that decides the outcome, the prompts and examples by their digests.
        sweeps: what was measured with each set of prompts; ``unseen`` is always there.
        training: ``seconds, steps, examples, epochs, prompts, final_loss, dropped, processor_seconds, tokens``, the
            last two None in older records; None for ``base``.
        selection: ``prompt_id, text, score, queries, calls, seconds`` of the prompt that was chosen; None where
            nothing was chosen.
    """

    task: str
    model: str
    method: str
    seed: int
    sweeps: Mapping[str, Measured]
    variant: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    selection: Mapping[str, Any] | None = None

    @property
    def unseen(self) -> Measured:
        """The sweep over prompts that no method was trained on."""
        return self.sweeps[UNSEEN]

    def save(self, path: Path) -> None:
        """Write the record as JSON."""
        facts = {name: getattr(self, name) for name in _PLAIN}
        sweeps = {name: sweep.to_json() for name, sweep in self.sweeps.items()}
        write_json(path, {"format_version": FORMAT_VERSION, **facts, "sweeps": sweeps})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Record:
        """Read a record that ``save`` wrote.

        Raises:
            DataError: not a record, or one of another format.
        """
        row = read_json(path)
        try:
            if row["format_version"] != FORMAT_VERSION:
                raise DataError(f"{path} is of format {row['format_version']}, expected {FORMAT_VERSION}")
            sweeps = {name: Measured.from_json(each) for name, each in row["sweeps"].items()}
            record = cls(sweeps=sweeps, **{name: row[name] for name in _PLAIN})
        except (KeyError, TypeError, ValueError, AttributeError) as bad:
            if isinstance(bad, DataError):
                raise
            raise DataError(f"{path} is not a record as paft compare writes it: {type(bad).__name__} {bad}") from None
        if UNSEEN not in sweeps:
            raise DataError(f"{path} holds no sweep named {UNSEEN!r}")
        return record


_PLAIN = ("task", "model", "method", "seed", "variant", "settings", "training", "selection")


def load_records(folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Record]:
    """All records under ``FOLDER/records``, by task, method, variant and seed.

    Args:
        folders: output folders of ``paft compare``.

    Raises:
        MissingFileError: a folder that holds no records.
        DataError: a damaged record, or records of one task that met other unseen prompts or examples than the rest.
    """
    places = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    found: list[Record] = []
    for place in places:
        paths = sorted((Path(place) / "records").rglob("*.json"))
        if not paths:
            raise MissingFileError(f"{place} holds no records; expected {Path(place) / 'records'} of paft compare")
        found += [Record.load(path) for path in paths]
    return sorted(found, key=_order)


def by_method(records: Iterable[Record], task: str | None = None) -> dict[str, list[Record]]:
    """Method -> its records by seed, in the paper's order, of the comparison itself: variants are left out.

    Args:
        task: leave out other tasks. Records of several tasks must not be mixed.

    Raises:
        DataError: records that met other unseen prompts or examples than the rest.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        if not record.variant and task in (None, record.task):
            groups.setdefault(record.method, []).append(record)
    for group in groups.values():
        group.sort(key=lambda r: r.seed)
    same_cells([r for group in groups.values() for r in group])
    order = [*METHODS, *sorted(set(groups) - set(METHODS))]
    return {method: groups[method] for method in order if method in groups}


def same_cells(records: Sequence[Record], sweep: str = UNSEEN) -> None:
    """Refuse records that cannot be compared.

    Raises:
        DataError: other prompts or examples in the sweep than the first record's, or answers scored otherwise.
    """
    for record in records[1:]:
        one, other = records[0].sweeps[sweep], record.sweeps[sweep]
        if (one.prompt_ids, one.example_ids) != (other.prompt_ids, other.example_ids):
            raise DataError(
                f"{record.task}: {record.method} seed {record.seed} met other prompts or examples than "
                f"{records[0].method} seed {records[0].seed}; only records of the same cells can be compared"
            )
        if one.answer_end != other.answer_end:
            raise DataError(
                f"{record.task}: the answers of {record.method} seed {record.seed} and {records[0].method} seed "
                f"{records[0].seed} were not scored alike: one has {other.answer_end or 'nothing'} behind them, the "
                f"other {one.answer_end or 'nothing'}\nrun the older one again: delete its record"
            )


def _order(record: Record) -> tuple[Any, ...]:
    place = METHODS.index(record.method) if record.method in METHODS else len(METHODS)
    return record.task, place, record.method, sorted((k, str(v)) for k, v in record.variant.items()), record.seed
