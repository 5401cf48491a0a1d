"""HellaSwag: the beginning of a scene and four endings (Zellers et al., 2019).

Official files: ``hellaswag_train.jsonl``, ``hellaswag_val.jsonl``, ``hellaswag_test.jsonl``. Hub rows have the same
keys, with ``label`` as text. The endings stay in file order: the first is A.

Half of the rows come from WikiHow and carry the marks ``[header]``, ``[title]``, ``[step]`` and ``[substeps]``,
which no reader would write. ``clean`` takes them out of context and endings; all else stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paft.tasks.base import Task
from paft.tasks.benchmark import Asked, gold_index, question_reader, reader
from paft.tasks.rows import cell, cells
from paft.tasks.sources import HubSource, find_data, local_source

LAYOUT = "hellaswag_train.jsonl (_val and _test alike), or parquet as data/train-00000-of-00001.parquet"
PROMPT = """Read the beginning of the scene and choose the ending that follows from it best.

Beginning: {ctx}

A. {A}
B. {B}
C. {C}
D. {D}

Reply with one letter.
Answer:"""
_MARK = re.compile(r"\s*\[(?:header|title|step|substeps)\]\s*")
_CLOSED = tuple(".!?:;,\"'”’…")


def clean(text: str) -> str:
    """``text`` without WikiHow marks.

    A mark parts what stands before and after it: it becomes a space, and the part before gets a full
    stop where it has no punctuation of its own, so that a heading does not run into the next sentence.
    """
    parts = [part for part in _MARK.split(text.strip()) if part]
    ended = [part if part.endswith(_CLOSED) else part + "." for part in parts[:-1]]
    return " ".join(ended + parts[-1:])


def ask(where: str, row: Mapping[str, Any]) -> Asked:
    endings = tuple(clean(ending) for ending in cells(where, row, "endings", 4))
    return {"ctx": clean(cell(where, row, "ctx")), **dict(zip("ABCD", endings, strict=True))}, endings


def gold(where: str, row: Mapping[str, Any]) -> int:
    return gold_index(where, row, "label", ("0", "1", "2", "3"), "HellaSwag")


def hellaswag(data: str | Path | None = None) -> Task:
    """The task; ``data`` is a folder, a file or a hub id (``Rowan/hellaswag``)."""
    found = find_data(data) if data is not None else None
    source = found if found is None or isinstance(found, HubSource) else local_source("hellaswag", found, LAYOUT)
    return Task(
        name="hellaswag",
        type="choice",
        slots={"ctx": "the beginning of a scene", **{letter: f"ending {letter}" for letter in "ABCD"}},
        answers=("A", "B", "C", "D"),
        choices=("A", "B", "C", "D"),
        top_threshold=0.9,
        user_prompt=PROMPT,
        description="Common sense: of four endings, choose the one that continues the scene.",
        source=source.description if source else "",
        read=reader(source, ask, gold) if source else None,
        read_questions=question_reader(ask),
    )
