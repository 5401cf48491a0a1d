"""Runs killed for good and resumed end as if nothing had happened: weights, plans and log lines, bit by bit."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from training.children import MOMENTS, TOTAL_STEPS, arguments, train_and_die
from training.helpers import make_task, settings

from paft.errors import DataError, OutputError
from paft.training import PaftTrainer, train
from paft.training.batches import Collator
from paft.training.checkpoints import MARKER, checkpoints, newest_complete, read_progress
from paft.training.lora import lora_config

CTX = multiprocessing.get_context("forkserver")
CTX.set_forkserver_preload(["paft.training", "training.children"])


SLOW = ("after an epoch's last step", "saving, weights written", "saving, old one about to go")


def start(moment: str, model: Path, output: Path, changes: dict[str, Any] | None = None) -> Any:
    process = CTX.Process(target=train_and_die, args=(moment, model, output, changes or {}))
    process.start()
    return process


def lines(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_same(run: Path, whole: Path, weights: str = "adapter_model.safetensors") -> None:
    found, wanted = load_file(run / weights), load_file(whole / weights)
    assert found.keys() == wanted.keys()
    assert all(found[name].equal(wanted[name]) for name in wanted)
    assert lines(run) == lines(whole)
    tokens = [json.loads((folder / "result.json").read_text())["tokens"] for folder in (run, whole)]
    assert tokens[0] == tokens[1]
    for plan in (whole / "plan").iterdir():
        assert (run / "plan" / plan.name).read_bytes() == plan.read_bytes()


@pytest.fixture(scope="module")
def whole(tiny_model_dir, tmp_path_factory) -> Path:
    """The uninterrupted run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(**arguments(tiny_model_dir("llama"), run))
    return run


@pytest.mark.parametrize("moment", [pytest.param(m, marks=[pytest.mark.slow] * (m in SLOW)) for m in MOMENTS])
def test_a_killed_run_ends_as_a_whole_one(moment, whole, tiny_model_dir, tmp_path):
    model, run = tiny_model_dir("llama"), tmp_path / "run"
    process = start(moment, model, run)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (run / "result.json").exists()
    result = train(**arguments(model, run, resume=True))
    assert result.steps == TOTAL_STEPS
    assert_same(run, whole)


@pytest.mark.slow
def test_killed_from_outside_again_and_again(whole, tiny_model_dir, tmp_path):
    """Kills as a new checkpoint's folder appears: somewhere within the save."""
    model, run = tiny_model_dir("llama"), tmp_path / "run"
    for step in (2, 4, 8):
        process = start("never", model, run)
        while process.is_alive() and not (run / f"checkpoint-{step}").exists():
            time.sleep(0.0005)
        process.kill()
        process.join()
    train(**arguments(model, run))
    assert_same(run, whole)


@pytest.mark.parametrize("packing", ["on", "off"])
def test_full_fine_tuning_with_dropout(packing, tiny_model_dir, tmp_path):
    """GPT-2 has dropout and Conv1D layers, and all its weights are in the checkpoint."""
    model, changes = tiny_model_dir("gpt2"), {"full": True, "packing": packing}
    train(**arguments(model, tmp_path / "whole", **changes))
    process = start("saving, all but the marker", model, tmp_path / "run", changes)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    train(**arguments(model, tmp_path / "run", **changes))
    assert_same(tmp_path / "run", tmp_path / "whole", "model.safetensors")


