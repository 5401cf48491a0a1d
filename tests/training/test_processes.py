"""Two processes take their shares of one plan and end with the weights of one process."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training.children import fail_in_one, keep_gradients, train_by_deepspeed, train_here, train_sharded, train_share
from training.helpers import TEMPLATES, make_task

from paft.training import read_plan
from paft.training.plan import plan_path

CTX = multiprocessing.get_context("forkserver")
CTX.set_forkserver_preload(["paft.training"])
ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "src" / "paft" / "resources" / "demo"
RECIPES = ROOT / "recipes" / "accelerate"
ADAPTER = "adapter_model.safetensors"


TRACED = {"torch_compile_backend": "aot_eager"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def in_two(target: Callable[..., None], *args: Any) -> None:
    port = free_port()
    processes = [CTX.Process(target=target, args=(rank, port, *args)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        if process.exitcode is None:
            process.kill()
    assert [p.exitcode for p in processes] == [0, 0]


def plain_gradient(model: Path, run: Path, step: int, size: int) -> dict[str, torch.Tensor]:
    """The gradient of a step, row by row and with nothing of ours but the plan and the texts."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from paft.prompts import PromptSet

    tokenizer, net = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    plan, prompts = read_plan(plan_path(run, 0)), PromptSet.from_texts(TEMPLATES)
    examples = {e.id: e for e in make_task(train=25).examples("train")}
    total, tokens = torch.zeros(()), 0
    for position in range(step * size, min(len(plan), (step + 1) * size)):
        example = examples[plan.example_ids[position]]
        prompt = prompts[plan.prompt_ids[position]].text.format(**example.slots)
        answer = example.answer if prompt.endswith("\n") else " " + example.answer
        whole = tokenizer(prompt + answer, return_tensors="pt").input_ids
        ids = torch.cat([whole, torch.tensor([[tokenizer.eos_token_id]])], 1)
        start = tokenizer(prompt, return_tensors="pt").input_ids.shape[1]
        logits = net(input_ids=ids).logits[0, start - 1 : -1]
        total = total - logits.log_softmax(-1).gather(1, ids[0, start:, None]).sum()
        tokens += ids.shape[1] - start
    (total / tokens).backward()
    return {name: weight.grad for name, weight in net.named_parameters()}


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The difference of two gradients, relative to the size of the first."""
    assert one.keys() == other.keys()
    away = torch.stack([(one[n] - other[n]).norm() for n in one]).norm()
    return float(away / torch.stack([g.norm() for g in one.values()]).norm())


FULL = {"full": True, "packing": "on", "num_train_epochs": 1, "learning_rate": 0.0, "save_strategy": "no"}
FULL |= {"max_grad_norm": 0.0, "eval_prompts": None}


def test_the_gradient_of_two_processes_is_that_of_one(tiny_model_dir, tmp_path):
    """25 examples in steps of 8, packed, with accumulation, checkpointing and DDP; the last step has one example."""
    model = tiny_model_dir("llama")
    changes = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "batch_tokens": 130}
    in_two(keep_gradients, model, tmp_path / "two", FULL | changes | {"gradient_checkpointing": True})
    alone = CTX.Process(
        target=keep_gradients, args=(0, None, model, tmp_path / "one", FULL | {"per_device_train_batch_size": 8})
    )
    alone.start()
    alone.join(240)
    assert (tmp_path / "one/plan/epoch-0.parquet").read_bytes() == (tmp_path / "two/plan/epoch-0.parquet").read_bytes()
    used = json.loads((tmp_path / "two/environment.json").read_text())
    assert (used["processes"], used["packing"]["used"]) == (2, True)
    for step in range(4):
        one, two = (torch.load(tmp_path / f"{name}-{step}.pt") for name in ("one", "two"))
        assert apart(one, two) < 1e-5
        assert apart(plain_gradient(model, tmp_path / "one", step, 8), two) < 1e-5


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("row", "EncodingError: a row of process 1"),
        ("loss", "RunError: the loss is nan at step 1"),
        ("folder", "OutputError: "),
        ("seed", "InputError: process 1 has another training.seed than process 0: 5, not 0"),
    ],
)
@pytest.mark.slow
def test_an_error_in_one_process_is_raised_in_all(how, said, tiny_model_dir, tmp_path):
    in_two(fail_in_one, how, tiny_model_dir("llama"), tmp_path / "run", FULL | {"per_device_train_batch_size": 2})
    told = [(tmp_path / f"said-{rank}").read_text() for rank in range(2)]
    assert told[0] == told[1]
    assert told[0].startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize("way", [{"packing": "on"}, {"packing": "off"}, TRACED])
def test_two_processes_and_one(way, tiny_model_dir, tmp_path):
    """25 examples in steps of 6: the last has one example, so that one process has nothing to do in it."""
    model = tiny_model_dir("llama")
    train_here(model, tmp_path / "one", {"per_device_train_batch_size": 6, "packing": way.get("packing", "on")})
    changes = {"per_device_train_batch_size": 3, "batch_tokens": 130, "ddp_backend": "gloo", **way}
    in_two(train_share, model, tmp_path / "two", changes)
    same_weights(tmp_path / "one", tmp_path / "two")
    assert json.loads((tmp_path / "two/environment.json").read_text())["packing"]["compiled"] == (way == TRACED)
    for epoch in range(2):
        assert read_plan(plan_path(tmp_path / "one", epoch)) == read_plan(plan_path(tmp_path / "two", epoch))
    goes_on(tmp_path / "two", 10, train_share, model, changes)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"full": True}, TRACED])
def test_sharded_by_fsdp(more, tiny_model_dir, tmp_path):
    """FSDP 2; torch's FSDP 1 ends with a segmentation fault where it gathers weights on a CPU."""
    model, plain = tiny_model_dir("llama"), {"num_train_epochs": 1, "full": more.get("full", False)}
    train_here(model, tmp_path / "one", plain | {"per_device_train_batch_size": 6})
    changes = plain | {"per_device_train_batch_size": 3, "batch_tokens": 130} | more
    in_two(train_sharded, model, tmp_path / "two", changes)
    saved = "model.safetensors" if plain["full"] else ADAPTER
    same_weights(tmp_path / "one", tmp_path / "two", saved)
    record = json.loads((tmp_path / "two/environment.json").read_text())["packing"]
    assert "FSDP" in record["reason"]
    assert record["compiled"] == (more == TRACED)
    goes_on(tmp_path / "two", 5, train_sharded, model, changes, saved)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
