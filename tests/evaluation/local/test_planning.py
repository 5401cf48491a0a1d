"""What rows share is found and parted, against counting by hand; and every row is run once."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from paft.evaluation.local.forward import Forward
from paft.evaluation.local.planning import LEAST, PLACES, WORTH, parted, plan_starts
from paft.evaluation.local.walking import Walk, start_in_parts


def ids(*rows):
    return [np.array(row, dtype=np.int32) for row in rows]


def way(plan, row):
    """``(begin, end)`` of the starts that a row goes on from, the last one first."""
    found, home = [], plan.home[row]
    while home >= 0:
        found.append((plan.starts[home].begin, plan.starts[home].end))
        home = plan.starts[home].parent
    return found


def test_two_levels():
    """A template's own start, then an article under it; another article in front of any template."""
    template, article, other = list(range(100, 140)), list(range(200, 260)), list(range(300, 360))
    rows = [[*template, *article, 1000 + k] for k in range(3)] + [[*template, 2000 + k, 5, 6] for k in range(3)]
    rows += [[*other, 3000 + k] for k in range(4)] + [[7, 8], [9]]
    plan = plan_starts(ids(*rows))
    assert [way(plan, i) for i in range(12)] == [
        *[[(40, 100), (0, 40)]] * 3,
        *[[(0, 40)]] * 3,
        *[[(0, 60)]] * 4,
        *[[]] * 2,
    ]


def test_a_token_of_every_row_is_left():
    long = list(range(100))
    plan = plan_starts(ids(long, long[:60], [*long, 1], long[:60]))
    ends = [0 if home < 0 else plan.starts[home].end for home in plan.home]
    assert ends[1] == ends[3] == 59
    assert all(end < n for end, n in zip(ends, (100, 60, 101, 60), strict=True))


def random_rows(rng: random.Random) -> list[np.ndarray]:
    stems = [[rng.randrange(4) for _ in range(rng.randint(5, 60))] for _ in range(4)]
    stems += [[*rng.choice(stems), *(rng.randrange(4) for _ in range(30))] for _ in range(4)]
    return ids(*([*rng.choice(stems), *(rng.randrange(4) for _ in range(rng.randint(1, 30)))] for _ in range(60)))


@pytest.mark.parametrize("seed", range(20))
def test_starts_are_shared_and_worth_it(seed):
    rows = random_rows(random.Random(seed))
    plan = plan_starts(rows)
    assert plan.starts
    for n, start in enumerate(plan.starts):
        assert start.parent < n
        assert start.begin == (plan.starts[start.parent].end if start.parent >= 0 else 0)
        members = [i for i in range(len(rows)) if (start.begin, start.end) in way(plan, i) and below(plan, i, n)]
        spared = (len(members) - 1) * (start.end - start.begin)
        assert spared >= max(LEAST, WORTH * sum(len(rows[i]) - start.begin for i in members))
    for i, row in enumerate(rows):
        home = plan.home[i]
        while home >= 0:
            start = plan.starts[home]
            assert len(row) > start.end
            assert (rows[start.row][: start.end] == row[: start.end]).all()
            home = start.parent


def below(plan, row, start):
    home = plan.home[row]
    while home not in (-1, start):
        home = plan.starts[home].parent
    return home == start


@pytest.mark.parametrize("batch_tokens", [60, 100, 500, 10_000])
def test_batches_hold_what_they_may(batch_tokens):
    rng = random.Random(batch_tokens)
    new = [rng.randint(5, 50) for _ in range(60)]
    behind = [rng.choice([0, 0, 30, 2000]) for _ in new]
    logits = [rng.choice([1, 1, 7]) for _ in new]
    made = list(parted(range(60), new, behind, batch_tokens, 20, logits))
    assert sorted(i for batch in made for i in batch) == list(range(60))
    assert [new[batch[0]] for batch in made] == sorted((new[batch[0]] for batch in made), reverse=True)
    for batch in made:
        wide = max(new[i] for i in batch)
        assert sum(logits[i] for i in batch) <= 20
        assert len(batch) == 1 or len(batch) * wide <= batch_tokens
        assert len(batch) == 1 or len(batch) * (wide + max(behind[i] for i in batch)) <= max(PLACES, 2 * batch_tokens)


def test_a_batch_has_so_many_rows_where_each_has_one_place_with_logits():
    assert [len(batch) for batch in parted(range(7), [5] * 7, [0] * 7, 1000, 3)] == [3, 3, 1]
    assert [len(batch) for batch in parted(range(2), [5] * 2, [0] * 2, 1000, 3, [9, 9])] == [1, 1]


@pytest.mark.parametrize(("batch_tokens", "run_tokens"), [(100, 100), (400, 60), (5000, 300)])
def test_every_row_is_run_once_and_right(batch_tokens, run_tokens, tiny_model_dir):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama")).eval()
    rows = random_rows(random.Random(1))
    forward = Forward(model, 0)
    walk, seen = Walk(forward, rows, [2] * len(rows), batch_tokens, 1000, run_tokens), []
    assert len(walk.plan.starts) > 2
    assert any(s.parent >= 0 for s in walk.plan.starts)
    for members, begins, behind in walk.batches():
        rests = [rows[i][begin:] for i, begin in zip(members, begins, strict=True)]
        logits_bv, state = start_in_parts(forward, rests, behind, run_tokens, room=2)
        after_bv = forward.extend(state, [[7, 9]] * len(members))[1::2]
        for i, *found in zip(members, logits_bv, after_bv, strict=True):
            with torch.no_grad():
                wanted_tv = model(input_ids=torch.tensor([[*rows[i].tolist(), 7, 9]])).logits[0]
            assert torch.allclose(found[0], wanted_tv[-3], atol=2e-4)
            assert torch.allclose(found[1], wanted_tv[-1], atol=2e-4)
        seen += members
    assert sorted(seen) == list(range(len(rows)))
