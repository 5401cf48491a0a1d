"""The main job through the command line: train, sweep, predict, merge, each with what it leaves behind."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paft.prompts import PromptSet


@pytest.fixture
def train(paft: Callable, case, tiny_model_dir: Callable) -> Callable:
    """Train the small task; more flags may be given."""

    def call(*more: object, output: str = "run"):
        where = ("--task", case.task, "--prompts", case.train_prompts, "--output", case.folder / output)
        fast = ("--num-train-epochs", 1, "--per-device-train-batch-size", 4)
        return paft("train", "--model", tiny_model_dir(), *where, *fast, *more)

    return call


def test_train_says_where_the_adapter_is_and_how_to_sweep_it(train: Callable, paft: Callable, case) -> None:
    found = train()
    assert found.code == 0
    lines = found.out.splitlines()
    run = case.folder / "run"
    assert lines[0].startswith(f"the adapter is in {run} (3 steps")
    assert (run / "adapter_model.safetensors").is_file()
    command = shlex.split(lines[-1])
    assert command[:2] == ["paft", "sweep"]
    assert str(case.test_prompts) in command
    swept = paft(*command[1:])
    assert swept.code == 0, swept.err
    summary = json.loads((case.folder / "run-sweep/summary.json").read_text())
    assert (summary["prompts"], summary["examples"], summary["split"]) == (2, 6, "test")


def test_train_is_quiet_when_not_on_a_terminal(case, tiny_model_dir: Callable) -> None:
    words = ["train", "--model", tiny_model_dir(), "--task", case.task, "--prompts", case.train_prompts]
    words += ["--output", case.folder / "run", "--num-train-epochs", 1]
    done = subprocess.run(
        [sys.executable, "-m", "paft", *map(str, words)], capture_output=True, text=True, timeout=600, check=True
    )
    assert len(done.stdout.splitlines()) == 3
    for noise in ("%|", "it/s", "Warning", "loss_type", "\x1b"):
        assert noise not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 8


def test_flags_of_both_kinds_reach_the_run(train: Callable, case) -> None:
    import yaml

    config = case.folder / "train.yaml"
    config.write_text("learning_rate: 1e-3\nlora-r: 4\nexamples_per_prompt: 2\nseed: 5\n")
    assert train("--config", config, "--weight_decay", "0.1", "--seed", "7").code == 0
    adapter = json.loads((case.folder / "run/adapter_config.json").read_text())
    assert adapter["r"] == 4
    record = yaml.safe_load((case.folder / "run/config.yaml").read_text())
    assert (record["training"]["learning_rate"], record["training"]["weight_decay"]) == (1e-3, 0.1)
    assert (record["training"]["examples_per_prompt"], record["training"]["seed"]) == (2, 7)


def test_the_one_prompt_of_method_user(train: Callable, case) -> None:
    assert train("--method", "user", output="own").code == 0
    assert "Is it positive or negative?" in PromptSet.load(case.folder / "own/prompts.jsonl")._prompts[0].text
    assert train("--method", "user", "--prompt-id", "train2", output="by-id").code == 0
    assert PromptSet.load(case.folder / "by-id/prompts.jsonl").ids == ["train2"]
    selection = case.folder / "selection.json"
    selection.write_text(json.dumps({"method": "top-accuracy", "prompt_id": "best", "text": "{text} is:"}))
    assert train("--method", "user", "--selection", selection, output="selected").code == 0
    assert PromptSet.load(case.folder / "selected/prompts.jsonl").ids == ["best"]
    both = train("--method", "user", "--selection", selection, "--prompt-id", "train2", output="both")
    assert both.code == 2
    assert not (case.folder / "both").exists()


def test_a_checkpoint_cannot_be_named(train: Callable, case) -> None:
    found = train("--resume-from-checkpoint", case.folder)
    assert found.code == 2
    assert "give --resume" in found.err
    assert not (case.folder / "run").exists()


def test_a_finished_run_is_left_alone_and_other_work_is_refused(train: Callable, case) -> None:
    assert train().code == 0
    before = {p: p.stat().st_mtime_ns for p in (case.folder / "run").rglob("*") if p.is_file()}
    again = train()
    assert again.code == 0
    assert "nothing to do" in again.err
    refused = train("--seed", 9)
    assert refused.code == 2
    assert "holds other work" in refused.err
    assert {p: p.stat().st_mtime_ns for p in (case.folder / "run").rglob("*") if p.is_file()} == before


def test_a_full_run_is_a_model_folder(train: Callable, paft: Callable, case) -> None:
    found = train("--full")
    assert found.out.startswith("the model is in")
    assert (case.folder / "run/model.safetensors").is_file()
    refused = paft("merge", "--model", case.folder / "run", "--output", case.folder / "merged")
    assert refused.code == 2
    assert not (case.folder / "merged").exists()


@pytest.fixture
def swept(paft: Callable, case, tiny_model_dir: Callable) -> Callable:
    """Sweep the untrained tiny model over the test prompts; more flags may be given."""

    def call(*more: object, output: str = "sweep"):
        where = ("--task", case.task, "--prompts", case.test_prompts, "--output", case.folder / output)
        return paft("sweep", "--model", tiny_model_dir(), *where, *more)

    return call


def test_sweep_prints_the_prompts_and_the_numbers(swept: Callable, case) -> None:
    found = swept()
    assert found.code == 0
    summary = json.loads((case.folder / "sweep/summary.json").read_text())
    assert f"accuracy {100 * summary['mean']:.1f}" in found.out
    assert f"worst prompt {100 * summary['min']:.1f} %" in found.out
    for prompt_id in ("test0", "test1"):
        assert prompt_id in found.out
    assert "Someone wrote: {text} Is that" in found.out
    assert "\x1b" not in found.out


def test_the_gate(swept: Callable, case) -> None:
    assert swept("--fail-under-min", 0).code == 0
    summary = json.loads((case.folder / "sweep/summary.json").read_text())
    assert swept("--fail-under-min", summary["min"]).code == 0
    failed = swept("--fail-under-min", min(1.0, summary["min"] + 0.01))
    assert failed.code == 1
    assert failed.err.startswith("error: the worst prompt, ")
    assert "below --fail-under-min" in failed.err
    assert swept("--fail-under-min", 85).code == 2


def test_a_sweep_goes_on_and_other_work_is_refused(swept: Callable, case) -> None:
    assert swept().code == 0
    cells = sorted((case.folder / "sweep/cells").iterdir())
    before = [p.stat().st_mtime_ns for p in cells]
    assert swept().code == 0
    assert [p.stat().st_mtime_ns for p in sorted((case.folder / "sweep/cells").iterdir())] == before
    refused = swept("--limit", 3)
    assert refused.code == 2
    assert "holds another sweep" in refused.err
    assert len(refused.err.splitlines()) <= 3


def test_prompts_that_were_trained_on_are_refused(train: Callable, paft: Callable, case) -> None:
    assert train().code == 0
    words = ("sweep", "--model", case.folder / "run", "--task", case.task, "--prompts", case.train_prompts)
    refused = paft(*words, "--output", case.folder / "sweep")
    assert refused.code == 2
    assert "--allow-overlap" in refused.err
    assert not (case.folder / "sweep").exists()
    assert paft(*words, "--output", case.folder / "sweep", "--allow-overlap").code == 0


def test_predict_answers_rows_without_labels(train: Callable, paft: Callable, case) -> None:
    assert train().code == 0
    rows = case.folder / "new.jsonl"
    rows.write_text('{"text": "a new fox", "key": "x"}\n{"text": "an old dog {with} \\"marks\\"", "key": "y"}\n')
    words = ("predict", rows, "--model", case.folder / "run", "--task", case.task)
    found = paft(*words)
    assert (found.code, found.err) == (0, "")
    answers = [json.loads(line) for line in found.out.splitlines()]
    assert [a["example_id"] for a in answers] == ["x", "y"]
    assert all(a["answer"] in ("positive", "negative") for a in answers)
    target = case.folder / "answers.jsonl"
    many = paft(*words, "--prompts", case.test_prompts, "--output", target)
    assert many.out == f"{target}: 4 answers (2 rows, 2 prompts)\n"
    before = target.read_bytes()
    assert paft(*words, "--output", target).code == 2
    assert target.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("--prompt", "{text}:", "--prompts", "p.jsonl"),
        ("--prompt-id", "a"),
        ("--prompt", "{text!r}:"),
        ("--prompt", "{x}:"),
    ],
)
def test_predict_refuses_prompts_that_do_not_fit(paft: Callable, case, tiny_model_dir: Callable, words: tuple) -> None:
    found = paft("predict", case.folder / "test.jsonl", "--model", tiny_model_dir(), "--task", case.task, *words)
    assert found.code == 2
    assert found.out == ""
    assert len(found.err.splitlines()) <= 3


def test_merge_answers_like_base_and_adapter(train: Callable, paft: Callable, case) -> None:
    assert train("--learning-rate", "0.05").code == 0
    merged: Path = case.folder / "merged"
    assert paft("merge", "--model", case.folder / "run", "--output", merged).code == 0
    assert not (merged / "adapter_config.json").exists()
    rows = []
    for model in (case.folder / "run", merged):
        printed = paft("predict", case.folder / "test.jsonl", "--model", model, "--task", case.task).out
        rows.append([json.loads(line)["loglik"] for line in printed.splitlines()])
    for one, other in zip(*rows, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    before = sorted(p.name for p in merged.iterdir())
    assert paft("merge", "--model", case.folder / "run", "--output", merged).code == 2
    assert sorted(p.name for p in merged.iterdir()) == before
