"""``train()``: the run folder, work that is there already, choosing the one prompt, merging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM, PeftModel
from training.helpers import TEMPLATES, make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import DataError, InputError, ModelError, OutputError
from paft.models import resolve_model
from paft.prompts import PromptSet
from paft.training import merge, train
from paft.training.run import choose_prompts


def run(model: Path, output: Path, **changes: Any) -> Any:
    plain: dict[str, Any] = {
        "model": model,
        "task": make_task(),
        "prompts": PromptSet.from_texts(TEMPLATES),
        "output": output,
        "device": "cpu",
        "num_train_epochs": 1,
        "learning_rate": 1e-2,
        "logging_steps": 2,
        "chat": "off",
        "say": lambda text: None,
    }
    return train(**(plain | changes))


@pytest.fixture(scope="module")
def finished(tiny_model_dir, tmp_path_factory) -> Path:
    """A finished LoRA run."""
    output = tmp_path_factory.mktemp("finished") / "run"
    run(tiny_model_dir("llama"), output)
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_run_folder(finished, tiny_model_dir):
    names = {p.name for p in finished.iterdir()}
    assert names >= {
        "config.yaml",
        "environment.json",
        "prompts.jsonl",
        "plan",
        "metrics.jsonl",
        "result.json",
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
    }
    assert not any(p.suffix == ".bin" for p in finished.rglob("*"))
    assert PromptSet.load(finished / "prompts.jsonl") == PromptSet.from_texts(TEMPLATES)
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert (config["method"], config["task"], config["examples"]["count"]) == ("paft", "topics", 24)
    assert config["model"] == str(tiny_model_dir("llama"))
    assert config["training"]["examples_per_prompt"] == 4
    assert config["adapter"]["r"] == 8
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2]
    assert set(lines[0]) >= {"step", "epoch", "loss", "learning_rate", "grad_norm", "seconds"}
    assert pq.read_table(finished / "plan" / "epoch-0.parquet").num_rows == 24
    assert json.loads((finished / "result.json").read_text())["steps"] == 3


def test_what_a_run_spent(finished, tiny_model_dir):
    result = json.loads((finished / "result.json").read_text())
    plan = pq.read_table(finished / "plan" / "epoch-0.parquet").to_pydict()
    examples = {e.id: e for e in make_task().examples("train")}
    prompts = {p.id: p for p in PromptSet.load(finished / "prompts.jsonl")}
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    tokens = 0
    for example, prompt in zip(plan["example_id"], plan["prompt_id"], strict=True):
        text = prompts[prompt].render(examples[example].slots)
        glue = "" if text[-1].isspace() else " "
        tokens += len(tokenizer(text + glue + examples[example].answer)["input_ids"]) + 1  # the end token
    assert result["tokens"] == tokens
    assert 0 < result["processor_seconds"] < 100


def test_the_folder_loads_with_plain_peft_and_merges(finished, tiny_model_dir, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(finished)
    inputs = tokenizer("Text: the box. Topic:", return_tensors="pt")
    one = AutoPeftModelForCausalLM.from_pretrained(finished)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"))
    before = base(**inputs).logits
    two = PeftModel.from_pretrained(base, finished)
    logits = one(**inputs).logits
    assert torch.equal(logits, two(**inputs).logits)
    assert not torch.allclose(logits, before, atol=1e-3)
    folder = merge(finished, tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.allclose(plain(**inputs).logits, logits, atol=1e-5)
    assert AutoTokenizer.from_pretrained(folder)("Topic:")["input_ids"] == tokenizer("Topic:")["input_ids"]
    assert (folder / "model.safetensors").is_file()
    assert not list(folder.glob("adapter*"))
    assert resolve_model(folder).run == folder  # a sweep of it refuses the prompts it was trained on
    assert (folder / "prompts.jsonl").read_bytes() == (finished / "prompts.jsonl").read_bytes()


def test_what_cannot_be_merged(finished, tiny_model_dir, tmp_path):
    with pytest.raises(InputError, match="is a plain model already"):
        merge(tiny_model_dir("llama"), tmp_path / "out")
    with pytest.raises(ModelError, match="does not fit the base model"):
        merge(tiny_model_dir("gpt2"), tmp_path / "out", adapter=finished)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="exists and is not empty"):
        merge(finished, tmp_path / "full")
    assert contents(tmp_path) == {"full/mine.txt": b"keep"}


def test_full_fine_tuning_leaves_a_plain_model(tiny_model_dir, tmp_path):
    run(tiny_model_dir("gpt2"), tmp_path / "run", full=True, method="user", save_strategy="no")
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir("gpt2"))
    changed = [n for (n, a), b in zip(trained.named_parameters(), base.parameters(), strict=True) if not a.equal(b)]
    assert len(changed) == len(list(base.parameters()))
    assert trained.config.use_cache == base.config.use_cache
    assert [p.text for p in PromptSet.load(tmp_path / "run" / "prompts.jsonl")] == [TEMPLATES[0]]


def test_the_same_work_again_does_nothing(finished, tiny_model_dir):
    before, said = contents(finished), []
    result = run(tiny_model_dir("llama"), finished, say=said.append)
    assert result.steps == 3
    assert said == [f"{finished} holds this run already, finished; nothing to do"]
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 2e-2}, r"training\.learning_rate is 0\.01 there and 0\.02 here"),
        ({"seed": 1}, r"training\.seed is 0 there and 1 here"),
        ({"method": "static-mix"}, "method is 'paft' there and 'static-mix' here"),
        ({"prompts": PromptSet.from_texts(TEMPLATES[:5])}, r"prompts\.count is 6 there and 5 here"),
        ({"limit": 23}, r"examples\.count is 24 there and 23 here"),
        ({"lora_r": 4}, r"adapter\.r is 8 there and 4 here"),
        ({"per_device_train_batch_size": 4}, "examples_per_step is 8 there and 4 here"),
    ],
)
def test_other_work_is_refused_and_nothing_written(changes, message, finished, tiny_model_dir):
    before = contents(finished)
    with pytest.raises(OutputError, match=message) as caught:
        run(tiny_model_dir("llama"), finished, **changes)
    assert caught.value.exit_code == 2
    assert 1 <= str(caught.value).count("\n") + 1 <= 3
    assert contents(finished) == before


def test_folders_that_are_no_runs(tiny_model_dir, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"is not empty and holds no training run \(found thesis\.tex\)"):
        run(tiny_model_dir("llama"), tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("- a\n- list")
    with pytest.raises(DataError, match="is not the record of a training run"):
        run(tiny_model_dir("llama"), tmp_path / "run")
    assert set(contents(tmp_path)) == {"thesis.tex", "run/config.yaml"}


def test_what_is_said_before_the_start(tiny_model_dir, tmp_path):
    said: list[str] = []
    run(tiny_model_dir("llama"), tmp_path / "run", say=said.append, resume=True, lora_targets="all-linear")
    text = "\n".join(said)
    assert "weights: " in text
    assert "24 examples x 1 epochs = 3 steps of 8 examples" in text
    assert "memory: about" in text
    assert "has no complete checkpoint; starting from the first step" in text


def test_choosing_the_one_prompt(task, prompts, tmp_path):
    second = prompts.ids[1]
    assert choose_prompts(task, prompts, "user", second).ids == [second]
    assert choose_prompts(task, PromptSet([prompts[second]]), "user").ids == [second]
    assert [p.text for p in choose_prompts(task, prompts, "user")] == [task.user_prompt]
    assert choose_prompts(task, prompts, "paft") is prompts
    selection = tmp_path / "selection.json"
    selection.write_text(json.dumps({"method": "batprompt", "prompt_id": "b7", "text": "{text} {hint} Answer:"}))
    (chosen,) = choose_prompts(task, None, "user", selection=selection)
    assert (chosen.id, chosen.text) == ("b7", "{text} {hint} Answer:")


def test_no_way_to_tell_the_prompt(task, prompts, tmp_path):
    from dataclasses import replace

    with pytest.raises(InputError, match="name it with --prompt-id"):
        choose_prompts(replace(task, user_prompt=""), prompts, "user")
    with pytest.raises(InputError, match="no prompt with id 'zzz'"):
        choose_prompts(task, prompts, "user", "zzz")
    with pytest.raises(InputError, match="--method paft needs --prompts"):
        choose_prompts(task, None, "paft")
    with pytest.raises(InputError, match="choose the one prompt of --method user"):
        choose_prompts(task, prompts, "paft", prompts.ids[0])
    (tmp_path / "s.json").write_text('{"id": 3}')
    with pytest.raises(InputError, match="is not a selection"):
        choose_prompts(task, prompts, "user", selection=tmp_path / "s.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"full": True, "qlora": True}, "leave out --full or --qlora"),
        ({"no_such_field": 1}, "training options: .*no_such_field"),
        ({"lr_scheduler_type": "zigzag"}, "training options: .*zigzag"),
        ({"limit": 0}, "--max-examples must be at least 1, found 0"),
        ({"device": "tpu9"}, "device 'tpu9' cannot be used here"),
        ({"chat": "on"}, "has no chat template"),
    ],
)
def test_calls_that_cannot_be(changes, message, tiny_model_dir, tmp_path):
    with pytest.raises(InputError, match=message):
        run(tiny_model_dir("llama"), tmp_path / "run", **changes)
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing without a GPU")
def test_qlora_needs_a_gpu(tiny_model_dir, tmp_path):
    with pytest.raises(InputError, match="4-bit loading needs a CUDA GPU"):
        run(tiny_model_dir("llama"), tmp_path / "run", qlora=True)


def test_an_adapter_is_not_trained_upon(finished, tmp_path):
    with pytest.raises(InputError, match="is an adapter; merge it with paft merge"):
        run(finished, tmp_path / "run")
