"""Similarity, near-copies and overlap, against plain loops."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from rapidfuzz import fuzz

from paft.errors import InputError
from paft.prompts import PromptSet, Template, overlap, similarity
from paft.prompts.similarity import collapse, comparable, group, similar_across, similar_pairs

Maker = Callable[..., list[str]]


def test_similarity_is_ratio_on_collapsed_masked_text() -> None:
    one, other = "Choose  A or B:\n{goal}\nAnswer:", "choose a or b: {a_much_longer_name} answer"

    def masked(text: str) -> str:
        return " ".join(re.sub(r"\{\w+\}", "\0", text).casefold().split())

    expected = fuzz.ratio(masked(one), masked(other)) / 100
    assert similarity(Template.parse(one), Template.parse(other)) == pytest.approx(expected, abs=1e-12)
    assert 0.9 < expected < 1
    assert similarity(Template.parse("STRASSE {x}"), Template.parse("straße {longer}")) == 1


def test_literal_braces_are_no_slots() -> None:
    assert comparable(Template.parse("{{goal}} {goal}")) == "{goal} \0"


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.9, 0.95, 1.0])
def test_every_pair_is_found_and_no_other(some_texts: Maker, threshold: float) -> None:
    texts = [collapse(text) for text in some_texts(150, seed=1)] + ["é" * 40_000, "é" * 39_000]
    expected = {
        (i, j): fuzz.ratio(texts[i], texts[j]) / 100
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if fuzz.ratio(texts[i], texts[j]) / 100 >= threshold
    }
    found = list(similar_pairs(texts, threshold))
    assert {(p.left, p.right): p.similarity for p in found} == pytest.approx(expected)
    assert len(found) == len(expected) > 0 or threshold == 1.0


def test_every_pair_across_is_found(some_texts: Maker) -> None:
    lefts, rights = some_texts(60, seed=2), some_texts(80, seed=2)
    expected = {(i, j) for i, a in enumerate(lefts) for j, b in enumerate(rights) if fuzz.ratio(a, b) / 100 >= 0.8}
    found = list(similar_across(lefts, rights, 0.8))
    assert {(p.left, p.right) for p in found} == expected
    assert len(found) == len(expected) >= 60


def test_thousands_of_prompts_are_compared_in_seconds(some_texts: Maker) -> None:
    texts = some_texts(5000, seed=3)
    start = time.process_time()
    assert sum(1 for _ in similar_pairs(texts, 0.9)) > 1000
    assert time.process_time() - start < 15


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_thresholds_out_of_range_are_refused(threshold: float) -> None:
    with pytest.raises(InputError, match="above 0 and at most 1"):
        list(similar_pairs(["a", "b"], threshold))


def test_groups_are_chains_of_links() -> None:
    assert group(6, [(4, 1), (3, 4), (0, 5)]) == [[0, 5], [1, 3, 4], [2]]


def test_overlap_tells_kinds_apart() -> None:
    train = PromptSet.from_texts(
        ["Pick the right one: {goal} A. {sol1} B. {sol2} Answer:", "Something else altogether, {goal} {sol1} {sol2}"]
    )
    test = PromptSet.from_texts(
        [
            "pick the RIGHT one:\n{goal} A. {sol1} B. {sol2} Answer:",
            "Pick the right one: {goal}. A. {sol1}, B. {sol2}. Answer:",
            "Pick the right one: {goal} A. {sol1} B. {sol2} Reply:",
            "Not like the others: {goal}? ({sol1}/{sol2})",
        ]
    )
    (same,) = overlap(train, test)
    assert (same.train_id, same.test_id, same.similarity, same.kind) == (train.ids[0], test.ids[0], 1.0, "duplicate")
    found = overlap(train, test, threshold=0.85)
    assert [(o.test_id, o.kind) for o in found] == [
        (test.ids[0], "duplicate"),
        (test.ids[1], "punctuation"),
        (test.ids[2], "near"),
    ]
    assert found[0].similarity > found[1].similarity > found[2].similarity >= 0.85


def test_slots_in_other_places_are_near_but_no_duplicate() -> None:
    train = PromptSet.from_texts(["{sol1} or {sol2}? {goal}"])
    test = PromptSet.from_texts(["{sol2} or {sol1}? {goal}"])
    assert overlap(train, test) == []
    assert [(o.similarity, o.kind) for o in overlap(train, test, 0.9)] == [(1.0, "near")]
