"""The two sides of a split: nearest neighbours and the maximum mean discrepancy, against double loops."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from paft.prompts import Prompt, PromptSet, compare_sides, discrepancy, similarity
from paft.prompts.mmd import spectrum_kernel
from paft.prompts.sides import sides_of

TREC = Path(__file__).resolve().parents[2] / "examples" / "trec" / "prompts.jsonl"


@pytest.fixture(scope="module")
def trec() -> PromptSet:
    return PromptSet(list(PromptSet.load(TREC))[::5])


def slow_kernel(one: Prompt, other: Prompt) -> float:
    """Cosine of n-gram counts, from the definition."""
    counts = []
    for prompt in (one, other):
        text = " " + " ".join(prompt.template.mask("\0").casefold().split()) + " "
        counts.append(Counter(text[i : i + n] for n in (3, 4, 5) for i in range(len(text) - n + 1)))
    product = sum(count * counts[1][gram] for gram, count in counts[0].items())
    return product / math.prod(math.sqrt(sum(count**2 for count in each.values())) for each in counts)


def slow_mmd2(train: list[Prompt], test: list[Prompt]) -> float:
    m, n = len(train), len(test)
    first = sum(slow_kernel(a, b) for a in train for b in train if a is not b) / (m * (m - 1))
    second = sum(slow_kernel(a, b) for a in test for b in test if a is not b) / (n * (n - 1))
    return first + second - 2 * sum(slow_kernel(a, b) for a in train for b in test) / (m * n)


def test_the_kernel_is_the_cosine_of_counts(trec: PromptSet) -> None:
    kernel = spectrum_kernel(trec)
    items = list(trec)
    expected = [[slow_kernel(a, b) for b in items] for a in items]
    np.testing.assert_allclose(kernel, expected, atol=1e-12)
    assert np.linalg.eigvalsh(kernel).min() > -1e-10


def test_slots_are_masked_and_the_shortest_template_has_an_n_gram() -> None:
    prompts = PromptSet.from_texts(["{a}", "{a_longer_name}", "  {B}\n", "{a} x"])
    kernel = spectrum_kernel(prompts)
    np.testing.assert_allclose(kernel[:3, :3], 1.0)
    assert 0 < kernel[0, 3] < 1


def test_the_estimate_and_every_permutation_of_it(trec: PromptSet) -> None:
    items = list(trec)
    found = discrepancy(items[:30], items[30:], permutations=50, seed=3)
    assert found is not None
    assert found.mmd2 == pytest.approx(slow_mmd2(items[:30], items[30:]), abs=1e-12)
    kernel = np.array([[slow_kernel(a, b) for b in items] for a in items])
    rng = np.random.default_rng(3)
    values = []
    for _ in range(50):
        chosen = set(rng.permutation(len(items))[:30].tolist())
        one, other = np.array(sorted(chosen)), np.array([i for i in range(len(items)) if i not in chosen])
        within = [
            (kernel[np.ix_(side, side)].sum() - len(side)) / (len(side) * (len(side) - 1)) for side in (one, other)
        ]
        values.append(sum(within) - 2 * kernel[np.ix_(one, other)].mean())
    assert found.p_value == pytest.approx((1 + sum(value >= found.mmd2 for value in values)) / 51)
    assert discrepancy(items[:30], items[30:], permutations=50, seed=3) == found


def test_sides_of_one_kind_pass_and_sides_of_two_kinds_do_not(trec: PromptSet) -> None:
    items = list(trec)
    same = discrepancy(items[::2], items[1::2], seed=0)
    formal = [
        Prompt.from_text(f"Kindly determine, number {i}, the category of the following: {{text}}.") for i in range(20)
    ]
    different = discrepancy(items, formal, seed=0)
    assert same is not None
    assert different is not None
    assert same.p_value > 0.05
    assert different.p_value == pytest.approx(1 / 1001)
    assert different.mmd2 > 0.1 > abs(same.mmd2)


def test_identical_prompts_on_both_sides() -> None:
    train, test = (PromptSet(Prompt.from_text("Say {x}:", id=f"{side}{i}") for i in range(3)) for side in "ab")
    found = compare_sides(train, test)
    assert found.mean == found.closest.similarity == 1.0
    assert found.discrepancy is not None
    assert found.discrepancy.mmd2 == pytest.approx(0, abs=1e-12)
    assert found.discrepancy.p_value == 1.0


def test_one_prompt_on_a_side_gives_no_discrepancy(trec: PromptSet) -> None:
    items = list(trec)
    found = compare_sides(PromptSet(items[1:]), PromptSet(items[:1]))
    assert found.discrepancy is None
    row = found.row()
    assert (row["mmd2"], row["p_value"], row["test"]) == (None, None, 1)
    json.dumps(row, allow_nan=False)


def test_nearest_training_prompts(trec: PromptSet) -> None:
    train, test = trec.split(test=9, seed=1)
    found = compare_sides(train, test, permutations=10)
    assert [each.test_id for each in found.nearest] == test.ids
    for each in found.nearest:
        scores = {prompt.id: similarity(test[each.test_id].template, prompt.template) for prompt in train}
        assert each.similarity == pytest.approx(max(scores.values()), abs=1e-12)
        assert scores[each.train_id] == pytest.approx(each.similarity, abs=1e-12)
    assert found.closest.similarity == max(row["similarity"] for row in found.rows())
    assert found.mean == pytest.approx(sum(row["similarity"] for row in found.row()["nearest"]) / 9)


def test_sides_come_from_the_split_field(trec: PromptSet) -> None:
    train, test = trec.split(test=9)
    other = Prompt.from_text("Some odd one {text}", id="odd")
    found = sides_of(PromptSet([*test, other, *train]))
    assert found is not None
    assert (found[0], found[1]) == (train, test)
    assert sides_of(train) is None
    assert sides_of(trec) is None


def test_pairs_of_a_large_set_are_exact_too() -> None:
    prompts = [Prompt.from_text(f"{'word ' * (i % 17)}{i} {{x}} {i * i}") for i in range(600)]
    kernel = spectrum_kernel(prompts)
    for a, b in list(combinations(range(0, 600, 67), 2)):
        assert kernel[a, b] == pytest.approx(slow_kernel(prompts[a], prompts[b]), abs=1e-12)
