"""The selectors by name: what may be asked of each, and how each is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.baselines.base import Selector
from paft.baselines.top_accuracy import TopAccuracy
from paft.endpoints import load_providers
from paft.errors import InputError
from paft.evaluation import LocalBackend
from paft.prompts import Prompt, PromptSet
from paft.tasks.base import Task

SELECTORS = ("top-accuracy", "zopo", "batprompt")
JOURNAL = "writer.jsonl"  # replies of the LLM that writes for batprompt


@dataclass(frozen=True)
class Asked:
    """Which selector is wanted, and its settings as they were given; ``select_prompt`` says what they are.

    Raises:
        InputError: an unknown method, a number out of range, or a setting of another method.
    """

    method: str = "top-accuracy"
    examples: int | None = None
    seed: int = 0
    halving: bool = False
    embeddings: str | None = None
    providers: str | os.PathLike[str] | None = None
    selector: Selector | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"--seed must be at least 0, found {self.seed}")
        if self.examples is not None and self.examples < 1:
            raise InputError(f"--examples must be at least 1, found {self.examples}")
        if self.selector is None and self.method not in SELECTORS:
            raise InputError(f"unknown --method {self.method!r}; expected one of {', '.join(SELECTORS)}")
        homes = {"halving": "top-accuracy", "embeddings": "zopo", "providers": "batprompt"}
        for setting, home in homes.items():
            if getattr(self, setting) and self.name != home:
                raise InputError(f"--{setting} goes with --method {home}, not with {self.name}")
        if self.selector is not None and self.examples is not None:
            raise InputError("a selector of one's own has its own number of examples; leave out examples")

    @property
    def name(self) -> str:
        """What records call the method."""
        return self.method if self.selector is None else f"{self.selector.name} ({type(self.selector).__qualname__})"

    def identity(self) -> dict[str, Any]:
        """What decides the pick, for telling one selection from another."""
        writer = None if self.providers is None else load_providers(self.providers)[0]
        return {
            "method": self.name,
            "examples": self.examples,
            "seed": self.seed,
            "halving": self.halving,
            "embeddings": self.embeddings,
            "writer": None if writer is None else f"{writer.name} {writer.model}",
            "settings": _plain(getattr(self.selector, "__dict__", {})),
        }


@contextmanager
def making(
    asked: Asked,
    task: Task,
    prompts: PromptSet,
    backend: LocalBackend,
    output: str | os.PathLike[str] | None,
) -> Iterator[Selector]:
    """The selector, for as long as it is used.

    Args:
        backend: the base model, for embeddings.
        output: where replies of an LLM are kept, if anywhere.

    Raises:
        InputError: settings that do not fit the task, or a writer that cannot be reached.
    """
    if asked.selector is not None:
        yield asked.selector
    elif asked.method == "zopo":
        yield _zopo(asked, prompts, backend)
    elif asked.method == "batprompt":
        with _batprompt(asked, task, prompts, output) as made:
            yield made
    else:
        yield TopAccuracy(**_counted(asked, "examples"), halving=asked.halving, seed=asked.seed)


def user_prompt(task: Task, prompts: PromptSet) -> Prompt:
    """The task's own prompt, under the id that it has in ``prompts`` where it is among them.

    Raises:
        InputError: the task has none.
    """
    if not task.user_prompt:
        raise InputError(f"batprompt starts from the task's own prompt, and task {task.name!r} has no user_prompt")
    same = [p for p in prompts if p.text == task.user_prompt]
    return same[0] if same else Prompt.from_text(task.user_prompt, {"kind": "human", "strategy": "the task's own"})


def _zopo(asked: Asked, prompts: PromptSet, backend: LocalBackend) -> Selector:
    from paft.baselines.zopo import Zopo
    from paft.models.embedding import hidden_state_embeddings, sentence_embeddings

    loaded = backend.loaded
    if asked.embeddings is not None:
        made_pd = sentence_embeddings(asked.embeddings, list(prompts), device=str(loaded.model.device))
    else:
        longest = backend.encoder.max_length
        made_pd = hidden_state_embeddings(loaded.model, loaded.tokenizer, list(prompts), max_length=longest)
    return Zopo(made_pd, asked.seed, **_counted(asked, "examples"))


@contextmanager
def _batprompt(
    asked: Asked, task: Task, prompts: PromptSet, output: str | os.PathLike[str] | None
) -> Iterator[Selector]:
    from paft.baselines.batprompt import BatPrompt

    start, scored = user_prompt(task, prompts), _counted(asked, "scored")
    if asked.providers is None:
        yield BatPrompt(task, start, None, asked.seed, **scored)
        return
    from paft.baselines.writer import Writer

    with Writer(asked.providers, task, None if output is None else Path(output) / JOURNAL) as writer:
        yield BatPrompt(task, start, writer, asked.seed, **scored)


def _counted(asked: Asked, name: str) -> dict[str, int]:
    """The number of examples under the name it has for a selector; nothing where its own default stands."""
    return {} if asked.examples is None else {name: asked.examples}


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that have a written form."""
    return {k: v for k, v in settings.items() if not k.startswith("_") and isinstance(v, bool | int | float | str)}
