"""Sweeps that a launcher starts as several processes, and processes that find each other without one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from evaluation.sweep_children import sweep_alone_in_a_launch, sweep_in_script, train_and_sweep
from evaluation.sweep_tasks import make_task
from evaluation.teams import alike, keys
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft import PromptSet, load_task
from paft.evaluation import SweepResult, sweep

ROOT = Path(__file__).parents[2]
CTX = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def llama(tiny_model_dir):
    return str(tiny_model_dir("llama"))


def launch(world: int, words: list[str], port: int | None = None) -> list[str]:
    given = [] if port is None else ["--master-port", str(port)]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(world), *given, *words]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


DATA = ROOT / "src/paft/resources/demo"


def flags(model: str, output: Path, *more: str) -> list[str]:
    own = ["--model", model, "--task", "demo", "--prompts", str(DATA / "prompts-test.jsonl"), "--limit", "4"]
    return ["-m", "paft", "sweep", *own, "--output", str(output), *more]


@pytest.mark.slow
def test_torchrun(llama, tmp_path):
    done = subprocess.run(
        launch(2, flags(llama, tmp_path / "two", "--device", "cpu")), env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("over 50 prompts x 4 examples") == 1
    two = SweepResult.load(tmp_path / "two")
    one = sweep(llama, load_task("demo"), PromptSet.load(DATA / "prompts-test.jsonl"), limit=4)
    assert alike(one, two)


@pytest.mark.slow
def test_torchrun_with_a_wrong_input(llama, tmp_path):
    words = flags(llama, tmp_path / "out", "--device", "cpu", "--max-length", "8")
    done = subprocess.run(launch(2, words), env=environment(), capture_output=True, text=True, timeout=300)
    ours = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(ours) == 1, done.stderr
    assert "longer than 8 tokens" in ours[0]
    assert "exitcode  : 2" in done.stderr  # the launcher's own report
    assert not (tmp_path / "out").exists()
    words = ["-m", "paft", "predict", "rows.jsonl", "--model", llama, "--task", "demo"]
    done = subprocess.run(launch(2, words), env=environment(), capture_output=True, text=True, timeout=300)
    assert done.stderr.count("error: paft predict runs as one process, found 2") == 1, done.stderr
    words = flags(llama, tmp_path / "out", "--fail-under-min", "1")
    done = subprocess.run(launch(2, words), env=environment(), capture_output=True, text=True, timeout=300)
    assert sum(line.startswith("error: the worst prompt") for line in done.stderr.splitlines()) == 1, done.stderr
    assert "exitcode  : 1" in done.stderr
    assert SweepResult.load(tmp_path / "out").mean <= 1


KILLED = """
import sys
from evaluation.sweep_tasks import make_task
from paft.evaluation import sweep
from paft.prompts import PromptSet
prompts = PromptSet.load(sys.argv[2])
sweep(sys.argv[1], make_task("label", 800), prompts, output=sys.argv[3], batch_tokens=300, flush_seconds=0)
"""


@pytest.mark.slow
def test_killed_and_gone_on_with(llama, prompts, tmp_path):
    prompts.save(tmp_path / "prompts.jsonl")
    (tmp_path / "sweeper.py").write_text(KILLED)
    out = tmp_path / "out"
    words = [str(tmp_path / "sweeper.py"), llama, str(tmp_path / "prompts.jsonl"), str(out)]
    pieces: dict[Path, bytes] = {}
    for world in (2, 3):
        process = subprocess.Popen(
            launch(world, words), env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and len(list(out.glob("cells/part-*.parquet"))) < len(pieces) + 8:
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (*map(int, children), process.pid):
            os.kill(pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the sweep ended before it could be killed"
        time.sleep(0.5)
        assert all(p.read_bytes() == whole for p, whole in pieces.items())
        pieces = {p: p.read_bytes() for p in out.glob("cells/part-*.parquet")}
    task = make_task("label", 800)
    assert 0 < len(keys(out)) < 4000
    result = sweep(llama, task, prompts, output=out)
    assert all(p.read_bytes() == whole for p, whole in pieces.items())
    assert len(keys(out)) == len(set(keys(out))) == 4000
    assert alike(sweep(llama, task, prompts), result)


def run_ranks(work, *arguments) -> None:
    """``work(rank, port, *arguments)`` in two processes that no launcher watches."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [CTX.Process(target=work, args=(rank, port, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    assert [p.exitcode for p in processes] == [0, 0]


@pytest.mark.slow
def test_scripts_with_and_without_a_process_group(llama, prompts, tmp_path):
    prompts.save(tmp_path / "prompts.jsonl")
    run_ranks(sweep_in_script, llama, tmp_path)
    one = sweep(llama, make_task("label"), prompts)
    for name in ("before", "within", "after"):
        assert alike(one, SweepResult.load(tmp_path / name))
    run_ranks(sweep_alone_in_a_launch, llama, tmp_path)
    assert alike(one, SweepResult.load(tmp_path / "alone"))


@pytest.mark.slow
def test_callback_under_ddp(llama, prompts, tmp_path):
    """Every process has the result of every sweep, and the training is as without."""
    prompts.save(tmp_path / "prompts.jsonl")
    run_ranks(train_and_sweep, llama, tmp_path)
    found = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=False) for rank in range(2)]
    for rank in found:
        assert rank["plain"]["draws"] == rank["watched"]["draws"]
        assert all(rank["plain"]["weights"][n].equal(w) for n, w in rank["watched"]["weights"].items())
        assert rank["modes"] == [True] * len(rank["modes"])
        assert [step for step, _ in rank["results"]] == [2, 4]
        assert len(rank["logged"]) == 2
        assert all(refused.startswith("the weights of this model are parted") for refused in rank["refused"])
        assert len(rank["refused"]) == 2
    assert max(rank["forwards"] for rank in found) < 0.75 * sum(rank["forwards"] for rank in found)
    model = AutoModelForCausalLM.from_pretrained(llama)
    model.load_state_dict(found[0]["watched"]["weights"])
    one = sweep((model, AutoTokenizer.from_pretrained(llama)), make_task("label"), prompts)
    for rank in found:
        assert alike(one, rank["results"][-1][1])
