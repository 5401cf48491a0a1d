"""The sets that ship: clean, varied, unlike each other across sides and unlike the published ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from paft.errors import InputError, MissingFileError
from paft.prompts import PromptSet, diversity, find_prompts, import_prompts, load_prompts
from paft.prompts.bundled import BUNDLED
from paft.prompts.similarity import comparable, similar_across
from paft.tasks import load_task

ROOT = Path(__file__).resolve().parents[2]
VOICES = {
    "terse", "formal", "chatty", "teacher", "exam", "json-like", "step-by-step", "second-language", "domain-expert",
    "question-first",
}  # fmt: skip
PUBLISHED = {"piqa": "piqa", "hellaswag": "hel", "winogrande": "win"}


def task_of(name: str):
    return load_task(ROOT / "examples" / name / "task.yaml" if name in ("trec", "sst2") else name)


def across(lefts: PromptSet, rights: PromptSet, threshold: float) -> list:
    pairs = similar_across([comparable(p.template) for p in lefts], [comparable(p.template) for p in rights], threshold)
    return [(p.similarity, lefts.ids[p.left], rights.ids[p.right]) for p in pairs if p.similarity > threshold]


@pytest.mark.parametrize("name", BUNDLED)
def test_a_set(name: str) -> None:
    train, test, hostile = (load_prompts(name, split) for split in ("train", "test", "hostile"))
    assert len(train) >= 400
    assert len(test) == 50
    assert len(hostile) == 10
    task = task_of(name)
    both = PromptSet([*train, *test])
    for prompts in (both, hostile):
        report = prompts.check(task)
        assert not report.errors
        assert {p.code for p in report.warnings} <= {"no-cue", "too-long"}
    assert sum(p.code == "no-cue" for p in both.check(task).warnings) <= 10
    assert across(train, test, 0.8) == []
    assert across(both, hostile, 0.8) == []
    for side in (train, test):
        voices = Counter(p.source["voice"] for p in side)
        assert set(voices) == VOICES
        assert max(voices.values()) - min(voices.values()) <= 3
    strategies = Counter(p.source["strategy"] for p in both)
    assert set(strategies) == {"zero-shot", "few-shot"}
    assert abs(strategies["zero-shot"] - strategies["few-shot"]) <= 4
    assert min(len(p.template.mask(" slot ").split()) for p in both) >= 5
    assert max(len(p.template.mask(" ").split()) for p in both) <= 120
    assert {p.split for p in hostile} == {"hostile"}
    assert len({p.source["hostility"] for p in hostile}) == 10


@pytest.mark.parametrize("name", PUBLISHED)
def test_against_the_published_sets(name: str, shared_data: Path) -> None:
    ours = PromptSet([*load_prompts(name, "train"), *load_prompts(name, "test")])
    theirs: list = []
    for side in ("train", "test"):
        theirs += import_prompts(shared_data / "prompts" / f"robust_{side}dataset_{PUBLISHED[name]}.xlsx")[0]
    published = PromptSet({p.id: p for p in theirs}.values())
    assert across(ours, published, 0.8) == []
    tokens = min(diversity(ours).tokens, diversity(published).tokens)
    assert diversity(ours, tokens=tokens).distinct[2] > 2 * diversity(published, tokens=tokens).distinct[2]
    assert diversity(ours).similarity_mean < diversity(published).similarity_mean - 0.05


def test_names(tmp_path: Path, monkeypatch) -> None:
    assert find_prompts("bundled:piqa") == load_prompts("piqa", "train")
    assert find_prompts("bundled:piqa:test") == load_prompts("piqa", "test")
    assert find_prompts("bundled", "race-high", "test") == load_prompts("race", "test")
    assert find_prompts("bundled:hostile", "sst2") == load_prompts("sst2", "hostile")
    path = tmp_path / "p.jsonl"
    load_prompts("trec").save(path)
    assert find_prompts(path) == load_prompts("trec")
    with pytest.raises(InputError, match="no prompts ship for task 'my'"):
        find_prompts("bundled", "my")
    with pytest.raises(InputError, match="no prompts ship for task 'dev'"):
        find_prompts("bundled:dev", "piqa")
    with pytest.raises(InputError, match="unknown split 'dev' of the bundled prompts"):
        find_prompts("bundled:piqa:dev")
    with pytest.raises(InputError, match="expected bundled:TASK:SPLIT"):
        find_prompts("bundled")
    with pytest.raises(MissingFileError):
        find_prompts("bundle")


def test_the_demo_has_prompts_like_any_other_task() -> None:
    demo = ROOT / "src/paft/resources/demo"
    assert find_prompts("bundled", "demo") == PromptSet.load(demo / "prompts-train.jsonl")
    assert find_prompts("bundled", "demo", "test") == PromptSet.load(demo / "prompts-test.jsonl")
    assert find_prompts("bundled:demo:test") == load_prompts("demo", "test")
    assert find_prompts("bundled:test", "demo") == load_prompts("demo", "test")
    assert (len(load_prompts("demo")), len(load_prompts("demo", "test"))) == (100, 50)
    with pytest.raises(InputError, match=r"unknown split 'hostile' of .* task 'demo'; expected one of train, test$"):
        find_prompts("bundled:hostile", "demo")
