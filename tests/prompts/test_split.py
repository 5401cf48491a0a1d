"""The leak-free split."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paft.errors import InputError
from paft.prompts import Prompt, PromptSet, similarity
from paft.prompts.split import _choose


@pytest.fixture(scope="module")
def near_copies(some_texts: Callable[..., list[str]]) -> PromptSet:
    texts = dict.fromkeys(text + " {x}" for text in some_texts(120, seed=0))
    return PromptSet.from_texts(list(texts))


def distinct(count: int) -> PromptSet:
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return PromptSet.from_texts(["".join(rng.choices(letters, k=40)) + " {x}" for _ in range(count)])


def test_no_near_copy_lies_across(near_copies: PromptSet) -> None:
    prompts = near_copies
    result = prompts.split(test=30, seed=1)
    train, test = result
    assert len(test) == 30
    assert len(train) + len(test) == len(prompts)
    assert set(train.ids) | set(test.ids) == set(prompts.ids)
    assert max(similarity(a.template, b.template) for a in train for b in test) < 0.9
    assert result.groups > 0
    assert result.grouped >= 2 * result.groups
    assert result.notes == ()
    assert {p.split for p in train} == {"train"}
    assert {p.split for p in test} == {"test"}


def test_sides_keep_the_order_of_the_set() -> None:
    prompts = distinct(40)
    for side in prompts.split(test=10):
        assert side.ids == [id for id in prompts.ids if id in side]


def test_the_seed_and_the_ids_decide_not_the_order(near_copies: PromptSet) -> None:
    prompts = near_copies
    turned = PromptSet(reversed(list(prompts)))
    tests = [set(prompts.split(test=30, seed=seed).test.ids) for seed in range(5)]
    assert set(prompts.split(test=30, seed=0).test.ids) == tests[0]
    assert set(turned.split(test=30, seed=0).test.ids) == tests[0]
    assert all(a != b for a, b in combinations(tests, 2))


def test_every_prompt_is_tested_about_as_often() -> None:
    prompts = distinct(20)
    counts = dict.fromkeys(prompts.ids, 0)
    for seed in range(200):
        for id in prompts.split(test=5, seed=seed).test.ids:
            counts[id] += 1
    assert 25 < min(counts.values()) <= max(counts.values()) < 80  # 50 expected, standard deviation 6


def test_named_groups_stay_together() -> None:
    rows = [Prompt(p.id, p.template, group=f"g{i % 6}") for i, p in enumerate(distinct(30))]
    result = PromptSet(rows).split(test=10, seed=3)
    assert not {p.group for p in result.train} & {p.group for p in result.test}
    assert len(result.test) == 10
    assert (result.groups, result.grouped) == (6, 30)


def test_the_nearest_size_is_taken_and_said() -> None:
    rows = [Prompt(p.id, p.template, group=f"g{i % 3}") for i, p in enumerate(distinct(30))]
    result = PromptSet(rows).split(test=14)
    assert len(result.test) == 10
    assert result.notes == ("14 test prompts were asked for; the groups of near-copies allow 10 at the nearest",)


@pytest.mark.parametrize(
    ("ratio", "expected"), [("8:1", 10), ((8, 1), 10), ("1:1", 45), ((1000, 1), 1), ("1:1000", 89)]
)
def test_ratio(ratio: str | tuple[int, int], expected: int) -> None:
    train, test = distinct(90).split(ratio=ratio)
    assert (len(train), len(test)) == (90 - expected, expected)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.integers(1, 60))
@settings(max_examples=200)
def test_the_choice_of_groups_is_the_nearest_there_is(sizes: list[int], wanted: int) -> None:
    picks = [c for n in range(1, len(sizes)) for c in combinations(range(len(sizes)), n)]
    nearest = min(abs(sum(sizes[i] for i in pick) - wanted) for pick in picks)
    chosen = _choose(sizes, wanted)
    assert 0 < len(chosen) < len(sizes)
    assert abs(sum(sizes[i] for i in chosen) - wanted) == nearest


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "give either test"),
        ({"test": 3, "ratio": "8:1"}, "give either test"),
        ({"test": 0}, "test must be from 1 to 9 for a set of 10 prompts, found 0"),
        ({"test": 10}, "found 10"),
        ({"test": 3, "threshold": 0}, "threshold must be above 0"),
        ({"ratio": "8"}, "ratio must be two numbers"),
        ({"ratio": "8:0"}, "ratio must be two numbers"),
        ({"ratio": "a:b"}, "ratio must be two numbers"),
        ({"ratio": (1, 2, 3)}, "ratio must be two numbers"),
    ],
)
def test_bad_calls(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        distinct(10).split(**arguments)  # type: ignore[arg-type]


def test_sets_that_cannot_be_split() -> None:
    with pytest.raises(InputError, match="one prompt cannot be split"):
        distinct(1).split(test=1)
    copies = PromptSet.from_texts([f"Choose the best of these answers to the question {i}: {{x}}" for i in range(9)])
    with pytest.raises(InputError, match="all 9 prompts form one group"):
        copies.split(test=2)


def test_a_saved_split_loads_with_its_side(tmp_path: Path) -> None:
    train, _ = distinct(10).split(test=3)
    train.save(tmp_path / "train.jsonl")
    assert PromptSet.load(tmp_path / "train.jsonl") == train
