"""Shared starts, branches and rows gone on with: each the same as running every sequence whole and alone."""

from __future__ import annotations

import inspect
import random
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from paft.evaluation.local.forward import Forward, evaluating

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


def after_shared(forward, rows, shared):
    """The state of what all rows begin with, for each of them, and what is left of them."""
    if not shared:
        return None, rows
    _, state = forward.start([rows[0][:shared]], use_cache=True, wanted=False)
    return state.picked([0] * len(rows), room=3), [row[shared:] for row in rows]


class OldNames(LlamaForCausalLM):
    """As code that a model brings along has it: the older name of the cache, in its argument and in what it returns."""

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, use_cache=None):
        name = "cache" if "cache" in inspect.signature(super().forward).parameters else "past_key_values"
        places = {"attention_mask": attention_mask, "position_ids": position_ids}
        out = super().forward(input_ids, **places, **{name: past_key_values}, use_cache=use_cache)
        return SimpleNamespace(logits=out.logits, past_key_values=out[name])


def test_a_model_with_the_older_name_of_the_cache(tiny_model_dir):
    """In both ways: a cache that is given, and one that the model makes."""
    model = OldNames.from_pretrained(tiny_model_dir()).eval()
    rows, more = some_rows(3, 2, 9), some_rows(3, 1, 4)
    for way in ("shared", "cached"):
        forward = Forward(model, 0)
        forward.way = way
        logits_bv, state = forward.start(rows, use_cache=True)
        after = iter(forward.extend(state, more))
        for row, new, logits_v in zip(rows, more, logits_bv, strict=True):
            wanted = alone(model, row + new)[len(row) - 1 :]
            for found, logits in zip([logits_v, *(next(after) for _ in new)], wanted, strict=True):
                close(found, logits)


def check_going_on(model, forward, rows, more, logits_bv, state, kept):
    """Logits after ``rows``, and after ``more`` behind those that are kept."""
    for row, logits_v in zip(rows, logits_bv, strict=True):
        close(logits_v, alone(model, row)[-1])
    state.select(kept)
    logits = iter(forward.extend(state, [more[i] for i in kept]))
    for i in kept:
        for wanted in alone(model, rows[i] + more[i])[len(rows[i]) :]:
            close(next(logits), wanted)
    assert next(logits, None) is None


@pytest.mark.parametrize("shared", [0, 1, 5])
def test_start_and_extend(model, shared):
    rows, more = some_rows(5, 2, 9, (7, 8, 9, 10, 11)), some_rows(6, 1, 4)[:5]
    forward = Forward(model, 0)
    after, rests = after_shared(forward, rows, shared)
    logits_bv, state = forward.start(rests, use_cache=True, after=after)
    check_going_on(model, forward, rows, more, logits_bv, state, [3, 1, 1])


def test_a_state_can_be_gone_on_from_twice_and_far(model):
    """Rows of different lengths picked from a state; then more tokens than it was given room for."""
    rows = some_rows(4, 1, 9, (7, 8))
    forward = Forward(model, 0)
    _, first = forward.start(rows, use_cache=True, wanted=False)
    for kept in ([2, 0], [1, 1, 3]):
        more = some_rows(len(kept), 1, 5)
        after = first.picked(kept, room=2)
        logits_bv, state = forward.start(more, use_cache=True, after=after)
        for i, ids, logits_v in zip(kept, more, logits_bv, strict=True):
            close(logits_v, alone(model, rows[i] + ids)[-1])
        last = some_rows(3, 20, 25)[: len(kept)]
        logits = iter(forward.extend(state, last))
        for i, ids, end in zip(kept, more, last, strict=True):
            for wanted in alone(model, rows[i] + ids + end)[len(rows[i] + ids) :]:
                close(next(logits), wanted)


@pytest.mark.parametrize("shared", [0, 4])
def test_branches_do_not_see_each_other(model, shared):
    rows = some_rows(4, 1, 6, (7, 8, 9, 10))
    branches = [[[20, 21], [30]], [[40]], [], [[50, 51, 52], [50, 60], [70, 71, 72, 73]]]
    forward = Forward(model, 0)
    after, rests = after_shared(forward, rows, shared)
    _, state = forward.start(rests, use_cache=True, after=after)
    logits = iter(forward.branch(state, branches))
    for row, ways in zip(rows, branches, strict=True):
        for way in ways:
            for wanted in alone(model, row + way)[len(row) :]:
                close(next(logits), wanted)


def test_the_head_runs_where_it_is_asked_for(model):
    """And what it gives is what the whole model gives, softcap and scale included."""
    seen = []
    forward = Forward(model, 0)
    handle = model.get_output_embeddings().register_forward_hook(lambda _, args, out: seen.append(out.shape[:-1]))
    rows = some_rows(5, 2, 30)
    forward.start(rows, use_cache=False)
    _, state = forward.start(rows, use_cache=True, wanted=False)
    forward.extend(state, [[5], [6, 7], [8], [9], [10, 11, 12]])
    handle.remove()
    assert [shape.numel() for shape in seen] == [5, 0, 8]


def decoder_layers(model):
    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))


def test_the_last_layer_runs_where_it_is_asked_for(model):
    """Its feed-forward network at most where logits are wanted, that of the layer before everywhere."""
    seen = {0: [], 1: []}
    forward = Forward(model, 0)
    for i, layer in enumerate(decoder_layers(model)[-2:]):
        inside = next(layer.mlp.children())
        inside.register_forward_pre_hook(lambda _, args, i=i: seen[i].append(args[0].shape[:-1].numel()))
    rows = some_rows(5, 6, 30)
    width = max(map(len, rows))
    _, state = forward.start(rows, use_cache=True)
    forward.extend(state, [[5], [6, 7], [8], [9], [10, 11, 12]])  # half of the places are asked for: left as it is
    forward.start(rows, use_cache=True, wanted=False)
    assert seen == {0: [5 * width, 15, 5 * width], 1: [5, 15, 1]}


def test_models_with_few_positions(tiny_model_dir):
    config = AutoConfig.from_pretrained(tiny_model_dir("gpt2"), n_positions=6)
    model = AutoModelForCausalLM.from_config(config).eval()
    close(Forward(model, 0).start([[5, 6, 7]], use_cache=False)[0][0], alone(model, [5, 6, 7])[-1])


@pytest.mark.parametrize("way", ["padded", "single"])
def test_rows_that_are_run_again_in_place_of_a_cache(model, way):
    rows, more = some_rows(4, 2, 9), some_rows(4, 1, 4)
    forward = Forward(model, 0)
    forward.way = way
    logits_bv, state = forward.start(rows, use_cache=True)
    check_going_on(model, forward, rows, more, logits_bv, state, [2, 0, 0])


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
