"""Packed rows: their tensors, attention within each, and when a run packs, when it pads, and what it says of it."""

from __future__ import annotations

import inspect
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from training.helpers import make_task, settings
from transformers import AutoModelForCausalLM, BloomConfig, Gemma2Config, MistralConfig, TrainerCallback

from paft.errors import InputError, ModelError
from paft.models import Encoding
from paft.training import PaftTrainer
from paft.training.lora import lora_config
from paft.training.packing.attention import FLASH, PACKED, VARLEN, PackedRows, attention, candidates, packed_attention
from paft.training.packing.micro import IGNORED, Item, pack, split


def test_tensors_of_packed_rows():
    rows = [Item(4, "", Encoding([1, 5, 6, 7, 2], 3)), Item(9, "", Encoding([1, 8, 2], 2))]
    micro = pack(rows)
    assert micro["input_ids"].tolist() == [[1, 5, 6, 7, 2, 1, 8, 2]]
    assert micro["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert micro["keep"].tolist() == [2, 3, 6]
    assert micro["targets"].tolist() == [7, 2, 2]
    assert micro["labels"].tolist() == [[7, 2], [IGNORED, 2]]
    assert micro["positions"].tolist() == [4, 9]
    assert micro["packed_rows"].lengths == (5, 3)


@given(st.lists(st.integers(3, 40), min_size=1, max_size=30), st.integers(40, 200))
def test_packed_micro_batches_hold_as_many_tokens_as_fit(lengths, batch_tokens):
    items = [Item(i, "", Encoding([3] * n, n - 2)) for i, n in enumerate(lengths)]
    groups = [[len(i.encoding.input_ids) for i in group] for group in split(items, batch_tokens, packed=True)]
    assert [n for group in groups for n in group] == sorted(lengths, reverse=True)
    assert all(sum(group) <= batch_tokens for group in groups)
    assert all(sum(one) + other[0] > batch_tokens for one, other in pairwise(groups))


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("lengths", [(7, 5, 5, 2), (6,), (4, 4, 4), (1, 1, 9)])
def test_attention_within_each_row(lengths, kv_heads):
    """Against a softmax over a block-diagonal causal mask, in float64, with gradients."""
    torch.manual_seed(0)
    tokens = sum(lengths)
    inputs = [torch.randn(1, h, tokens, 8, dtype=torch.double, requires_grad=True) for h in (4, kv_heads, kv_heads)]
    module = torch.nn.Identity()
    found, _ = packed_attention(module, *inputs, None, scaling=0.3, packed_rows=PackedRows(lengths))
    twins = [x.detach().clone().requires_grad_() for x in inputs]
    query, key, value = (x.repeat_interleave(4 // x.shape[1], 1) for x in twins)
    mask = torch.block_diag(*(torch.ones(n, n).tril() for n in lengths)).bool()
    scores = (query @ key.mT * 0.3).masked_fill(~mask, -torch.inf)
    wanted = (scores.softmax(-1) @ value).transpose(1, 2)
    assert torch.allclose(found, wanted, atol=1e-12)
    weights = torch.randn_like(wanted)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert all(torch.allclose(a.grad, b.grad, atol=1e-12) for a, b in zip(inputs, twins, strict=True))


def varlen_stand_in(*args: Any, **options: Any) -> torch.Tensor:
    """What torch's kernels do on a GPU, row by row, for arguments that the real function takes."""
    given = inspect.signature(varlen_attn).bind(*args, **options).arguments
    assert given["window_size"] == (-1, 0)  # causal
    ends = given["cu_seq_q"]
    assert (given["cu_seq_k"] is ends, ends.dtype, ends[0].item()) == (True, torch.int32, 0)
    assert given["max_q"] == given["max_k"] == ends.diff().max()
    rows = zip(*(given[name].split(ends.diff().tolist()) for name in ("query", "key", "value")), strict=True)
    how = {"is_causal": True, "scale": given["scale"], "enable_gqa": given["enable_gqa"]}
    outputs = [scaled_dot_product_attention(*(x.transpose(0, 1) for x in row), **how) for row in rows]
    return torch.cat([out.transpose(0, 1) for out in outputs])


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_rows_in_one_call(family, tiny_model_dir, tmp_path, prompts, monkeypatch):
    """GPT-2's attention has dropout in training, which those kernels do not know."""
    calls = []
    monkeypatch.setattr("paft.training.packing.check.candidates", lambda *args: (VARLEN,))
    monkeypatch.setattr(
        "paft.training.packing.attention.varlen_attn", lambda *a, **k: calls.append(1) or varlen_stand_in(*a, **k)
    )
    trainer = make(tmp_path / "run", tiny_model_dir(family), prompts, adapter=False, max_steps=1)
    trainer.train()
    found, layers = recorded(tmp_path / "run"), trainer.model.config.num_hidden_layers
    assert (found["used"], found["attention"]) == (True, VARLEN)
    assert found["check"]["gradient"] < 1e-5
    assert len(calls) == layers * (1 if family == "gpt2" else 2)  # in the check, and in the step


def test_which_attention_is_tried(tiny_model_dir, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir())
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert list(candidates(model, cpu, True)) == [PACKED]
    assert list(candidates(model, gpu, False)) == [PACKED]
    assert list(candidates(model, gpu, True)) == [VARLEN, PACKED]
    monkeypatch.setattr("paft.training.packing.attention.is_flash_attn_2_available", lambda: True)
    assert list(candidates(model, gpu, True)) == [FLASH, VARLEN, PACKED]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"softcap": 50.0}, "its attention has softcap"),
        ({"sliding_window": 4}, "its attention sees 4 tokens, and rows are longer"),
        ({"is_causal": False}, "not plainly causal"),
        ({"packed_rows": None}, "does not hand its forward's arguments on"),
        ({"packed_rows": PackedRows((5, 4))}, "looks at other tokens"),
    ],
)
def test_attention_of_other_kinds_is_refused(options, said):
    states = [torch.randn(1, 2, 8, 4)] * 3
    with pytest.raises(ModelError, match=said):
        packed_attention(torch.nn.Identity(), *states, None, **({"packed_rows": PackedRows((5, 3))} | options))


