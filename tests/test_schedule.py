"""Which prompt stands where: Algorithm 1, the fixed mixture and the single prompt."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from paft.errors import InputError
from paft.schedule import FixedSchedule, Schedule, StaticMixSchedule, UniformSchedule

IDS = [f"p{i}" for i in range(10)]
EXAMPLES = [f"train:{i}" for i in range(997)]


@pytest.mark.parametrize("schedule", [UniformSchedule(IDS), StaticMixSchedule(IDS), FixedSchedule("p3")])
def test_one_prompt_a_position_and_the_same_each_time(schedule):
    assert isinstance(schedule, Schedule)
    first = schedule.assign(1, EXAMPLES)
    assert len(first) == len(EXAMPLES)
    assert set(first) <= set(IDS)
    schedule.observe(1, first, [1.0] * len(first))
    assert schedule.assign(1, EXAMPLES) == first


@pytest.mark.parametrize("k", [1, 4, 7, 2000])
def test_uniform_holds_a_prompt_for_k_examples_of_the_stream(k):
    drawn = UniformSchedule(IDS, k, seed=3).assign(0, EXAMPLES)
    for start in range(0, len(drawn), k):
        assert len(set(drawn[start : start + k])) == 1
    blocks = drawn[::k]
    if k < 100:
        assert any(a != b for a, b in itertools.pairwise(blocks))


def test_uniform_draws_are_uniform_and_independent():
    drawn = UniformSchedule(IDS, 1, seed=0).assign(0, [str(i) for i in range(100_000)])
    counts = Counter(drawn)
    assert sum((n - 10_000) ** 2 / 10_000 for n in counts.values()) < 27.9  # chi-square, 9 degrees, p = 0.001
    repeats = sum(a == b for a, b in itertools.pairwise(drawn)) / len(drawn)
    assert repeats == pytest.approx(0.1, abs=0.005)  # a prompt may follow itself


def test_uniform_draws_anew_each_epoch_and_seed_decides():
    one = UniformSchedule(IDS, 4, seed=0)
    assert one.assign(0, EXAMPLES) != one.assign(1, EXAMPLES)
    assert one.assign(0, EXAMPLES) != UniformSchedule(IDS, 4, seed=1).assign(0, EXAMPLES)
    assert one.assign(0, EXAMPLES) == UniformSchedule(IDS, 4, seed=0).assign(0, EXAMPLES)


def test_an_example_meets_other_prompts_in_other_epochs():
    schedule = UniformSchedule(IDS, 4, seed=0)
    met = [set(pair) for pair in zip(*(schedule.assign(e, EXAMPLES) for e in range(3)), strict=True)]
    assert sum(len(s) > 1 for s in met) > 0.9 * len(met)


def test_static_mix_fixes_the_pairing_whatever_the_order():
    schedule = StaticMixSchedule(IDS, seed=5)
    pairing = dict(zip(EXAMPLES, schedule.assign(0, EXAMPLES), strict=True))
    backwards = EXAMPLES[::-1][:500]
    assert schedule.assign(7, backwards) == [pairing[e] for e in backwards]
    assert StaticMixSchedule(IDS, seed=6).assign(0, EXAMPLES) != list(pairing.values())
    assert min(Counter(pairing.values()).values()) > 60


@pytest.mark.parametrize("make", [lambda: UniformSchedule([]), lambda: StaticMixSchedule([])])
def test_no_prompts(make):
    with pytest.raises(InputError, match="at least one prompt"):
        make()


def test_values_out_of_range():
    with pytest.raises(InputError, match="examples_per_prompt must be at least 1, found 0"):
        UniformSchedule(IDS, 0)
    with pytest.raises(InputError, match="seed must be at least 0, found -1"):
        UniformSchedule(IDS, 4, seed=-1)
