"""The demo: four methods on the embedded model and task, from nothing to a table, offline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.errors import OutputError, RunError
from paft.experiments.comparing import Event, compare
from paft.experiments.folder import ABOUT
from paft.experiments.grid import Grid
from paft.files import read_json, write_json
from paft.models import EMBEDDED
from paft.prompts import load_prompts
from paft.tasks import load_task

FORMAT_VERSION = 1
RESULTS = "results.json"
METHODS = ("base", "user", "static-mix", "paft")
DEMO_KEYS = ("mean", "std", "std_corrected", "min", "q05", "top", "per_prompt")
EXAMPLES = 60
# full fine-tuning: low-rank updates of q and v alone are too small for a model of six million parameters
TRAIN: Mapping[str, Any] = {
    "full": True,
    "learning_rate": 1e-3,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 16,
    "limit": 800,
    "save_strategy": "no",
}


@dataclass(frozen=True)
class DemoResult:
    """What the demo found; ``methods`` maps each method to its numbers, as in ``results.json``."""

    methods: dict[str, dict[str, Any]]
    prompts: int
    examples: int
    seconds: float
    output: Path
    texts: dict[str, Any]
    seed: int = 0


def demo_grid(seed: int = 0) -> Grid:
    """Embedded model and task, 100 training and 50 unseen prompts."""
    return Grid(
        EMBEDDED,
        load_task("demo"),
        load_prompts("demo", "train"),
        load_prompts("demo", "test"),
        methods=METHODS,
        seeds=(seed,),
        limit=EXAMPLES,
        train=TRAIN,
    )


def run_demo(
    output: Path | str = "paft-demo",
    seed: int = 0,
    progress: bool = True,
    announce: Callable[[str], None] = lambda method: None,
) -> DemoResult:
    """Base, one prompt, static mixture and PAFT on the demo task, swept over 50 unseen prompts.

    Args:
        output: folder for a comparison and ``results.json``; a demo that was interrupted goes on.
        announce: called with the name of each method as it begins.

    Raises:
        OutputError: the folder holds something else, or a demo with another seed.
        RunError: a method failed.
    """
    output, started = Path(output), time.monotonic()
    done = _earlier(output, seed)

    def watch(event: Event) -> None:
        if event.kind == "start" and event.cell is not None:
            announce(event.cell.method)
        if event.kind == "failed" and event.cell is not None:
            raise RunError(f"{event.cell.method} failed: {event.error}")

    grid = demo_grid(seed)
    found = compare(grid, output, progress=progress, watch=watch, about={"seed": seed})
    records = {record.method: record.unseen for record in found.records}
    first = records["base"]
    result = DemoResult(
        methods={name: {key: records[name].numbers[key] for key in DEMO_KEYS} for name in METHODS},
        prompts=len(first.prompt_ids),
        examples=len(first.example_ids),
        seconds=done["seconds"] if done else round(time.monotonic() - started, 1),
        output=output,
        texts={p.id: p.text for p in grid.unseen},
        seed=seed,
    )
    write_json(
        output / RESULTS,
        {
            "format_version": FORMAT_VERSION,
            "seed": seed,
            "methods": result.methods,
            "prompts": result.prompts,
            "examples": result.examples,
            "seconds": result.seconds,
        },
    )
    return result


def _earlier(output: Path, seed: int) -> dict[str, Any] | None:
    """The results of a demo that is done; refuses one with another seed."""
    if not (output / ABOUT).is_file():
        return None
    found = read_json(output / ABOUT).get("seed")
    if found != seed:
        raise OutputError(f"{output} holds a demo with seed {found}; give another --output")
    return read_json(output / RESULTS) if (output / RESULTS).is_file() else None
