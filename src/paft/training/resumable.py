"""Checkpoints of a run: whole ones alone count, and what Trainer's own state leaves out is kept beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from paft.errors import ModelError
from paft.training import checkpoints
from paft.training.callbacks import RunCallback
from paft.training.sharding import gather_whole
from paft.training.steps import StepTrainer


class ResumableTrainer(StepTrainer):
    """A trainer whose runs can be killed at any moment.

    Attributes:
        run_callback: started the clocks of this process.
    """

    run_callback: RunCallback
    _resumed: checkpoints.Progress | None = None

    @property
    def run_folder(self) -> Path:
        """The folder of this run."""
        return Path(str(self.args.output_dir))

    @property
    def goes_on(self) -> bool:
        """Whether the run starts from a checkpoint."""
        return self._resumed is not None

    def seconds(self) -> float:
        """Time trained so far, that before interruptions too."""
        return (self._resumed.seconds if self._resumed else 0.0) + time.monotonic() - self.run_callback.started

    def spent(self) -> tuple[float, int]:
        """Processor seconds and tokens, padding counted, of all processes so far, those before interruptions too.

        Every process has to ask.
        """
        milliseconds = round(1000 * (time.process_time() - self.run_callback.processor_started))
        mine = torch.tensor([milliseconds, self.tokens], device=self.args.device)
        milliseconds, tokens = self.accelerator.reduce(mine, "sum").tolist()
        before = (self._resumed.processor_seconds, self._resumed.tokens) if self._resumed else (0.0, 0)
        return round(before[0] + milliseconds / 1000, 3), before[1] + tokens

    def restore_progress(self) -> None:
        """Take up what Trainer's own state leaves out: the loss since the last log line, and the counts."""
        if self._resumed is not None:
            self._tr_loss = torch.tensor(self._resumed.window_loss, device=self.args.device)
            self._globalstep_last_logged = self._resumed.window_start
            self.dropped = self._resumed.dropped

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save, then mark as complete, and only then remove older checkpoints."""
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        window = self.accelerator.gather(self._tr_loss.reshape(1)).mean().item()
        spent = self.spent()
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            step, stopped = self.state.global_step, self.control.should_training_stop
            progress = checkpoints.Progress(
                step, stopped, window, self._globalstep_last_logged, self.seconds(), self.dropped, *spent
            )
            checkpoints.seal(self.run_folder / f"checkpoint-{step}", progress)
            checkpoints.rotate(self.run_folder, limit, self.state.best_model_checkpoint)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, or its adapter, and the tokenizer; a sharded one is put together."""
        if not _internal_call:
            gather_whole(self)
        super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        pickled = Path(output_dir or self.run_folder) / "training_args.bin"  # a pickle; config.yaml says the same
        pickled.unlink(missing_ok=True)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Trainer only warns where a checkpoint does not fill the model."""
        own = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        wrong = [*sorted(own & set(load_result.missing_keys)), *load_result.unexpected_keys]
        if wrong:
            raise ModelError(f"the checkpoint does not fit the model: {len(wrong)} weights differ, such as {wrong[0]}")
