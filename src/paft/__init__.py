"""Prompt-agnostic fine-tuning: a language model that answers alike however its prompt is worded.

The names below are the library. They are loaded when first used, so that ``import paft`` is quick and
needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paft.errors import PaftError
    from paft.evaluation import ServerModel, SweepCallback, SweepResult, sweep
    from paft.experiments import Ablation, Grid, Sweeping, compare, select_prompt
    from paft.models import load_model, load_tokenizer
    from paft.prompts import Message, Prompt, PromptSet, Template, load_prompts
    from paft.prompts.generation import generate_prompts
    from paft.schedule import FixedSchedule, Schedule, StaticMixSchedule, UniformSchedule
    from paft.tasks import Example, Task, load_task
    from paft.training import PaftConfig, PaftTrainer, train

    __version__: str

__all__ = [
    "Ablation",
    "Example",
    "FixedSchedule",
    "Grid",
    "Message",
    "PaftConfig",
    "PaftError",
    "PaftTrainer",
    "Prompt",
    "PromptSet",
    "Schedule",
    "ServerModel",
    "StaticMixSchedule",
    "SweepCallback",
    "SweepResult",
    "Sweeping",
    "Task",
    "Template",
    "UniformSchedule",
    "__version__",
    "compare",
    "generate_prompts",
    "load_model",
    "load_prompts",
    "load_task",
    "load_tokenizer",
    "select_prompt",
    "sweep",
    "train",
]

_PARTS = {
    "paft.tasks": ("Example", "Task", "load_task"),
    "paft.prompts": ("Message", "Prompt", "PromptSet", "Template", "load_prompts"),
    "paft.prompts.generation": ("generate_prompts",),
    "paft.schedule": ("FixedSchedule", "Schedule", "StaticMixSchedule", "UniformSchedule"),
    "paft.models": ("load_model", "load_tokenizer"),
    "paft.training": ("PaftConfig", "PaftTrainer", "train"),
    "paft.evaluation": ("ServerModel", "SweepCallback", "SweepResult", "sweep"),
    "paft.experiments": ("Ablation", "Grid", "Sweeping", "compare", "select_prompt"),
    "paft.errors": ("PaftError",),
}
_HOME = {name: part for part, names in _PARTS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("paft")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'paft' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
