"""A sweep leaves out only what leaves its figures alone: beside one plain pass a row, on builds of all kinds."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow.dataset as ds
import pytest
import torch
from evaluation.sweep_tasks import make_task
from odd_models import CONFIGS, odd_model
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertLMHeadModel

from paft.errors import ModelError
from paft.evaluation import sweep
from paft.evaluation.answers.queries import Query
from paft.evaluation.local.forward import Forward
from paft.evaluation.local.likelihood import log_likelihoods
from paft.evaluation.local.shortcuts import Shortcuts
from paft.evaluation.local.walking import Walk
from paft.prompts import PromptSet

NO_CACHE = {"mamba", "falcon_mamba", "rwkv", "recurrent_gemma", "minimax", "xlstm", "bart_decoder"}


def queries(count: int = 8, longest: int = 40, low: int = 2) -> list[Query]:
    rng = random.Random(count)
    rows = [[rng.randrange(3, 400) for _ in range(rng.randint(low, longest))] for _ in range(count)]
    rows[1] = [*rows[0][: len(rows[0]) // 2], *rows[1]]  # something to share
    return [Query(row, [[20], [30, 31, 32], [40, 41]] if i % 3 else [[20], [21]]) for i, row in enumerate(rows)]


@torch.no_grad()
def wanted(model, query: Query) -> list[float]:
    """By one plain pass a candidate."""
    out = []
    for ids in query.candidates:
        row = torch.tensor([[*query.context, *ids]])
        log_probs = model(input_ids=row, use_cache=False).logits[0].double().log_softmax(-1)
        out.append(sum(float(log_probs[len(query.context) + j - 1, i]) for j, i in enumerate(ids)))
    return out


def settled(model, asked: list[Query], new_tokens: int = 0) -> Shortcuts:
    shortcuts = Shortcuts(Forward(model, 0), new_tokens)
    shortcuts.settle(asked)
    return shortcuts


def check(model, forward: Forward, asked: list[Query]) -> None:
    more = [query.rest(forward.free_masks) for query in asked]
    rows = [np.array(query.context, dtype=np.int32) for query in asked]
    seen = 0
    for batch in Walk(forward, rows, more, 200, 10_000).batches():
        rest = [Query(rows[i][b:], asked[i].candidates) for i, b in zip(batch.members, batch.begins, strict=True)]
        room = max(len(query.context) + query.rest(True) for query in rest)
        for i, values in zip(batch.members, log_likelihoods(forward, rest, batch.behind.take(room)), strict=True):
            assert values == pytest.approx(wanted(model, asked[i]), abs=5e-4)
            seen += 1
    assert seen == len(asked)


@pytest.mark.parametrize("kind", CONFIGS)
def test_log_likelihoods_of_every_build(kind):
    model = odd_model(kind, 512)
    asked = queries()
    shortcuts = settled(model, asked)
    check(model, shortcuts.forward, asked)
    found = shortcuts.record()
    assert found["way"] == ("padded" if kind in NO_CACHE | {"jamba"} else "cached")
    assert found["difference"] <= found["tolerance"] == 1e-4
    assert bool(found["reason"]) == (kind not in ("bloom", "mamba2"))  # no positions: nothing faster is tried


@pytest.mark.parametrize("kind", CONFIGS)
def test_generation_of_every_build(kind, tiny_tokenizer, prompts, tmp_path):
    """Texts of six tokens beside decoding without a cache, one row at a time."""
    prompts = PromptSet(list(prompts)[1:3])
    model, task = odd_model(kind, len(tiny_tokenizer)), make_task("free", 3)
    sweep((model, tiny_tokenizer), task, prompts, output=tmp_path / "out", max_new_tokens=6)
    by_id, examples = {p.id: p for p in prompts}, {e.id: e for e in task.examples("test")}
    for cell in ds.dataset(tmp_path / "out" / "cells").to_table().to_pylist():
        text = by_id[cell["prompt_id"]].render(examples[cell["example_id"]].slots).rstrip(" \t")
        ids, new = tiny_tokenizer(text)["input_ids"], []
        while len(new) < 6 and (not new or new[-1] != tiny_tokenizer.eos_token_id):
            with torch.no_grad():
                new.append(int(model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[0, -1].argmax()))
            if "\n" in tiny_tokenizer.decode(new[-1:]) and tiny_tokenizer.decode(new).strip():
                break
        assert cell["text"] == tiny_tokenizer.decode(new, skip_special_tokens=True)


def test_plain_builds_take_every_shortcut(tiny_model_dir):
    for family in ("llama", "qwen3", "mistral", "gemma", "gpt2", "gpt_neox"):
        model = AutoModelForCausalLM.from_pretrained(tiny_model_dir(family)).eval()
        for new_tokens in (0, 6):
            found = settled(model, queries(), new_tokens).record()
            assert (found["way"], found["reason"]) == ("shared", ""), family
            assert found["last_layer"]


def test_a_window_that_no_row_reaches_is_none():
    """And one that a later row reaches is one, from then on."""
    model = odd_model("mistral_window", 512)
    short, long = queries(4, 8), queries(6, 40, 30)
    shortcuts = settled(model, short)
    assert shortcuts.record()["way"] == "shared"
    check(model, shortcuts.forward, short)
    shortcuts.settle(long)
    assert shortcuts.record()["way"] == "cached"
    check(model, shortcuts.forward, long)


@pytest.mark.parametrize("new_tokens", [0, 1, 2])
def test_rows_as_long_as_the_model_has_positions(new_tokens, tiny_model_dir):
    """GPT-2's positions are learned: one token more cannot be run, not in a check either."""
    config = AutoConfig.from_pretrained(tiny_model_dir("gpt2"), n_positions=20 + new_tokens)
    model = AutoModelForCausalLM.from_config(config).eval()
    rows = [[*range(5, 25)], [*range(7, 27)]]
    asked = [Query(row if new_tokens else row[:-1], () if new_tokens else [[30, 31]]) for row in rows]
    assert settled(model, asked, new_tokens).record()["way"] == "shared"


