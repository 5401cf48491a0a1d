"""The prompt files published with the paper: they import, check, and are told where train and test overlap."""

from __future__ import annotations

from pathlib import Path

import pytest

from paft.prompts import ImportReport, PromptSet, import_prompts, overlap
from paft.tasks.base import Task

SHAPES = {
    "piqa": ("goal", "sol1", "sol2"),
    "hel": ("ctx", "A", "B", "C", "D"),
    "win": ("prompt", "only_option1", "only_option2"),
}
KEPT = {"piqa": (338, 51), "hel": (335, 51), "win": (286, 51)}
Pair = tuple[tuple[PromptSet, ImportReport], tuple[PromptSet, ImportReport]]


@pytest.fixture(scope="module", params=list(SHAPES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def load(shared_data: Path, name: str) -> Pair:
    folder = shared_data / "prompts"
    if not folder.is_dir():
        pytest.skip(f"published prompt files not present at {folder}")
    train, test = (import_prompts(folder / f"robust_{side}dataset_{name}.xlsx") for side in ("train", "test"))
    return train, test


def test_they_import(shared_data: Path, name: str) -> None:
    (train, train_report), (test, test_report) = load(shared_data, name)
    assert (len(train), len(test)) == KEPT[name]
    for prompts, report in ((train, train_report), (test, test_report)):
        left_out = report.counts.get("duplicate", 0) + report.counts.get("empty", 0)
        assert report.read == report.kept + left_out
        assert report.counts["mended"] > 0
        assert not any("\\n" in str(p.text) for p in prompts)
        assert all(set(p.template.slots) == set(SHAPES[name]) for p in prompts)


def test_they_check_without_errors(shared_data: Path, name: str) -> None:
    slots = SHAPES[name]
    task = Task(name, "choice", dict.fromkeys(slots, ""), tuple("ABCD"[: 4 if name == "hel" else 2]))
    for prompts, _ in load(shared_data, name):
        report = prompts.check(task)
        assert report.errors == []
        assert {p.code for p in report.warnings} <= {"repeated-slot", "near-duplicate"}


def test_overlap_between_train_and_test_is_named(shared_data: Path, name: str) -> None:
    (train, _), (test, _) = load(shared_data, name)
    found = overlap(train, test, threshold=0.9)
    tested = {o.test_id for o in found}
    assert len(tested) == {"piqa": 8, "hel": 6, "win": 8}[name]
    assert all(o.test_id in test and o.train_id in train and o.similarity >= 0.9 for o in found)
    assert overlap(train, test) == []  # none is word for word the same
    same_words = {o.test_id for o in found if o.kind == "punctuation"}
    assert len(same_words) == (5 if name == "win" else 0)


def test_a_split_of_all_of_them_has_no_overlap(shared_data: Path, name: str) -> None:
    (train, _), (test, _) = load(shared_data, name)
    fresh_train, fresh_test = PromptSet([*train, *test]).split(test=50, seed=0)
    assert len(fresh_test) == 50
    assert overlap(fresh_train, fresh_test, threshold=0.9) == []
