"""Shared starts, branches and rows gone on with: each the same as running every sequence whole and alone."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, MistralConfig

from paft.errors import InputError
from paft.evaluation.forward import Forward, evaluating
from paft.evaluation.likelihood import Query, log_likelihoods
from paft.evaluation.pairs import Pair, _common_start, batches, by_shared_start
from paft.prompts import Prompt
from paft.tasks import Example

FAMILIES = ("llama", "qwen3", "mistral", "gemma", "gpt2", "gpt_neox")
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@torch.no_grad()
def alone(model, ids):
    """Logits after every token of one sequence, on its own."""
    return model(input_ids=torch.tensor([ids])).logits[0]


def some_rows(count: int, low: int, high: int, start: tuple[int, ...] = ()) -> list[list[int]]:
    rng = random.Random(count)
    return [[*start, *(rng.randrange(3, 400) for _ in range(rng.randint(low, high)))] for _ in range(count)]


def close(one, two):
    assert torch.allclose(one, two, atol=2e-4), (one - two).abs().max()


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tiny_model_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_model_dir(request.param)).eval()


def test_all_families_take_any_mask(model):
    assert Forward(model, 0).free_masks


@pytest.mark.parametrize("shared", [0, 1, 5])
def test_start_and_extend(model, shared):
    rows, more = some_rows(5, 2, 9, (7, 8, 9, 10, 11)), some_rows(6, 1, 4)[:5]
    forward = Forward(model, 0)
    logits_bv, state = forward.start(rows, use_cache=True, shared=shared)
    for row, logits_v in zip(rows, logits_bv, strict=True):
        close(logits_v, alone(model, row)[-1])
    kept = [3, 1, 1]
    state.select(kept)
    logits_bjv = forward.extend(state, [more[i] for i in kept])
    for i, logits_jv in zip(kept, logits_bjv, strict=True):
        close(logits_jv[: len(more[i])], alone(model, rows[i] + more[i])[len(rows[i]) :])


@pytest.mark.parametrize("shared", [0, 4])
def test_branches_do_not_see_each_other(model, shared):
    rows = some_rows(4, 1, 6, (7, 8, 9, 10))
    branches = [[[20, 21], [30]], [[40]], [], [[50, 51, 52], [50, 60], [70, 71, 72, 73]]]
    forward = Forward(model, 0)
    _, state = forward.start(rows, use_cache=True, shared=shared)
    logits_bjv = forward.branch(state, branches)
    for row, ways, logits_jv in zip(rows, branches, logits_bjv, strict=True):
        at = 0
        for way in ways:
            close(logits_jv[at : at + len(way)], alone(model, row + way)[len(row) :])
            at += len(way)


def bloom():
    return AutoModelForCausalLM.from_config(BloomConfig(vocab_size=400, hidden_size=32, n_layer=2, n_head=4)).eval()


def mistral():
    config = MistralConfig(
        vocab_size=400, **SIZE, intermediate_size=64, num_key_value_heads=2, sliding_window=8, head_dim=8
    )
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("make", [bloom, mistral])
def test_models_that_cannot_hide_positions(make):
    """Positions by distance (Bloom) or a window that counts places: rows of their own, the same numbers."""
    torch.manual_seed(2)
    model = make()
    forward = Forward(model, 3)
    assert not forward.free_masks
    queries = [Query(row, [[20], [30, 31, 32], [40, 41]]) for row in some_rows(6, 3, 20)]
    for query, values in zip(queries, log_likelihoods(forward, queries), strict=True):
        for ids, value in zip(query.candidates, values, strict=True):
            log_probs = alone(model, [*query.context, *ids]).double().log_softmax(-1)
            start = len(query.context)
            wanted = sum(float(log_probs[start + j - 1, i]) for j, i in enumerate(ids))
            assert value == pytest.approx(wanted, abs=1e-4)


def test_evaluating_gives_back_every_mode(model):
    model.train()
    first = next(m for m in model.modules() if not list(m.children()))
    first.eval()
    modes = [m.training for m in model.modules()]
    with evaluating(model):
        assert not any(m.training for m in model.modules())
    assert [m.training for m in model.modules()] == modes
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert [m.training for m in model.modules()] == modes
    model.eval()


def test_common_start():
    assert _common_start([[1, 2, 3], [1, 2, 4, 5], [1, 2, 9]]) == 2
    assert _common_start([[1, 2], [1, 2, 3]]) == 1  # a token of each is left to run
    assert _common_start([[5], [5]]) == 0
    rng = random.Random(0)
    for _ in range(300):
        rows = [[rng.randrange(2) for _ in range(rng.randint(1, 6))] for _ in range(rng.randint(1, 5))]
        alike = 0
        while alike < min(map(len, rows)) - 1 and len({row[alike] for row in rows}) == 1:
            alike += 1
        assert _common_start(rows) == alike


def pairs_of(*counts: int) -> list[Pair]:
    prompts = [Prompt.from_text(f"{i} {{text}}", id=f"p{i}") for i in range(len(counts))]
    return [
        Pair(p, Example(f"e{k}", {"text": "x"}, "A", 0)) for p, n in zip(prompts, counts, strict=True) for k in range(n)
    ]


def test_prompts_share_where_it_is_worth_it():
    pairs = pairs_of(10, 3, 10)  # a long start, too few pairs, hardly a start
    contexts = (
        [[9] * 6 + [k, k] for k in range(10)] + [[8] * 6 + [k] for k in range(3)] + [[1, *[k] * 9] for k in range(10)]
    )
    groups = by_shared_start(pairs, contexts)
    assert groups[0] == (6, list(range(10)))
    assert groups[1] == (0, list(range(10, 23)))


@pytest.mark.parametrize("batch_tokens", [50, 64, 500, 10_000])
def test_batches_hold_what_they_may(batch_tokens):
    pairs = pairs_of(60)
    rng = random.Random(batch_tokens)
    lengths = [rng.randint(5, 50) for _ in pairs]
    costs = [length * rng.choice([1, 1, 3]) for length in lengths]
    made = list(batches(pairs, lengths, costs, batch_tokens, max_rows=20))
    assert sorted(i for batch in made for i in batch) == list(range(60))
    for batch in made:
        assert len(batch) <= 20
        assert len(batch) == 1 or len(batch) * max(costs[i] for i in batch) <= batch_tokens
    with pytest.raises(InputError, match="too small for one example"):
        list(batches(pairs, lengths, costs, max(lengths) - 1, 20))
