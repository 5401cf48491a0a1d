"""Two processes take their shares of one plan and end with the weights of one process."""

from __future__ import annotations

import multiprocessing
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training.children import train_here, train_share

from paft.training import read_plan
from paft.training.plan import plan_path

CTX = multiprocessing.get_context("spawn")


def train_in_two(model: Path, output: Path, changes: dict[str, Any]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [CTX.Process(target=train_share, args=(rank, port, model, output, changes)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [p.exitcode for p in processes] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["on", "off"])
def test_two_processes_and_one(packing, tiny_model_dir, tmp_path):
    """25 examples in steps of 6: the last has one example, so that one process has nothing to do in it."""
    model = tiny_model_dir("llama")
    train_here(model, tmp_path / "one", {"per_device_train_batch_size": 6, "packing": packing})
    changes = {"per_device_train_batch_size": 3, "batch_tokens": 130, "ddp_backend": "gloo", "packing": packing}
    train_in_two(model, tmp_path / "two", changes)
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[n], two[n], rtol=1e-4, atol=1e-6) for n in one)
    for epoch in range(2):
        assert read_plan(plan_path(tmp_path / "one", epoch)) == read_plan(plan_path(tmp_path / "two", epoch))
    losses = [rows(tmp_path / name) for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)

    again = tmp_path / "again"
    shutil.copytree(tmp_path / "two", again)
    (again / "result.json").unlink()
    (again / "checkpoint-10" / "paft_complete.json").unlink()
    train_in_two(model, again, changes)
    resumed = load_file(again / "adapter_model.safetensors")
    assert all(two[n].equal(resumed[n]) for n in two)
    assert rows(again) == rows(tmp_path / "two")


def rows(run: Path) -> list[float]:
    import json

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line.get("loss", line.get("eval_loss")) for line in lines]
