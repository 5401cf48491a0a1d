"""The prompt sets that ship with paft, and how a set is named where a file may stand too.

For PIQA, HellaSwag, WinoGrande, RACE, TREC and SST-2: 410 training prompts, 50 for testing that are at most 0.8
similar to any of them, and ten hostile test wordings. For the demo task: 100 and 50.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from paft.errors import InputError
from paft.prompts.prompt_set import PromptSet

BUNDLED = ("piqa", "hellaswag", "winogrande", "race", "trec", "sst2")
SPLITS = ("train", "test", "hostile")
PREFIX = "bundled"
DEMO = "demo"  # its prompts lie beside its rows
_LEVELS = {"race-middle": "race", "race-high": "race"}


def load_prompts(task: str, split: str = "train") -> PromptSet:
    """The prompts that ship with paft for a task.

    Args:
        task: ``piqa``, ``hellaswag``, ``winogrande``, ``race`` (or one of its levels), ``trec``, ``sst2`` or ``demo``.
        split: ``train``; ``test``, unseen wordings; or ``hostile``, wordings as they come at their worst, which the
            demo has none of.

    Raises:
        InputError: no prompts ship for this task, or an unknown split.
    """
    name, splits = _LEVELS.get(task, task), _splits(task)
    if not splits:
        raise InputError(
            f"no prompts ship for task {task!r}, only for {', '.join((*BUNDLED, DEMO))}\n"
            "make some with paft prompts generate (--providers grammar needs no LLM)"
        )
    if split not in splits:
        which = "the bundled prompts" + (f" of task {name!r}" if split in SPLITS else "")
        raise InputError(f"unknown split {split!r} of {which}; expected one of {', '.join(splits)}")
    resources = Path(str(files("paft.resources")))
    if name == DEMO:
        return PromptSet.load(resources / DEMO / f"prompts-{split}.jsonl")
    return PromptSet.load(resources / "prompts" / name / f"{split}.jsonl")


def _splits(task: str) -> tuple[str, ...]:
    """The splits of the prompts that ship for a task; none where no prompts do."""
    if task == DEMO:
        return ("train", "test")
    return SPLITS if _LEVELS.get(task, task) in BUNDLED else ()


def is_bundled(where: str | os.PathLike[str]) -> bool:
    """Whether this names a bundled set rather than a file."""
    return str(where).split(":")[0] == PREFIX and not Path(where).exists()


def find_prompts(where: str | os.PathLike[str], task: str | None = None, split: str = "train") -> PromptSet:
    """A prompt file, or a bundled set by name: ``bundled``, ``bundled:test``, ``bundled:piqa:test``.

    Args:
        task: the task where the name leaves it out.
        split: the split where the name leaves it out.
    """
    if not is_bundled(where):
        return PromptSet.load(where)
    parts = str(where).split(":")
    if len(parts) == 2 and parts[1] in SPLITS:
        parts = [PREFIX, "", parts[1]]
    name = (parts[1] if len(parts) > 1 else "") or task
    if len(parts) > 3 or name is None:
        raise InputError(f"expected bundled:TASK:SPLIT, such as bundled:piqa:test, found {str(where)!r}")
    return load_prompts(name, parts[2] if len(parts) == 3 else split)
