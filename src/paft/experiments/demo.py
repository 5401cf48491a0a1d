"""The demo: four methods on the embedded model and task, from nothing to a table, offline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from paft.errors import OutputError
from paft.experiments.methods import METHODS, Record, Setup, run_method
from paft.files import read_json, write_json
from paft.models import EMBEDDED
from paft.prompts import PromptSet
from paft.tasks import load_task

FORMAT_VERSION = 1
RESULTS = "results.json"
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


def demo_prompts() -> tuple[PromptSet, PromptSet]:
    """The demo's 100 training and 50 unseen prompts."""
    folder = Path(str(files("paft.resources"))) / "demo"
    return PromptSet.load(folder / "prompts-train.jsonl"), PromptSet.load(folder / "prompts-test.jsonl")


def demo_setup() -> Setup:
    """Embedded model and task, 100 training and 50 unseen prompts."""
    train_prompts, test_prompts = demo_prompts()
    return Setup(EMBEDDED, load_task("demo"), train_prompts, test_prompts, limit=EXAMPLES, train=TRAIN)


def run_demo(
    output: Path | str = "paft-demo",
    seed: int = 0,
    progress: bool = True,
    announce: Callable[[str], None] = lambda method: None,
) -> DemoResult:
    """Base, one prompt, static mixture and PAFT on the demo task, swept over 50 unseen prompts.

    Args:
        output: folder for runs, sweeps and ``results.json``; a demo that was interrupted goes on.
        announce: called with the name of each method as it begins.

    Raises:
        OutputError: the folder holds something else, or a demo with another seed.
    """
    output, started = Path(output), time.monotonic()
    done = _claim(output, seed)
    setup = demo_setup()
    records: dict[str, Record] = {}
    for method in METHODS:
        announce(method)
        records[method] = run_method(setup, method, seed, output / method, progress)
    first = records["base"]
    result = DemoResult(
        methods={name: {key: r.numbers[key] for key in DEMO_KEYS} for name, r in records.items()},
        prompts=len(first.prompt_ids),
        examples=len(first.example_ids),
        seconds=done["seconds"] if done else round(time.monotonic() - started, 1),
        output=output,
        texts={p.id: p.text for p in setup.test_prompts},
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


def _claim(output: Path, seed: int) -> dict[str, Any] | None:
    """Make sure the folder is free or a demo's own; returns the results of one that is done."""
    mark = output / "demo.json"
    if not mark.is_file():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise OutputError(f"{output} is not empty and holds no demo; give another --output")
        write_json(mark, {"format_version": FORMAT_VERSION, "seed": seed})
    elif read_json(mark).get("seed") != seed:
        raise OutputError(f"{output} holds a demo with seed {read_json(mark).get('seed')}; give another --output")
    return read_json(output / RESULTS) if (output / RESULTS).is_file() else None
