"""PIQA: a goal and two solutions, one of which works (Bisk et al., 2020).

Official files: ``train.jsonl`` with ``train-labels.lst``, ``valid.jsonl`` (or ``dev``) with its labels.
Hub rows: goal, sol1, sol2, label (0 or 1). The solutions stay in file order: sol1 is A, sol2 is B.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paft.tasks.base import Task
from paft.tasks.benchmark import Asked, gold_index, question_reader, reader
from paft.tasks.rows import cell
from paft.tasks.sources import HubSource, find_data, local_source

LAYOUT = "train.jsonl with train-labels.lst (valid and tests alike), or parquet as data/train-00000-of-00001.parquet"
PROMPT = """Which of the two solutions is the better way to reach the goal?

Goal: {goal}
A. {sol1}
B. {sol2}

Reply with the letter of the solution.
Answer:"""


def ask(where: str, row: Mapping[str, Any]) -> Asked:
    slots = {slot: cell(where, row, slot) for slot in ("goal", "sol1", "sol2")}
    return slots, (slots["sol1"], slots["sol2"])


def gold(where: str, row: Mapping[str, Any]) -> int:
    return gold_index(where, row, "label", ("0", "1"), "PIQA")


def piqa(data: str | Path | None = None) -> Task:
    """The task; ``data`` is a folder, a file or a hub id (``baber/piqa``)."""
    found = find_data(data) if data is not None else None
    source = found if found is None or isinstance(found, HubSource) else local_source("piqa", found, LAYOUT, "label")
    return Task(
        name="piqa",
        type="choice",
        slots={"goal": "an everyday goal", "sol1": "the first solution", "sol2": "the second solution"},
        answers=("A", "B"),
        choices=("sol1", "sol2"),
        user_prompt=PROMPT,
        description="Physical common sense: of two solutions to an everyday goal, choose the one that works.",
        source=source.description if source else "",
        read=reader(source, ask, gold) if source else None,
        read_questions=question_reader(ask),
    )
