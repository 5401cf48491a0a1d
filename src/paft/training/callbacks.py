"""What has to happen at the hooks of Trainer's loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from paft.training.checkpoints import read_progress
from paft.training.clock import Clock
from paft.training.config import PaftConfig
from paft.training.records import append_metrics
from paft.training.stream import Stream


class TrainedRun(Protocol):
    """What the callback asks of a trainer.

    Attributes:
        kept_config: settings of the model as they were before Trainer changed them.
    """

    clock: Clock
    stream: Stream
    model: Any
    kept_config: dict[str, Any]

    def restore_progress(self) -> None:
        """Take up what a checkpoint holds beside Trainer's own state."""
        ...


class RunCallback(TrainerCallback):
    """Settles each epoch's plan before it starts, writes metrics.jsonl, and keeps a resumed run the same."""

    def __init__(self, trainer: TrainedRun) -> None:
        self.trainer = trainer
        self.save_later = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.trainer.clock.start()
        for name, value in self.trainer.kept_config.items():
            setattr(self.trainer.model.config, name, value)
        self.trainer.restore_progress()
        if state.best_global_step:  # the path in the state is where the run stood when it was saved
            best = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
            state.best_model_checkpoint = str(best) if read_progress(best) else None

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.trainer.stream.begin_epoch(int(state.epoch or 0))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put a checkpoint at the end of an epoch off until the epoch's evaluation is in it."""
        over = state.global_step % self.trainer.stream.batches.steps == 0 or control.should_training_stop
        if over and control.should_save:
            control.should_save, self.save_later = False, True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_save, self.save_later = control.should_save or self.save_later, False

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if state.is_world_process_zero and ("loss" in logs or any(k.startswith("eval_") for k in logs)):
            line = {"step": state.global_step, **logs, "seconds": round(self.trainer.clock.seconds(), 3)}
            append_metrics(Path(str(args.output_dir)), line)


def stock_callbacks(args: PaftConfig) -> Iterator[TrainerCallback]:
    """Those that the settings ask for."""
    if args.early_stopping_patience:
        yield EarlyStoppingCallback(args.early_stopping_patience)
    if not args.disable_tqdm:
        yield ProgressCallback()


class ProgressCallback(TrainerCallback):
    """A progress bar with the loss and the time left, on standard error where that is a terminal."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self.bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
        self.row = self.bar.add_task("train", total=None)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self.bar.update(self.row, total=state.max_steps, completed=state.global_step)
            self.bar.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.bar.update(self.row, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        shown = {"loss": logs.get("loss"), "unseen": logs.get("eval_accuracy", logs.get("eval_loss"))}
        text = " ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
        if text:
            self.bar.update(self.row, description=f"train  {text}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.stop()


class TimeCallback(TrainerCallback):
    """Says how long the run will take, once some steps have shown it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.start: tuple[int, float] | None = None
        self.said = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        now = time.monotonic()
        if self.start is None:  # the first step warms up
            self.start = (state.global_step, now)
            return
        steps, seconds = state.global_step - self.start[0], now - self.start[1]
        if self.said or not state.is_world_process_zero or seconds < 2 or steps < 3:
            return
        self.said = True
        left = (state.max_steps - state.global_step) * seconds / steps
        self.say(f"time: {seconds / steps:.2f} s a step, about {_duration(left)} to go")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
