"""Tasks: the benchmarks of the catalogue, and a user's own.

``load_task("piqa", data="folder/or/hub-id")``, ``load_task("my-task.yaml")``, ``Task.from_jsonl(...)``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from paft.errors import InputError, MissingFileError
from paft.tasks.base import LETTERS, SPLITS, Example, Task, TaskType, normalize
from paft.tasks.hellaswag import hellaswag
from paft.tasks.piqa import piqa
from paft.tasks.race import race, race_high, race_middle
from paft.tasks.sampling import sample
from paft.tasks.winogrande import winogrande

__all__ = ["CATALOGUE", "LETTERS", "SPLITS", "Example", "Task", "TaskType", "load_task", "normalize", "sample"]


def demo(data: str | Path | None = None) -> Task:
    """The small task that ships with paft; needs no data."""
    return Task.from_yaml(Path(str(files("paft") / "resources" / "demo" / "task.yaml")), data)


CATALOGUE: dict[str, Callable[[str | Path | None], Task]] = {
    "piqa": piqa,
    "hellaswag": hellaswag,
    "winogrande": winogrande,
    "race": race,
    "race-middle": race_middle,
    "race-high": race_high,
    "demo": demo,
}


def load_task(name_or_yaml: str | Path, data: str | Path | None = None) -> Task:
    """A task of the catalogue by name, or a user's own by its task YAML (or the folder of its ``task.yaml``).

    Args:
        data: where its rows are: a hub id, a file or a folder. A benchmark without data has slots and
            answers but no examples; a task YAML names its own files.

    Raises:
        InputError: no such task; names those there are.
        MissingFileError, DataError: its YAML or data is absent or does not fit.
    """
    name = str(name_or_yaml)
    if name in CATALOGUE:
        return CATALOGUE[name](data)
    path = Path(name).expanduser()
    if path.is_dir() and (path / "task.yaml").is_file():
        return Task.from_yaml(path / "task.yaml", data)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return Task.from_yaml(path, data)
    if path.is_dir():
        raise MissingFileError(f"{path} is a folder without a task.yaml; give a task YAML or one of {_names()}")
    near = difflib.get_close_matches(name.lower().replace("_", "-"), CATALOGUE, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"unknown task {name!r}; {hint}expected one of {_names()}, or the path of a task YAML")


def _names() -> str:
    return ", ".join(CATALOGUE)
