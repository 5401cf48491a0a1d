"""What a report reads: the records of one or more comparisons, and the texts that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paft.errors import DataError, InputError
from paft.experiments.records import Record, by_method, load_records, same_cells
from paft.files import read_json, read_jsonl
from paft.prompts import PromptSet, load_prompts
from paft.prompts.bundled import SPLITS


@dataclass(frozen=True)
class TaskTexts:
    """What is known of a task beside its records; all of it may be absent.

    Attributes:
        facts: ``name, type, answers, match, top_threshold, user_prompt, description, source, split``.
        prompts: name of a sweep -> its prompts by id.
        training: the prompts that are trained on.
        examples: example id -> ``slots, answer, gold, options``.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[str, PromptSet] = field(default_factory=dict)
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: PromptSet | None = None


@dataclass(frozen=True)
class Comparison:
    """Everything a report is made from.

    Attributes:
        records: of all tasks, methods, variants and seeds.
        tasks: task name -> its texts, for every task that has a record.
        failures: cells that failed: ``task, method, seed, variant, error``.
        about: the ``compare.json`` of each folder that has one.
    """

    records: Sequence[Record]
    tasks: Mapping[str, TaskTexts]
    failures: Sequence[Mapping[str, Any]] = ()
    about: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def load(cls, folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Comparison:
        """Read the output folders of ``paft compare``.

        Raises:
            MissingFileError: a folder without records.
            DataError: a damaged file, or records of one task that cannot be compared.
        """
        places = [Path(folders)] if isinstance(folders, str | os.PathLike) else [Path(f) for f in folders]
        records = load_records(places)
        names = list(dict.fromkeys(r.task for r in records))
        for name in names:
            same_cells([r for r in records if r.task == name])
        failures = [read_json(path) for place in places for path in sorted((place / "failures").rglob("*.json"))]
        about = [read_json(place / "compare.json") for place in places if (place / "compare.json").is_file()]
        if not all(isinstance(found, dict) for found in about):
            raise DataError("compare.json is not what paft compare writes; run paft compare again to write it anew")
        return cls(records, {name: _texts(places, name, records) for name in names}, failures, about)

    def methods(self, task: str) -> dict[str, list[Record]]:
        """Method -> its records by seed, variants left out, in the paper's order."""
        return by_method(self.records, task)

    def variants(self, task: str) -> list[Record]:
        """The records of a task's ablations."""
        return [r for r in self.records if r.task == task and r.variant]


def _texts(places: Sequence[Path], name: str, records: Sequence[Record]) -> TaskTexts:
    for place in places:
        folder = place / "tasks" / name
        if not (folder / "task.json").is_file():
            continue
        prompts = {path.stem: PromptSet.load(path) for path in sorted((folder / "prompts").glob("*.jsonl"))}
        examples = folder / "examples.jsonl"
        rows = [row for _, row in read_jsonl(examples)] if examples.is_file() else []
        try:
            by_id = {row["id"]: row for row in rows}
        except KeyError as missing:
            raise DataError(f"{examples}: an example without {missing}") from None
        training = folder / "training.jsonl"
        trained = PromptSet.load(training) if training.is_file() else None
        return TaskTexts(read_json(folder / "task.json"), prompts, by_id, trained)
    return TaskTexts(prompts=_bundled(name, [r for r in records if r.task == name]))


def _bundled(task: str, records: Sequence[Record]) -> dict[str, PromptSet]:
    """The prompts of each sweep, where they are among those that ship with paft: records alone name them by id."""
    try:
        known = {p.id: p for split in SPLITS for p in load_prompts(task, split)}
    except InputError:
        return {}
    ids = {name: sweep.prompt_ids for record in records for name, sweep in record.sweeps.items()}
    return {name: PromptSet([known[i] for i in found]) for name, found in ids.items() if known.keys() >= set(found)}