def test_why_a_faster_way_would_not_do_stays_on_record():
    model = odd_model("mistral_window", 400)
    shortcuts = settled(model, queries(6, 40, 30))
    reason = shortcuts.record()["reason"]
    shortcuts.settle(queries(6, 60, 50))
    assert (shortcuts.record()["way"], bool(reason)) == ("cached", True)
    assert shortcuts.record()["reason"] == reason


@pytest.mark.parametrize("new_tokens", [0, 4])
def test_probes_keep_the_limits_of_a_batch(new_tokens, tiny_model_dir):
    """Tokens and logits of a pass: at most those of one row that is larger."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir()).eval()
    seen: list[tuple[int, int]] = []
    model.register_forward_hook(
        lambda module, args, kwargs, out: seen.append((kwargs["input_ids"].numel(), out.logits[..., 0].numel())),
        with_kwargs=True,
    )
    asked = [Query([*range(5, 5 + n)], () if new_tokens else [[20, 21, 22], [30, 31, 32]]) for n in (40, 8, 20, 30)]
    shortcuts = Shortcuts(Forward(model, 0), new_tokens, batch_tokens=50, max_logits=4)
    forward, largest = shortcuts.forward, max(len(q.context) + q.rest(True) for q in asked)
    forward.plain = lambda row, first=0, plain=forward.plain: (plain(row, first), seen.clear())[0]  # by itself
    shortcuts.settle(asked)
    assert shortcuts.record()["way"] == "shared"
    assert seen
    assert max(tokens for tokens, _ in seen) <= max(50, largest)
    assert max(logits for _, logits in seen) <= 4


def layers(model):
    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))


def test_rows_that_see_their_neighbours_are_run_one_by_one(tiny_model_dir, caplog):
    """A layer that takes something from the row above: no batch is right."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir()).eval()
    layers(model)[0].register_forward_hook(lambda module, args, out: out + 0.1 * out.roll(1, 0) * (len(out) > 1))
    asked = queries()
    shortcuts = settled(model, asked)
    assert shortcuts.record()["way"] == "single"
    check(model, shortcuts.forward, asked)
    assert caplog.text.count("rows are run one by one without a cache") == 1


