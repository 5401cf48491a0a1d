"""Writing what a verb makes without writing over anything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from paft.errors import OutputError, PaftError
from paft.prompts import PromptSet


def save_prompt_sets(sets: Mapping[Path, PromptSet]) -> None:
    """Write prompt sets, all or none.

    Raises:
        OutputError: a file is there already and holds something else.
    """
    for path, prompts in sets.items():
        if path.exists() and not _holds(path, prompts):
            raise OutputError(f"{path} is there already and holds something else; give another --output or remove it")
    for path, prompts in sets.items():
        prompts.save(path)


def _holds(path: Path, prompts: PromptSet) -> bool:
    try:
        return PromptSet.load(path) == prompts
    except PaftError:
        return False