def test_early_stopping_and_the_best_checkpoint_survive(tiny_model_dir, tmp_path):
    """The last save knows that training was over; the best weights are found again, and taken."""
    model = tiny_model_dir("llama")
    changes: dict[str, Any] = {"early_stopping_patience": 1, "load_best_model_at_end": True, "num_train_epochs": 6}
    changes |= {"eval_strategy": "steps", "eval_steps": 2, "learning_rate": 1.0, "lora_dropout": 0.0}
    result = train(**arguments(model, tmp_path / "whole", **changes))
    assert result.steps < 30
    process = start("saving the finished adapter", model, tmp_path / "run", changes)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = train(**arguments(model, tmp_path / "run", **changes))
    assert again.steps == result.steps
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_batches_are_not_made_again_on_resume(tiny_model_dir, tmp_path, prompts):
    """Steps before the checkpoint are neither rendered nor tokenised."""
    run, model = tmp_path / "run", tiny_model_dir("llama")
    trainer_for(run, model, prompts, save_strategy="steps", save_steps=8).train()
    (run / "checkpoint-12" / MARKER).unlink()
    trainer = trainer_for(run, model, prompts)
    seen: list[list[int]] = []

    class Watched(Collator):
        def __call__(self, items: Any) -> Any:
            seen.append([item.position for item in items])
            return super().__call__(items)

    trainer.data_collator = Watched(trainer.data_collator.pad_id, 4096)
    trainer.train()
    assert seen[1:] == [[p, p + 1, p + 2, p + 3] for p in range(8, 24, 4)]  # the first is the check of lengths


def trainer_for(run: Path, model: Path, prompts: Any, **changes: Any) -> PaftTrainer:
    return PaftTrainer(str(model), settings(run, **changes), make_task(), prompts, lora_config())


def test_an_incomplete_checkpoint_is_never_chosen(whole, tiny_model_dir, tmp_path, prompts):
    run = tmp_path / "run"
    trainer_for(run, tiny_model_dir("llama"), prompts, save_strategy="steps", save_steps=3, save_total_limit=9).train()
    assert [p.name for p in checkpoints(run)] == ["checkpoint-3", "checkpoint-6", "checkpoint-9", "checkpoint-12"]
    (run / "checkpoint-12" / MARKER).unlink()
    with (run / "checkpoint-9" / "optimizer.pt").open("ab") as out:
        out.write(b"more")
    (run / "checkpoint-6" / "rng_state.pth").unlink()
    assert newest_complete(run) == run / "checkpoint-3"
    trainer = trainer_for(run, tiny_model_dir("llama"), prompts)
    with pytest.raises(DataError, match="not a complete checkpoint"):
        trainer.train(run / "checkpoint-9")
    trainer.train()
    assert [p.name for p in checkpoints(run)] == ["checkpoint-3"]
    assert trainer.state.global_step == 12


def test_a_run_started_anew_drops_what_was_there(tiny_model_dir, tmp_path, prompts):
    run = tmp_path / "run"
    trainer_for(run, tiny_model_dir("llama"), prompts, save_strategy="steps", save_steps=5).train()
    trainer_for(run, tiny_model_dir("llama"), prompts).train(False)
    assert checkpoints(run) == []
    assert [row["step"] for row in lines(run)] == list(range(1, 13))


def test_a_changed_plan_file_is_refused(tiny_model_dir, tmp_path, prompts):
    run = tmp_path / "run"
    trainer_for(run, tiny_model_dir("llama"), prompts).train()
    (run / "plan" / "epoch-0.parquet").write_bytes((run / "plan" / "epoch-1.parquet").read_bytes())
    with pytest.raises(OutputError, match=r"epoch-0\.parquet differs"):
        trainer_for(run, tiny_model_dir("llama"), prompts).train()


def test_memory_can_be_spared_on_resume_but_not_the_outcome_changed(tiny_model_dir, tmp_path, prompts):
    run, model = tmp_path / "run", tiny_model_dir("llama")
    trainer_for(run, model, prompts, save_strategy="steps", save_steps=5).train()
    trainer_for(run, model, prompts, batch_tokens=150, gradient_accumulation_steps=2, per_device_train_batch_size=2)
    with pytest.raises(OutputError, match=r"training\.learning_rate is 0\.003 there and 0\.004 here"):
        trainer_for(run, model, prompts, learning_rate=4e-3)
    assert read_progress(run / "checkpoint-12") is not None
