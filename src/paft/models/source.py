"""What ``--model`` and ``--adapter`` stand for: hub id, local folder, run folder or ``embedded``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from paft.errors import ModelError
from paft.files import read_json, read_text

EMBEDDED = "embedded"
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        base: folder or hub id of the base model.
        adapter: folder or hub id of a PEFT adapter upon it, or None.
        run: the folder of the training run that made it, or None.
    """

    base: str
    adapter: str | None = None
    run: Path | None = None

    def run_settings(self) -> dict[str, Any]:
        """What ``config.yaml`` of the run records; empty where there is no run."""
        if self.run is None or not (self.run / "config.yaml").is_file():
            return {}
        try:
            settings = yaml.safe_load(read_text(self.run / "config.yaml"))
        except yaml.YAMLError as bad:
            reason = str(bad).splitlines()[0]
            raise ModelError(
                f"{self.run / 'config.yaml'} is not YAML: {reason}; the record of the run is damaged"
            ) from None
        return settings if isinstance(settings, dict) else {}

    def chat(self, asked: str = "auto") -> str:
        """The chat setting to use: the one asked for, or the run's own where that is ``auto``."""
        if asked != "auto":
            return asked
        training = self.run_settings().get("training")
        return str(training.get("chat", "auto")) if isinstance(training, dict) else "auto"

    def date(self) -> str | None:
        """The day that the run's chat template took for today; None where there is no run, or none is recorded."""
        training = self.run_settings().get("training")
        day = training.get("date") if isinstance(training, dict) else None
        return None if day is None else str(day)


def embedded_folder() -> Path:
    """Folder of the small model that ships with paft."""
    folder = Path(str(files("paft.resources"))) / "base"
    if not (folder / "config.json").is_file():
        raise ModelError("the embedded model is missing from this installation; install paft again")
    return folder


def resolve_model(model: str | os.PathLike[str], adapter: str | os.PathLike[str] | None = None) -> ModelSource:
    """Find out what ``model`` names, following an adapter folder to its base.

    Raises:
        ModelError: a path that is not there, or a folder that holds no model.
    """
    name = os.fspath(model)
    if not name.strip():
        raise ModelError(f"the name of the model is empty; give a folder, a hub id such as org/name, or {EMBEDDED!r}")
    if name == EMBEDDED:
        return _with_adapter(ModelSource(str(embedded_folder())), adapter)
    folder = Path(name).expanduser()
    if not folder.exists():
        if _looks_like_path(name):
            raise ModelError(f"no such model folder: {name}\ngive a folder, a hub id such as org/name, or {EMBEDDED!r}")
        return _with_adapter(ModelSource(name), adapter)
    if not folder.is_dir():
        raise ModelError(f"{name} is a file; expected a model folder, a hub id or {EMBEDDED!r}")
    run = folder if (folder / "prompts.jsonl").is_file() else None
    if (folder / ADAPTER_CONFIG).is_file():
        if adapter is not None:
            raise ModelError(f"{name} is an adapter already; give its base model as --model beside --adapter")
        return ModelSource(_base_of(folder), str(folder), run)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name} holds no model: expected config.json or {ADAPTER_CONFIG}{_nearby(folder)}")
    return _with_adapter(ModelSource(str(folder), run=run), adapter)


def _with_adapter(source: ModelSource, adapter: str | os.PathLike[str] | None) -> ModelSource:
    if adapter is None:
        return source
    name = os.fspath(adapter)
    folder = Path(name).expanduser()
    if not folder.exists() and not _looks_like_path(name):
        return ModelSource(source.base, name)
    if not (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(f"{name} holds no adapter: expected {ADAPTER_CONFIG}{_nearby(folder)}")
    run = folder if (folder / "prompts.jsonl").is_file() else None
    return ModelSource(source.base, str(folder), run)


def _base_of(folder: Path) -> str:
    """The base model that an adapter folder names."""
    config = read_json(folder / ADAPTER_CONFIG)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not base or not isinstance(base, str):
        raise ModelError(f"{folder / ADAPTER_CONFIG} names no base model; give it as --model with --adapter {folder}")
    if base == EMBEDDED or (not Path(base).exists() and Path(base).parts[-3:] == ("paft", "resources", "base")):
        return str(embedded_folder())
    if not Path(base).exists() and _looks_like_path(base):
        raise ModelError(
            f"{folder} was trained on {base}, which is not there\n"
            f"give the base model as --model with --adapter {folder}"
        )
    return str(base)


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep)) or name.count("/") > 1 or name.endswith("/") or "\\" in name


def _nearby(folder: Path) -> str:
    """A hint at a folder below that does hold a model."""
    if not folder.is_dir():
        return " in a folder of that name, which does not exist"
    for name in ("config.json", ADAPTER_CONFIG):
        for found in sorted(folder.glob(f"*/{name}")):
            return f"; found one in {found.parent}"
    return ""
