"""Sweeps with vLLM against sweeps in process; vLLM itself is a stand-in, as strict as the real one."""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation.sweep_tasks import make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.cli.main import main
from paft.errors import EncodingError, InputError, ModelError, OutputError, RunError
from paft.evaluation import SweepResult, VllmModel, sweep
from paft.evaluation.answers.queries import Query
from paft.evaluation.vllm.backend import in_order, portions
from paft.evaluation.vllm.engine import MOST_LISTED, reads_of
from paft.evaluation.vllm.files import lora_room
from paft.tasks import Task


@pytest.fixture
def vllm(monkeypatch):
    """The stand-in, importable for one test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "vllm_stand_in"))
    import vllm as module

    assert "vllm_stand_in" in module.__file__
    yield module
    for name in [n for n in sys.modules if n.split(".")[0] == "vllm"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def llama(tiny_model_dir, tmp_path_factory) -> str:
    """A tiny model that likes line breaks, and sometimes ends."""
    folder = tmp_path_factory.mktemp("vllm") / "llama"
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    with torch.no_grad():
        for token in (tokenizer("\n", add_special_tokens=False)["input_ids"][-1], tokenizer.eos_token_id):
            model.lm_head.weight[token] *= 2
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def close(one: SweepResult, two: SweepResult) -> None:
    assert (one.prediction_pn == two.prediction_pn).all()
    assert np.allclose(one.loglik_pnk, two.loglik_pnk, atol=1e-4)
    assert [c.prompt_tokens for c in chain(*one.cells_pn)] == [c.prompt_tokens for c in chain(*two.cells_pn)]
    for name in ("mean", "std", "flip_rate", "macro_f1", "per_prompt", "mean_interval", "dtype", "adapter"):
        assert one.summary[name] == two.summary[name]


@pytest.mark.parametrize(
    ("kind", "scoring", "normalize", "old_runner"),
    [
        ("choice", "likelihood", "none", False),
        ("label", "likelihood", "none", False),
        ("label", "likelihood", "tokens", True),
        ("choice", "continuation", "bytes", False),
        ("choice", "continuation", "none", True),
    ],
)
def test_candidates(kind, scoring, normalize, old_runner, vllm, llama, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm.LLM, "old_runner", old_runner)
    task, how = make_task(kind, 4), {"scoring": scoring, "normalize": normalize, "dtype": "float32"}
    model, told = VllmModel(llama), []
    close(sweep(model, task, prompts, output=tmp_path, say=told.append, **how), sweep(llama, task, prompts, **how))
    assert told == [f"starting vLLM with {llama}"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {k: summary[k] for k in ("model", "backend", "vllm", "dtype", "scoring")} == {
        "model": llama,
        "backend": "vllm",
        "vllm": "0.33.0",
        "dtype": "float32",
        "scoring": scoring,
    }
    answered = vllm.LLM.made[-1].answered
    if kind == "choice" and scoring == "likelihood":
        assert len(answered) == 4 * len(prompts), "one request for all letters of a cell"
        assert sum(a.num_cached_tokens for a in answered) > 0
    stems = [a for a in answered if a.prompt_token_id_logprobs is not None]
    assert bool(stems) == (not old_runner and scoring + kind != "likelihoodchoice")
    if scoring == "continuation" and not old_runner:
        assert any(a.num_cached_tokens for a in stems), "contexts are not run again for every option"


@pytest.mark.parametrize("old_runner", [False, True])
def test_labels_that_begin_another(old_runner, vllm, llama, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm.LLM, "old_runner", old_runner)
    task = make_task("label", 3)
    task = Task("labels", "label", task.slots, ("person", "person number", "quiz"), read=task.read)
    there = sweep(VllmModel(llama), task, prompts, output=tmp_path, dtype="float32")
    close(there, sweep(llama, task, prompts, dtype="float32"))
    assert there.summary["answer_end"] == json.loads((tmp_path / "sweep.json").read_text())["answer_end"] == "</s>"


def test_what_the_cache_hides_is_asked_again(vllm, llama, prompts):
    """Long answers that begin alike: the cache of the first reaches into the second."""
    task = make_task("label", 3)
    start = "the quick brown fox jumps over the lazy dog and the number of the person is " * 2
    long = Task("long", "label", task.slots, (f"{start}one", f"{start}two", "one"), read=task.read)
    close(sweep(VllmModel(llama), long, prompts, dtype="float32"), sweep(llama, long, prompts, dtype="float32"))
    answered = vllm.LLM.made[-1].answered
    hidden = [a for a in answered if a.params.prompt_logprob_start is not None and a.prompt_token_id_logprobs is None]
    again = [a for a in answered if a.params.prompt_logprob_start and a.params.skip_reading_prefix_cache]
    assert len(hidden) == len(again) > 0


@pytest.mark.parametrize(("kind", "room"), [("choice", None), ("label", 12), ("free", 12), ("free", None)])
def test_generation(kind, room, vllm, llama, prompts):
    task = make_task(kind, 3)
    how = {"scoring": "generate", "max_new_tokens": room, "dtype": "float32"}
    there, here = sweep(VllmModel(llama), task, prompts, **how), sweep(llama, task, prompts, **how)
    cells = list(zip(chain(*there.cells_pn), chain(*here.cells_pn), strict=True))
    for one, two in cells:
        assert (one.text, one.generated_tokens, one.prediction, one.correct, one.prompt_tokens) == (
            (two.text, two.generated_tokens, two.prediction, two.correct, two.prompt_tokens)
        )
    assert there.summary["tokens_generated"] == here.summary["tokens_generated"]
    assert {c.generated_tokens for c, _ in cells} != {room}, "some rows of this test should stop early"
    if room:
        assert any("\n" in c.text[:-1] for c, _ in cells), "some rows of this test should go on after a line break"
    assert all(c <= len(cells) for c in vllm.LLM.made[-1].calls)


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_adapters_and_chat(scoring, vllm, llama, prompts, tmp_path):
    from peft import LoraConfig, get_peft_model

    adapter, task = tmp_path / "adapter", make_task("label", 2)
    torch.manual_seed(3)
    config = LoraConfig(r=10, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(llama), config).save_pretrained(adapter)
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    tokenizer.save_pretrained(adapter)
    how = {"scoring": scoring, "dtype": "float32", "max_new_tokens": 6}
    there = sweep(VllmModel(str(adapter)), task, prompts, output=tmp_path / "out", **how)
    here = sweep(adapter, task, prompts, chat="on", **how)
    assert there.text_pn == here.text_pn
    if scoring == "likelihood":
        close(there, here)
    assert vllm.LLM.made[-1].given["max_lora_rank"] == 16
    assert there.summary["adapter"] == str(adapter)
    with pytest.raises(OutputError, match="its weights"):
        sweep(VllmModel(llama), task, prompts, output=tmp_path / "out", chat="auto", **how)


def test_an_engine_is_kept_and_dtypes_are_its_own(vllm, llama, prompts):
    task, model, before = make_task("choice", 2), VllmModel(llama), len(vllm.LLM.made)
    assert sweep(model, task, prompts).summary["dtype"] == "bfloat16"  # vLLM's choice for weights of 32 bits
    sweep(model, task, prompts, scoring="continuation")
    assert len(vllm.LLM.made) == before + 1
    model.forget()
    sweep(model, task, prompts)
    first, last = vllm.LLM.made[-1].answered[0], vllm.LLM.made[-1].answered[-2 * len(prompts)]
    assert first.prompt_token_ids == last.prompt_token_ids
    assert first.num_cached_tokens == last.num_cached_tokens == 0
    assert sweep(model, task, prompts, dtype="fp32").summary["dtype"] == "float32"
    assert len(vllm.LLM.made) == before + 2


def test_interrupted_sweeps_go_on(vllm, llama, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(portions, "__defaults__", (7,))
    monkeypatch.setattr(vllm.LLM, "fails_at", 2)
    task, out = make_task("choice", 5), tmp_path / "out"
    with pytest.raises(RunError, match="vLLM stopped: CUDA out of memory"):
        sweep(VllmModel(llama), task, prompts, output=out, dtype="float32", flush_seconds=0)
    monkeypatch.setattr(vllm.LLM, "fails_at", None)
    done = sweep(VllmModel(llama), task, prompts, output=out, dtype="float32")
    close(done, sweep(llama, task, prompts, dtype="float32"))
    assert sum(vllm.LLM.made[-2].calls) + sum(vllm.LLM.made[-1].calls) == 5 * len(prompts)
    sweep(VllmModel(llama), task, prompts, output=out, dtype="float32")
    assert vllm.LLM.made[-1].calls == [], "nothing is asked twice"


def test_local_and_vllm_never_share_a_folder(vllm, llama, prompts, tmp_path):
    task, how = make_task("choice", 2), {"dtype": "float32"}
    sweep(VllmModel(llama, gpu_memory=0.5), task, prompts, output=tmp_path / "there", **how)
    sweep(llama, task, prompts, output=tmp_path / "here", **how)
    for model, folder in ((llama, "there"), (VllmModel(llama), "here")):
        with pytest.raises(OutputError, match="holds another sweep"):
            sweep(model, task, prompts, output=tmp_path / folder, **how)
    sweep(VllmModel(llama, gpu_memory=0.9), task, prompts, output=tmp_path / "there", **how)
    before = len(vllm.LLM.made)
    other = VllmModel(llama, args={"kv_cache_dtype": "fp8"})
    with pytest.raises(OutputError, match="vllm_args"):
        sweep(other, task, prompts, output=tmp_path / "there", **how)
    assert len(vllm.LLM.made) == before, "refused before vLLM was started"


def test_too_long_is_dropped_or_named(vllm, llama, prompts):
    task = make_task("choice", 4)
    lengths = [c.prompt_tokens for row in sweep(llama, task, prompts).cells_pn for c in row]
    limit = {"max_length": max(lengths), "dtype": "float32"}
    with pytest.raises(EncodingError, match=r"prompt .*, example .*longer than"):
        sweep(VllmModel(llama), task, prompts, **limit)
    there = sweep(VllmModel(llama), task, prompts, on_long="drop", **limit)
    close(there, sweep(llama, task, prompts, on_long="drop", **limit))
    assert there.summary["dropped"] >= 1


def test_wrong_calls(vllm, llama, prompts, tmp_path):
    task = make_task("choice", 2)
    for bad, match in (
        ({"tensor_parallel": 0}, "--tensor-parallel"),
        ({"gpu_memory": 1.5}, "--gpu-memory"),
        ({"args": {"max_model_len": 5}}, "use --max-length"),
        ({"args": {"logprobs_mode": "raw_logits"}}, "cannot set logprobs_mode"),
    ):
        with pytest.raises(InputError, match=match):
            VllmModel(llama, **bad)
    for options, match in (
        ({"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES"),
        ({"batch_tokens": 100}, "max_num_batched_tokens"),
        ({"dtype": "int8"}, "unknown dtype"),
    ):
        with pytest.raises(InputError, match=match):
            sweep(VllmModel(llama), task, prompts, **options)
    with pytest.raises(ModelError, match="unexpected keyword argument 'no_such'"):
        sweep(VllmModel(llama, args={"no_such": 1}), task, prompts)
    (tmp_path / "config.json").write_text((Path(llama) / "config.json").read_text())
    AutoTokenizer.from_pretrained(llama).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="safetensors"):
        sweep(VllmModel(str(tmp_path)), task, prompts)
    (tmp_path / "model.safetensors").write_bytes(b"not one at all")
    with pytest.raises(ModelError, match=r"model\.safetensors is not a safetensors file"):
        sweep(VllmModel(str(tmp_path)), task, prompts)


@pytest.mark.parametrize(
    ("config", "room"),
    [
        ({"r": 8}, 8),
        ({"r": 8, "rank_pattern": {"q_proj": 33}, "bias": "none", "use_dora": False, "modules_to_save": []}, 64),
        ({"r": 8, "use_dora": True}, "use_dora True"),
        ({"r": 8, "modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": 1024}, "rank 1024"),
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
    ],
)
def test_adapters_that_vllm_loads(config, room, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
    if isinstance(room, int):
        assert lora_room(tmp_path) == room
    else:
        with pytest.raises(ModelError, match=f"{room}.*\n.*paft merge"):
            lora_room(tmp_path)


def test_candidates_alike_but_for_their_last_token_are_one_read():
    query = Query([1, 2], [(5,), (6,), (5, 7), (6, 7, 8), (6, 7, 9), (5,)])
    reads = [(read.prompt, read.stem, read.following, places) for read, places in reads_of(query)]
    assert reads == [
        ([1, 2], 0, (5, 6), [0, 1, 5]),
        ([1, 2, 5], 1, (7,), [2]),
        ([1, 2, 6, 7], 2, (8, 9), [3, 4]),
    ]
    many = reads_of(Query([1], [(i,) for i in range(300)]))
    assert [len(read.following) for read, _ in many] == [MOST_LISTED, MOST_LISTED, 300 - 2 * MOST_LISTED]
    assert in_order([[2], [1, 5], [1], [1, 300]]) == [2, 1, 3, 0]
    assert list(portions([3, 0, 1, 2], [2, 2, 5, 1], size=4)) == [[3, 0], [1], [2]]


def test_without_vllm(monkeypatch, capsys, tmp_path):
    """One line, and exit code 2."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"text": "{text} Queue:"}\n')
    command = ["sweep", "--backend", "vllm", "--model", "embedded", "--task", "demo", "--prompts", str(prompts)]
    assert main([*command, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == "error: --backend vllm needs vLLM and a GPU that it supports: pip install 'paft[vllm]'\n"
    assert not (tmp_path / "out").exists()
