"""Splits with every source on both sides in proportion."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paft.errors import InputError
from paft.prompts import Prompt, PromptSet, similarity
from paft.prompts.origin import origin, stratum

TREC = Path(__file__).resolve().parents[2] / "examples" / "trec" / "prompts.jsonl"
SOURCES = [(model, strategy) for model in ("m1", "m2", "m3", "") for strategy in ("zero-shot", "few-shot")]


def make(picks: list[int], groups: list[int | None] | None = None) -> PromptSet:
    """Prompts of unlike wordings, one for each pick of a source."""
    rng = random.Random(len(picks))
    prompts = []
    for i, pick in enumerate(picks):
        text = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=40)) + " {x}"
        model, strategy = SOURCES[pick]
        source = {"kind": "llm", "strategy": strategy, "request_id": str(i)} | ({"model": model} if model else {})
        group = None if groups is None or groups[i] is None else f"g{groups[i]}"
        prompts.append(Prompt(f"p{i}", Prompt.from_text(text).template, source, group=group))
    return PromptSet(prompts)


def deviations(prompts: PromptSet, test: PromptSet) -> list[float]:
    """How far each stratum is from its proportional share of the test side."""
    whole, tested = Counter(map(stratum, prompts)), Counter(map(stratum, test))
    return [abs(tested[key] - len(test) * count / len(prompts)) for key, count in whole.items()]


@given(st.lists(st.integers(0, 7), min_size=2, max_size=60), st.data())
@settings(max_examples=150)
def test_singletons_are_within_one_of_proportional(picks: list[int], data: st.DataObject) -> None:
    prompts = make(picks)
    test = data.draw(st.integers(1, len(picks) - 1))
    result = prompts.split(test=test, seed=data.draw(st.integers(0, 3)), threshold=1, stratify="source")
    assert len(result.test) == test
    assert set(result.train.ids) | set(result.test.ids) == set(prompts.ids)
    assert max(deviations(prompts, result.test)) < 1


@given(
    st.lists(st.tuples(st.integers(0, 7), st.one_of(st.none(), st.integers(0, 9))), min_size=2, max_size=40), st.data()
)
@settings(max_examples=150)
def test_groups_are_never_parted_and_the_count_is_as_without(
    rows: list[tuple[int, int | None]], data: st.DataObject
) -> None:
    prompts = make([pick for pick, _ in rows], [group for _, group in rows])
    test = data.draw(st.integers(1, len(rows) - 1))
    if len({prompt.group for prompt in prompts} | {None}) == 2 and all(prompt.group for prompt in prompts):
        return  # one group: no split
    plain = prompts.split(test=test, threshold=1)
    result = prompts.split(test=test, threshold=1, stratify="source")
    assert len(result.test) == len(plain.test)
    assert not {p.group for p in result.train} & {p.group for p in result.test} - {None}
    assert max(deviations(prompts, result.test)) <= max(deviations(prompts, plain.test)) + 1


def test_the_choice_is_the_best_there_is_for_small_sets() -> None:
    """Against every choice of three prompts of nine: strata first, then strata and single fields together."""
    prompts = make([0, 0, 0, 1, 1, 2, 3, 3, 5])
    items = list(prompts)
    fields = [lambda p: stratum(p), lambda p: origin(p).get("model"), lambda p: origin(p).get("strategy")]

    def cost(chosen: list[Prompt]) -> tuple[float, float]:
        squares = 0.0
        for field in fields:
            whole, tested = Counter(map(field, items)), Counter(map(field, chosen))
            squares += sum((tested[key] - len(chosen) * count / len(items)) ** 2 for key, count in whole.items())
        beyond = max(deviations(prompts, PromptSet(chosen))) >= 1
        return float(beyond), round(squares, 9)

    best = min(cost(list(pick)) for pick in combinations(items, 3))
    for seed in range(5):
        result = prompts.split(test=3, seed=seed, threshold=1, stratify="source")
        assert cost(list(result.test)) == best


def test_single_fields_are_in_proportion_too() -> None:
    picks = [model * 2 + strategy for model in range(4) for strategy in range(2) for _ in range(9)]
    prompts = make(picks)  # 72 prompts, 8 strata of 9; 20 for testing leave every stratum 2 or 3
    for seed in range(3):
        _, test = prompts.split(test=20, seed=seed, threshold=1, stratify="source")
        assert Counter(p.source["strategy"] for p in test) == {"zero-shot": 10, "few-shot": 10}
        assert set(Counter(p.source.get("model") for p in test).values()) == {5}


def test_near_copies_stay_together_in_a_real_set() -> None:
    prompts = PromptSet.load(TREC)
    result = prompts.split(test=50, seed=2, threshold=0.6, stratify="source")
    assert len(result.test) == 50
    assert result.groups > 0
    assert max(similarity(a.template, b.template) for a in result.train for b in result.test) < 0.6
    whole = prompts.split(test=50, seed=2, stratify="source")
    assert Counter(p.source["style"] for p in whole.test) == dict.fromkeys({p.source["style"] for p in prompts}, 5)
    assert [(each.train, each.test) for each in whole.strata] == [(16, 5)] * 10
    assert whole.strata[0].name == "bundled / chatty"


def test_a_stratum_of_groups_gets_its_share() -> None:
    groups = [i // 3 if i < 30 else None for i in range(90)]
    prompts = make([0] * 30 + [3] * 60, groups)
    _, test = prompts.split(test=30, threshold=1, stratify="source")
    assert sum(p.source["model"] == "m1" for p in test) in (9, 12)


def test_the_seed_and_the_ids_decide_not_the_order() -> None:
    prompts = make([i % 8 for i in range(64)])
    tests = [set(prompts.split(test=16, seed=seed, threshold=1, stratify="source").test.ids) for seed in range(4)]
    turned = PromptSet(reversed(list(prompts)))
    assert set(turned.split(test=16, seed=0, threshold=1, stratify="source").test.ids) == tests[0]
    assert all(a != b for a, b in combinations(tests, 2))


def test_one_source_or_none_is_said() -> None:
    plain = PromptSet.from_texts([f"{word} {{x}}" for word in ("one", "other", "third", "fourth")])
    result = plain.split(test=2, stratify="source")
    assert len(result.test) == 2
    assert result.notes == ("no prompt names its source: there is nothing to stratify by",)
    alike = make([0, 0, 0]).split(test=1, stratify="source")
    assert alike.notes == ("all prompts have the same source (llm / m1 / zero-shot): there is nothing to stratify by",)
    assert plain.split(test=2).strata == ()


def test_an_unknown_stratum_is_refused() -> None:
    with pytest.raises(InputError, match="stratify must be 'source' or None, found 'model'"):
        make([0, 1]).split(test=1, stratify="model")
