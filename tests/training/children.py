"""Trainings in processes of their own: some kill themselves, for good, at a chosen moment; some share the work."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

TOTAL_STEPS = 10


def arguments(model: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Arguments of ``train()``: 2 epochs of 5 steps, checkpoints between log lines, dropout, validation."""
    from training.helpers import TEMPLATES, UNSEEN, make_task

    from paft.prompts import PromptSet

    plain = {
        "model": model,
        "task": make_task(train=24, validation=3),
        "prompts": PromptSet.from_texts(TEMPLATES),
        "eval_prompts": PromptSet.from_texts(UNSEEN),
        "output": output,
        "device": "cpu",
        "lora_dropout": 0.1,
        "per_device_train_batch_size": 5,
        "num_train_epochs": 2,
        "learning_rate": 3e-3,
        "logging_steps": 3,
        "save_steps": 2,
        "save_total_limit": 1,
        "eval_examples": 4,
        "chat": "off",
        "disable_tqdm": True,
        "say": lambda text: None,
    }
    return plain | changes


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(moment: str, model: Path, output: Path, changes: dict[str, Any]) -> None:
    """Train until ``moment``; the process does not live to return."""
    import torch

    torch.set_num_threads(1)
    from paft.training import train

    callbacks = [MOMENTS[moment]()] if moment in MOMENTS else []
    train(**arguments(model, output, **changes), callbacks=[c for c in callbacks if c is not None])


def at_step(step: int) -> Any:
    from transformers import TrainerCallback

    class Killer(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs) -> None:
            if state.global_step == step:
                die()

    return Killer()


def in_the_middle_of_a_log_line() -> Any:
    from paft.training import callbacks, records

    def half(folder: Path, line: dict[str, Any]) -> None:
        if line["step"] < 6:
            return records.append_metrics(folder, line)
        with (folder / records.METRICS).open("a") as out:
            out.write('{"step": 6, "lo')
        die()

    callbacks.append_metrics = half


def saving(method: str, half: str | None = None) -> Any:
    """Die in the second save, within ``method`` of the trainer; ``half`` names a file to cut in half."""
    from paft.training import PaftTrainer

    original = getattr(PaftTrainer, method)

    def deadly(self: Any, folder: str, *args: Any) -> None:
        original(self, folder, *args)
        if self.state.global_step >= 4 and "checkpoint-" in str(folder):
            if half:
                os.truncate(Path(folder) / half, (Path(folder) / half).stat().st_size // 2)
            die()

    setattr(PaftTrainer, method, deadly)


def before_the_marker() -> Any:
    from paft.training import checkpoints

    original = checkpoints.write_json

    def deadly(path: Path, value: Any) -> None:
        if path.parent.name == "checkpoint-4":
            die()
        original(path, value)

    checkpoints.write_json = deadly


def removing(after_marker: bool) -> Any:
    """Die while the old checkpoint is removed: before anything of it is gone, or with its marker gone."""
    from paft.training import checkpoints

    def deadly(folder: Path) -> None:
        if after_marker:
            (folder / checkpoints.MARKER).unlink()
            next(iter(folder.glob("*.safetensors"))).unlink()
        die()

    checkpoints.remove = deadly


def saving_the_result() -> Any:
    """Die at the end, with the final adapter half written."""
    from paft.training import PaftTrainer

    original = PaftTrainer.save_model

    def deadly(self: Any, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if _internal_call:  # a checkpoint
            return original(self, output_dir, _internal_call)
        (self.run_folder / "adapter_model.safetensors").write_bytes(b"half")
        die()

    PaftTrainer.save_model = deadly


MOMENTS = {
    "before the first checkpoint": lambda: at_step(1),
    "between two checkpoints": lambda: at_step(5),
    "after an epoch's last step": lambda: at_step(7),
    "in the middle of a log line": in_the_middle_of_a_log_line,
    "saving, weights written": lambda: saving("_save"),
    "saving, optimiser half written": lambda: saving("_save_optimizer_and_scheduler", "optimizer.pt"),
    "saving, all but the marker": before_the_marker,
    "saving, old one about to go": lambda: removing(False),
    "saving, old one half gone": lambda: removing(True),
    "saving the finished adapter": saving_the_result,
}


def train_share(rank: int, port: int, model: Path, output: Path, changes: dict[str, Any]) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train_here(model, output, changes)


def train_here(model: Path, output: Path, changes: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(1)
    from training.helpers import TEMPLATES, UNSEEN, make_task

    from paft.prompts import PromptSet
    from paft.training import train

    options: dict[str, Any] = {
        "num_train_epochs": 2,
        "learning_rate": 3e-3,
        "adam_epsilon": 1e-4,
        "device": "cpu",
        "chat": "off",
        "disable_tqdm": True,
        "logging_steps": 1,
        "eval_examples": 4,
        "save_steps": 3,
        "eval_prompts": PromptSet.from_texts(UNSEEN),
        "say": lambda text: None,
    }
    task = make_task(train=25, validation=3)
    train(model=model, task=task, prompts=PromptSet.from_texts(TEMPLATES), output=output, **(options | changes))
