"""A grid that takes seconds, and processes that work on it."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paft.experiments import Ablation, Event, Grid, Sweeping, compare
from paft.prompts import PromptSet
from paft.tasks import Example, Task

WORDS = "quick brown fox jumps over the lazy dog read text find location person number delivery return".split()
TEMPLATES = (
    "{text}\nAnswer:",
    "Read the text: {text}. Which kind is it?\n",
    "What follows is a note. {text} ->",
    "Choose a kind for {text}",
    "Name the place that this tells of: {text} Reply:",
    "Kind of '{text}':",
)
TRAIN = {"num_train_epochs": 2, "per_device_train_batch_size": 3, "chat": "off", "learning_rate": 3e-3}
USER = "Here is a note: {text}\nIts kind is"


def make_task() -> Task:
    """Nine training and six test rows."""

    def read(split: str) -> Sequence[Example]:
        rng, count = random.Random(split), {"train": 9}.get(split, 6)
        answers = ("location", "description")
        return [
            Example(f"{split}:{i}", {"text": " ".join(rng.choices(WORDS, k=6))}, answers[i % 2], i % 2)
            for i in range(count)
        ]

    return Task("notes", "label", {"text": "a note"}, ("location", "description"), user_prompt=USER, read=read)


def make_grid(model: Path | str, **changes: Any) -> Grid:
    """Base, user, top-accuracy and paft with two seeds, two variants, and a further sweep."""
    plain: dict[str, Any] = {
        "model": str(model),
        "task": make_task(),
        "prompts": PromptSet.from_texts(TEMPLATES[:4]),
        "unseen": PromptSet.from_texts(TEMPLATES[4:]),
        "methods": ("base", "user", "top-accuracy", "paft"),
        "seeds": (0, 1),
        "ablations": (Ablation({"examples_per_prompt": (1, 4), "train_prompts": (1, 4)}, seeds=(0,)),),
        "sweeps": {"train": Sweeping(PromptSet.from_texts(TEMPLATES[:2]), ("base", "user"))},
        "train": TRAIN,
        "sweep": {"chat": "off"},
        "select": {"top-accuracy": {"examples": 3}},
    }
    return Grid(**(plain | changes))


def main(model: str, output: str, kill_after: str) -> None:
    """Work on the grid, a line for each cell begun; killed, for good, once so many cells are begun."""
    begun = 0

    def watch(event: Event) -> None:
        nonlocal begun
        if event.kind == "start" and event.cell is not None:
            begun += 1
            print(event.cell.name, flush=True)
        if event.kind == "done" and begun == int(kill_after):
            os.kill(os.getpid(), signal.SIGKILL)

    compare(make_grid(Path(model)), output, progress=False, watch=watch)


if __name__ == "__main__":
    main(*sys.argv[1:])