def shy(module, args):
    """Works on whole rows only: those that are picked out stand in one."""
    if args[0].shape[0] == 1 and args[0].shape[1] < 9:
        raise RuntimeError("too few tokens")


def another(module, args, output):
    """Says something else where the rows are not whole."""
    return output * 1.1 if output.shape[0] == 1 and output.shape[1] < 9 else output


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("register", ["register_forward_pre_hook", "register_forward_hook"])
def test_all_of_the_last_layer_runs_where_parts_of_it_will_not_do(register, dtype, tiny_model_dir):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir(), dtype=dtype).eval()
    asked = [Query(row, [[20], [21]]) for row in [[*range(5, 20)], [*range(9, 30)], [*range(30, 47)]]]
    getattr(layers(model)[-1].mlp.gate_proj, register)(shy if register == "register_forward_pre_hook" else another)
    shortcuts = settled(model, asked)
    assert (shortcuts.record()["way"], shortcuts.record()["last_layer"]) == ("shared", False)
    for query, values in zip(asked, log_likelihoods(shortcuts.forward, asked), strict=True):
        assert values == pytest.approx(wanted(model, query), abs=1e-4)


def test_nothing_is_tried_twice(tiny_model_dir):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir()).eval()
    runs: list[int] = []
    model.register_forward_hook(lambda *_: runs.append(1))
    shortcuts = Shortcuts(Forward(model, 0))
    shortcuts.settle([])
    assert (runs, shortcuts.record()) == ([], {})
    shortcuts.settle(queries())
    assert 0 < len(runs) <= 30
    before = len(runs)
    shortcuts.settle(queries())
    assert len(runs) == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_models_that_see_later_tokens_are_refused(dtype):
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = BertLMHeadModel(BertConfig(vocab_size=512, **size, initializer_range=0.3)).to(dtype).eval()
    with pytest.raises(ModelError, match="sees tokens that come after .*\nexpected a causal language model"):
        settled(model, queries())
    model.config.is_decoder = True  # the same weights, masked: BERT as a language model
    assert settled(BertLMHeadModel(model.config).to(dtype).eval(), queries()).record()["way"]


def test_half_precision_is_held_to_its_own_noise(tiny_model_dir):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir(), dtype=torch.bfloat16).eval()
    found = settled(model, queries()).record()
    assert found["way"] == "shared"
    assert 0.03 <= found["tolerance"] <= 0.1
    odd = settled(odd_model("mamba", 512).to(torch.bfloat16), queries()).record()
    assert odd["way"] == "padded"


def test_the_folder_tells_how_rows_were_run(tiny_tokenizer, prompts, tmp_path):
    """A file of its own: summaries of a sweep that was stopped and one that was not are the same."""
    sweep((odd_model("bloom", len(tiny_tokenizer)), tiny_tokenizer), make_task("label", 3), prompts, output=tmp_path)
    found = json.loads((tmp_path / "shortcuts.json").read_text())
    assert (found["way"], found["last_layer"]) == ("cached", False)
    assert "shortcuts" not in json.loads((tmp_path / "summary.json").read_text())


def test_a_model_that_is_refused_leaves_no_folder(tiny_tokenizer, prompts, tmp_path):
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = BertLMHeadModel(BertConfig(vocab_size=len(tiny_tokenizer), **size, initializer_range=0.3)).eval()
    for kind in ("label", "free"):
        with pytest.raises(ModelError, match="sees tokens that come after"):
            sweep((model, tiny_tokenizer), make_task(kind, 3), prompts, output=tmp_path / kind)
        assert not (tmp_path / kind).exists()
