"""Small made-up rows in the shapes the benchmarks have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PIQA = [
    {"goal": "warm some tea", "sol1": "put it on the stove", "sol2": "put it in the freezer", "label": 0},
    {"goal": "dry a {wet} sock", "sol1": "hold it under a tap", "sol2": "hang it on a line ", "label": 1},
]
HELLASWAG = [
    {
        "ind": 4, "activity_label": "Baking", "ctx_a": "A man mixes dough. He", "ctx_b": "",
        "ctx": "A man mixes dough. He", "endings": ["bakes it.", "sings.", "flies.", "sleeps."],
        "source_id": "made~1", "split": "train", "split_type": "indomain", "label": "0",
    },
    {
        "ind": 5, "activity_label": "Home", "ctx_a": "", "ctx_b": "",
        "ctx": "[header] How to fold a shirt [title] Lay it flat. [step] Use a table.",
        "endings": ["[title] Eat it.", "Run [substeps] and hide.", "Fold the sleeves. [step] Then the rest.", "Stop"],
        "source_id": "made~2", "split": "train", "split_type": "indomain", "label": "2",
    },
]  # fmt: skip
WINOGRANDE = [
    {
        "sentence": "The cup did not fit the box, as the _ was big.",
        "option1": "cup",
        "option2": "box",
        "answer": "1",
    },
    {"sentence": "Ann thanked Eve, for _ had helped.", "option1": "Ann", "option2": "Eve", "answer": "2"},
]
ARTICLE = {
    "article": "Tom has a cat.\nThe cat is old.",
    "questions": ["What does Tom have?", "How old is it?"],
    "options": [["A cat.", "A dog.", "A cow.", "A hen."], ["Young.", "New.", "Unborn.", "Old."]],
    "answers": ["A", "D"],
}
RACE = [
    {
        "example_id": f"{level}{number}.txt", "article": ARTICLE["article"], "question": question,
        "options": options, "answer": answer,
    }
    for level, number in (("high", 3), ("middle", 12))
    for question, options, answer in zip(ARTICLE["questions"], ARTICLE["options"], ARTICLE["answers"], strict=True)
]  # fmt: skip


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def jsonl() -> Callable[[Path, Iterable[Mapping[str, Any]]], Path]:
    """Write rows as JSON lines."""
    return write_jsonl


@pytest.fixture
def parquet() -> Callable[[Path, list[dict[str, Any]]], Path]:
    """Write rows as a parquet file."""
    return write_parquet


@pytest.fixture
def made() -> dict[str, list[dict[str, Any]]]:
    """Benchmark name -> its made-up rows, in the hub's columns."""
    tables = {"piqa": PIQA, "hellaswag": HELLASWAG, "winogrande": WINOGRANDE, "race": RACE}
    return {name: [dict(row) for row in rows] for name, rows in tables.items()}


@pytest.fixture
def article() -> dict[str, Any]:
    """A RACE article as its official file holds it."""
    return json.loads(json.dumps(ARTICLE))