@pytest.mark.parametrize(("stage", "full"), [(2, False), (2, True), (3, False), (3, True)])
def test_sharded_by_deepspeed(stage, full, tiny_model_dir, tmp_path):
    recipe = json.loads((RECIPES / f"deepspeed-zero{stage}.json").read_text())
    model, plain = tiny_model_dir("llama"), {"num_train_epochs": 1, "full": full}
    train_here(model, tmp_path / "one", plain | {"per_device_train_batch_size": 6})
    changes = plain | {"per_device_train_batch_size": 3, "deepspeed": recipe}
    in_two(train_by_deepspeed, model, tmp_path / "two", changes)
    saved = "model.safetensors" if full else ADAPTER
    same_weights(tmp_path / "one", tmp_path / "two", saved)
    assert "DeepSpeed" in json.loads((tmp_path / "two/environment.json").read_text())["packing"]["reason"]
    goes_on(tmp_path / "two", 5, train_by_deepspeed, model, changes, saved)


def same_weights(one: Path, two: Path, saved: str = ADAPTER) -> None:
    first, second = (load_file(run / saved) for run in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.allclose(first[n], second[n], rtol=1e-4, atol=1e-6) for n in first)
    assert rows(two) == pytest.approx(rows(one), rel=1e-4)


def goes_on(
    run: Path, last: int, target: Callable[..., None], model: Path, changes: dict[str, Any], saved: str = ADAPTER
) -> None:
    """From the checkpoint before the last, two processes end with the same bits as without the stop."""
    again = run.with_name("again")
    shutil.copytree(run, again)
    (again / "result.json").unlink()
    (again / f"checkpoint-{last}" / "paft_complete.json").unlink()
    in_two(target, model, again, changes)
    whole, resumed = (load_file(folder / saved) for folder in (run, again))
    assert all(whole[n].equal(resumed[n]) for n in whole)
    assert rows(again) == rows(run)


def rows(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line.get("loss", line.get("eval_loss")) for line in lines]


@pytest.mark.slow
def test_the_command_under_torchrun_speaks_once(tmp_path):
    words = ["--model", "embedded", "--task", "demo", "--prompts", str(RESOURCES / "prompts-train.jsonl")]
    words += ["--limit", "9", "--num-train-epochs", "1", "--per-device-train-batch-size", "2", "--device", "cpu"]
    command = ["torch.distributed.run", "--nproc-per-node", "2", "-m", "paft", "train", *words]

    def start(*more: str) -> subprocess.CompletedProcess[str]:
        return module(tmp_path, *command, *more)

    done = start("--output", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the adapter is in run (3 steps") == 1
    assert done.stderr.count("stream: 9 examples x 1 epochs = 3 steps of 4 examples") == 1
    bad = start("--output", "other", "--max-length", "20")
    assert bad.returncode != 0
    assert bad.stderr.count("error: ") == 1
    assert "more than --max-length 20" in bad.stderr


@pytest.mark.slow
def test_the_command_under_accelerate_launch(tmp_path):
    """With the launcher's own precision and compiler."""
    words = ["--model", "embedded", "--task", "demo", "--prompts", str(RESOURCES / "prompts-train.jsonl")]
    words += ["--limit", "4", "--num-train-epochs", "1", "--per-device-train-batch-size", "2", "--output", "run"]
    launcher = ["accelerate.commands.launch", "--cpu", "--mixed_precision", "bf16", "--dynamo_backend", "eager"]
    done = module(tmp_path, *launcher, "-m", "paft", "train", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run/environment.json").read_text())["packing"]
    assert found["compiled"] is True
    assert found["check"]["tolerance"] > 1e-3  # that of half precision


def module(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = {"env": os.environ | {"OMP_NUM_THREADS": "1"}, "cwd": folder, "timeout": 400}
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False, **options)
