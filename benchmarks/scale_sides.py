"""What scale.py watches, each in a process of its own: the start of a training and of a sweep."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from common import Clock

STEP = 16


class Watch:
    """Seconds and memory of this process from one mark to the next; memory counts in bytes."""

    def __init__(self) -> None:
        self.marks: dict[str, dict[str, float]] = {}
        self.clock = Clock()

    def mark(self, name: str) -> None:
        """Close a stage: what it took, and the most memory held up to its end."""
        wall, cpu = self.clock.read()
        self.marks[name] = {"wall": wall, "cpu": cpu, "resident": memory("VmRSS"), "peak": memory("VmHWM")}
        self.clock = Clock()


def memory(line: str) -> int:
    """Resident bytes of this process, now (``VmRSS``) or at most so far (``VmHWM``)."""
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith(line + ":"))


def watched(pipe: Connection, name: str, kind: str, folder: Path, limit: int) -> None:
    """A process: get ready with libraries and a model, then start the work and say what that took."""
    import torch
    from transformers import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    from paft.models import load_model, load_tokenizer

    pair = load_model("embedded", device="cpu"), load_tokenizer("embedded")
    watch = Watch()
    watch.mark("ready")
    start: Callable[..., None] = {"train": start_training, "sweep": start_sweep}[kind]
    start(watch, pair, folder, limit)
    pipe.send(watch.marks)


def start_training(watch: Watch, pair: tuple[Any, Any], folder: Path, limit: int) -> None:
    """From the task YAML to the end of the first step."""
    from peft import LoraConfig
    from transformers import TrainerCallback

    from paft import PaftConfig, PaftTrainer, PromptSet, load_task

    class Stages(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watch.mark("checks")

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watch.mark("plan of the epoch")

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watch.mark("first step")

    plain: dict[str, Any] = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "report_to": []}
    output = folder / f"run-{os.getpid()}"
    args = PaftConfig(
        str(output), max_steps=1, max_examples=limit, per_device_train_batch_size=STEP, dtype="float32", **plain
    )
    task, prompts = load_task(folder / "task.yaml"), PromptSet.load(folder / "prompts.jsonl")
    task.examples("train")
    watch.mark("rows read")
    adapter = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = PaftTrainer(pair[0], args, task, prompts, adapter, processing_class=pair[1], callbacks=[Stages()])
    watch.mark("trainer made")
    trainer.train()


class _ReachedError(Exception):
    """The first tokens have come to the model."""


def start_sweep(watch: Watch, pair: tuple[Any, Any], folder: Path, limit: int) -> None:
    """From the task YAML to the first batch of the first block of cells, just before it is computed."""
    from paft import PromptSet, load_task, sweep

    def reached(*args: Any, **kwargs: Any) -> None:
        watch.mark("first block planned")
        raise _ReachedError

    task, prompts = load_task(folder / "task.yaml"), PromptSet.load(folder / "prompts.jsonl")
    task.examples("train")
    watch.mark("rows read")
    pair[0].register_forward_pre_hook(reached)
    pair[0].get_decoder().register_forward_pre_hook(reached)
    with contextlib.suppress(_ReachedError):
        sweep(pair, task, prompts, "train", limit=limit, output=folder / f"sweep-{os.getpid()}", progress=False)
