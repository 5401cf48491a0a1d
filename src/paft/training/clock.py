"""What a run has spent so far: time, processor time and tokens, those before interruptions too."""

from __future__ import annotations

import time
from typing import Any

import torch

from paft.training.checkpoints import Progress


class Clock:
    """The clocks of this process.

    Attributes:
        resumed: what the run had done and spent at the checkpoint that it goes on from; None where it begins here.
    """

    resumed: Progress | None = None

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Time and processor time count from here on."""
        self._started, self._processor_started = time.monotonic(), time.process_time()

    def seconds(self) -> float:
        """Time trained so far."""
        return (self.resumed.seconds if self.resumed else 0.0) + time.monotonic() - self._started

    def spent(self, accelerator: Any, tokens: int) -> tuple[float, int]:
        """Processor seconds and tokens of all processes so far; every process has to ask.

        Args:
            tokens: of this process since it started.
        """
        milliseconds = round(1000 * (time.process_time() - self._processor_started))
        mine = torch.tensor([milliseconds, tokens], device=accelerator.device)
        milliseconds, tokens = accelerator.reduce(mine, "sum").tolist()
        before = (self.resumed.processor_seconds, self.resumed.tokens) if self.resumed else (0.0, 0)
        return round(before[0] + milliseconds / 1000, 3), before[1] + tokens
