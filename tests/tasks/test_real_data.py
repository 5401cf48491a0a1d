"""The real files of the benchmarks, TREC and SST-2, against what can be read off them by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paft.errors import InputError
from paft.tasks import load_task

REAL = [
    ("piqa", "piqa", "validation", 1200),
    ("hellaswag", "hellaswag", "train", 1000),
    ("winogrande", "winogrande", "train", 10234),
    ("winogrande", "winogrande", "validation", 634),
    ("race", "race", "validation", 1436),
    ("race-middle", "race/RACE", "train", 6453),
]


@pytest.mark.parametrize(("name", "folder", "split", "count"), REAL)
def test_real_files(shared_data: Path, name: str, folder: str, split: str, count: int) -> None:
    task = load_task(name, shared_data / folder)
    examples = task.examples(split)
    assert len(examples) == count
    assert len({example.id for example in examples}) == count
    assert {example.answer for example in examples} == set(task.answers)
    assert all(set(example.slots) == {*task.slots, *task.aliases} for example in examples)
    assert sum(not option.strip() for example in examples for option in example.options) == 0


def test_real_rows_against_their_files(shared_data: Path) -> None:
    """Gold answers and choice order, recomputed from the raw files."""
    raw = [json.loads(line) for line in (shared_data / "piqa/valid.jsonl").open()]
    labels = (shared_data / "piqa/valid-labels.lst").read_text().split()
    examples = load_task("piqa", shared_data / "piqa").examples("validation")
    for example, row, label in zip(examples, raw, labels, strict=True):
        assert dict(example.slots) == row
        assert example.options[example.gold] == row["sol1" if label == "0" else "sol2"]
        assert example.answer == {"0": "A", "1": "B"}[label]
    raw = [json.loads(line) for line in (shared_data / "winogrande/dev.jsonl").open()]
    examples = load_task("winogrande", shared_data / "winogrande").examples("validation")
    for example, row in zip(examples, raw, strict=True):
        assert example.options[example.gold] == row["option" + row["answer"]]
        assert example.slots["prompt"].count("_") == 1
    raw = [json.loads(line) for line in next((shared_data / "hellaswag").glob("*.jsonl")).open()]
    examples = load_task("hellaswag", shared_data / "hellaswag").examples("train")
    for example, row in zip(examples, raw, strict=True):
        assert example.gold == int(row["label"])
        assert not any(mark in text for text in example.slots.values() for mark in ("[title]", "[step]", "[header]"))
        if "[" not in row["ctx"] + "".join(row["endings"]):
            assert example.slots["ctx"] == row["ctx"].strip()
            assert list(example.options) == [ending.strip() for ending in row["endings"]]


def test_real_race_article(shared_data: Path) -> None:
    path = shared_data / "race/RACE/dev/middle/7351.txt"
    raw = json.loads(path.read_text())
    mine = [e for e in load_task("race", shared_data / "race").examples("validation") if "7351" in e.id]
    assert [e.id for e in mine] == [f"middle7351.txt:{n}" for n in range(len(raw["answers"]))]
    assert [e.answer for e in mine] == raw["answers"]
    assert [list(e.options) for e in mine] == raw["options"]
    assert all(e.slots["article"] == raw["article"] for e in mine)


def test_a_real_split_that_does_not_exist(shared_data: Path) -> None:
    with pytest.raises(InputError, match="no train split in .*piqa.*; there is validation"):
        load_task("piqa", shared_data / "piqa").examples("train")
    assert "size l, the largest of s, m, l" in load_task("winogrande", shared_data / "winogrande").source


def test_limit_is_the_same_sample_every_time(shared_data: Path) -> None:
    first = [e.id for e in load_task("piqa", shared_data / "piqa").examples("validation", 50)]
    again = [e.id for e in load_task("piqa", shared_data / "piqa").examples("validation", 50)]
    assert first == again
    assert len(set(first)) == 50
    assert first == sorted(first, key=lambda example_id: int(example_id.split(":")[1]))
    assert first != [f"validation:{n}" for n in range(50)]
    with pytest.raises(InputError, match="--limit must be at least 1"):
        load_task("piqa", shared_data / "piqa").examples("validation", 0)


@pytest.mark.parametrize(
    ("name", "counts", "answers"),
    [("trec", {"train": 5452, "test": 500}, 6), ("sst2", {"train": 6920, "validation": 872, "test": 1821}, 2)],
)
def test_real_label_files_with_the_shipped_yaml(shared_data: Path, name: str, counts: dict, answers: int) -> None:
    yaml = Path(__file__).resolve().parents[2] / "examples" / name / "task.yaml"
    task = load_task(yaml, shared_data / name)
    assert {split: len(task.examples(split)) for split in counts} == counts
    assert len(task.answers) == answers
    assert all({example.gold for example in task.examples(split)} == set(range(answers)) for split in counts)