def make(run: Path, model: Any, prompts: Any, callbacks: Any = (), adapter: bool = True, **changes: Any) -> PaftTrainer:
    config = lora_config() if adapter else None
    return PaftTrainer(model, settings(run, **changes), make_task(), prompts, config, callbacks=callbacks)


def recorded(run: Path) -> dict[str, Any]:
    return json.loads((run / "environment.json").read_text())["packing"]


def test_a_run_packs_by_itself_and_keeps_the_proof(tiny_model_dir, tmp_path, prompts):
    trainer = make(tmp_path / "run", tiny_model_dir("qwen3"), prompts, max_steps=1)
    trainer.train()
    found = recorded(tmp_path / "run")
    assert (found["used"], found["attention"], found["reason"], found["last_layer"]) == (True, PACKED, None, True)
    assert 0 <= found["check"]["loss"] < 1e-5
    assert 0 <= found["check"]["gradient"] < 1e-5
    assert found["check"]["tolerance"] == 1e-4
    rows = trainer.train_dataset.encode(trainer.batches.rows(0, 4))
    assert trainer.tokens == sum(len(item.encoding.input_ids) for item in rows)


class Onlooker(TrainerCallback):
    """Uses the model between steps, on padded rows, as a sweep does."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        ids = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 3]])
        mask = (ids != 0).long()
        model.eval()
        with torch.no_grad():
            both = model(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
            alone = model(input_ids=ids[:1, 2:]).logits
        same = torch.allclose(both[0, 2:], alone[0], atol=1e-5)
        self.seen.append((model.config._attn_implementation, same))


def test_the_model_keeps_its_own_attention_outside_of_steps(tiny_model_dir, tmp_path, prompts):
    onlooker = Onlooker()
    trainer = make(tmp_path / "run", tiny_model_dir(), prompts, [onlooker], adapter=False, packing="on", max_steps=2)
    trainer.train()
    trainer.save_model()
    assert onlooker.seen == [("sdpa", True)] * 2
    assert PACKED not in (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(TypeError), attention(trainer.model, PACKED):  # a forward that fails
        trainer.model(7)
    assert trainer.model.config._attn_implementation == "sdpa"


def test_packed_and_padded_runs_end_alike(tiny_model_dir, tmp_path, prompts, unseen):
    weights = []
    for packing in ("on", "off"):
        args = settings(tmp_path / packing, packing=packing, batch_tokens=150, per_device_train_batch_size=6)
        trainer = PaftTrainer(tiny_model_dir("mistral"), args, make_task(), prompts, lora_config(), None, unseen)
        trainer.train()
        weights.append({n: p for n, p in trainer.model.named_parameters() if p.requires_grad})
        assert recorded(tmp_path / packing)["used"] == (packing == "on")
    assert all(torch.allclose(weights[0][n], weights[1][n], rtol=1e-4, atol=1e-5) for n in weights[0])


SPECIAL = {"vocab_size": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}


def of_config(config: Any) -> Any:
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(config)


def sliding() -> Any:
    return of_config(MistralConfig(**SPECIAL, **SIZE, **GROUPED, sliding_window=16))


def softcapped() -> Any:
    return of_config(Gemma2Config(**SPECIAL, **SIZE, **GROUPED, sliding_window=4096))


def alibi() -> Any:
    return of_config(BloomConfig(**SPECIAL, hidden_size=32, n_layer=2, n_head=4))


def leaking() -> Any:
    """A layer that mixes each token with the one before it, whichever row that is of."""
    model = of_config(MistralConfig(**SPECIAL, **SIZE, **GROUPED, sliding_window=None))

    def mix(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        return output + torch.nn.functional.pad(output[:, :-1], (0, 0, 1, 0))

    model.model.layers[0].register_forward_hook(mix)
    return model


CASES = {
    "a sliding window": (sliding, {}, r"the model attends to 16 tokens, and the longest row has \d\d"),
    "a soft cap": (softcapped, {}, "its attention has softcap"),
    "alibi": (alibi, {}, "BloomForCausalLM takes no position_ids"),
    "rows that leak": (
        leaking,
        {},
        r"packed rows and rows one by one differ by \S+ in loss and \S+ in gradient, more than 1.0e-04",
    ),
    "NEFTune": (None, {"neftune_noise_alpha": 5.0}, "NEFTune's noise depends on the length"),
    "switched off": (None, {"packing": "off"}, "--packing off"),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_are_padded_where_packing_would_not_be_the_same(
    case, tiny_model_dir, tiny_tokenizer, tmp_path, prompts, caplog
):
    build, changes, said = CASES[case]
    model = build() if build else tiny_model_dir()
    trainer = PaftTrainer(
        model,
        settings(tmp_path / "run", max_steps=1, **changes),
        make_task(),
        prompts,
        None,
        processing_class=tiny_tokenizer,
    )
    trainer.train()
    found = recorded(tmp_path / "run")
    assert found["used"] is False
    assert re.search(said, found["reason"]), found["reason"]
    assert (f"rows are padded, not packed: {found['reason']}" in caplog.text) == (case != "switched off")
    if case != "switched off":
        args = settings(tmp_path / "on", max_steps=1, packing="on", **changes)
        trainer = PaftTrainer(model, args, make_task(), prompts, None, processing_class=tiny_tokenizer)
        with pytest.raises(InputError, match=f"--packing on: .*{said}"):
            trainer.train()
        assert not (tmp_path / "on" / "config.yaml").exists()


def test_a_window_longer_than_every_row_is_none(tiny_tokenizer, tmp_path, prompts):
    """Though it is shorter than --max-length."""
    model = of_config(MistralConfig(**SPECIAL, **SIZE, **GROUPED, sliding_window=200))
    args = settings(tmp_path / "run", max_steps=1, max_length=1024)
    PaftTrainer(model, args, make_task(), prompts, None, processing_class=tiny_tokenizer).train()
    assert recorded(tmp_path / "run")["used"] is True


def test_a_run_goes_on_as_it_began(tiny_model_dir, tmp_path, prompts, caplog):
    run, saving = tmp_path / "run", {"save_strategy": "steps", "save_steps": 5}
    make(run, tiny_model_dir(), prompts, packing="off", **saving).train()
    (run / "checkpoint-12" / "paft_complete.json").unlink()
    make(run, tiny_model_dir(), prompts, **saving).train()
    assert recorded(run)["reason"] == "the run was begun without packing"
    (run / "checkpoint-12" / "paft_complete.json").unlink()
    assert "last bits" not in caplog.text
    make(run, tiny_model_dir(), prompts, packing="on", **saving).train()
    assert "rows were padded before and are packed now: the last bits of the result may differ" in caplog.text
    (run / "checkpoint-12" / "paft_complete.json").unlink()
    make(run, tiny_model_dir(), prompts, **saving).train()
    assert recorded(run)["used"] is True


def test_a_run_from_before_goes_on_with_all_of_its_last_layer(tiny_model_dir, tmp_path, prompts):
    run, saving = tmp_path / "run", {"save_strategy": "steps", "save_steps": 5}
    make(run, tiny_model_dir(), prompts, **saving).train()
    assert recorded(run)["last_layer"] is True
    (run / "checkpoint-12" / "paft_complete.json").unlink()
    record = json.loads((run / "environment.json").read_text())
    del record["packing"]["last_layer"]
    (run / "environment.json").write_text(json.dumps(record))
    make(run, tiny_model_dir(), prompts, **saving).train()
    assert (recorded(run)["used"], recorded(run)["last_layer"]) == (True, False)


def test_all_of_the_last_layer_is_run_where_parts_will_not_do(tiny_tokenizer, tmp_path, prompts):
    """A feed-forward network that wants all the tokens there are."""
    model = of_config(MistralConfig(**SPECIAL, **SIZE, **GROUPED, sliding_window=None))

    def check(module: Any, args: Any) -> None:
        if args[0].shape[1] < 20:
            raise RuntimeError("too few tokens")

    model.model.layers[-1].mlp.gate_proj.register_forward_pre_hook(check)
    args = settings(tmp_path / "run", max_steps=1)
    PaftTrainer(model, args, make_task(), prompts, None, processing_class=tiny_tokenizer).train()
    found = recorded(tmp_path / "run")
    assert (found["used"], found["last_layer"]) == (True, False)


def test_packing_has_three_settings(tmp_path):
    with pytest.raises(InputError, match="unknown packing 'yes'; expected one of auto, on, off"):
        settings(tmp_path, packing="yes")
