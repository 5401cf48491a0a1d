"""Answers for rows whose answer is not known, under any prompts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from paft.errors import InputError
from paft.evaluation.backend import Work
from paft.evaluation.cells import Cell
from paft.evaluation.dating import settled_date
from paft.evaluation.fitting import CHUNK, refuse_unfillable
from paft.evaluation.local.backend import open_here
from paft.evaluation.local.loading import Model
from paft.evaluation.options import Options
from paft.evaluation.pairs import Pair
from paft.evaluation.progress import bar
from paft.models import resolve_model
from paft.prompts import Prompt
from paft.tasks.base import Example, Task
from paft.tasks.reasoning import without_reasoning


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model answers to one row under one prompt.

    Attributes:
        prediction: index among the task's answers; -1 where none was found, and for free answers.
        answer: the letter, label word or free answer, reasoning taken off; "" where none was found.
        text: the generated text; empty where candidates were compared.
        loglik: as a sweep's cells have it; empty for generation.
    """

    prompt_id: str
    example_id: str
    prediction: int
    answer: str
    text: str
    loglik: tuple[float, ...]

    def to_row(self) -> dict[str, Any]:
        """The prediction as a JSON object; JSON has no ``-inf``, so there the value is null."""
        return {**asdict(self), "loglik": [value if isfinite(value) else None for value in self.loglik]}


def predict(
    model: Model,
    task: Task,
    prompts: Iterable[Prompt],
    rows: str | os.PathLike[str] | Sequence[Example],
    *,
    adapter: str | os.PathLike[str] | None = None,
    scoring: str = "auto",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    normalize: str = "none",
    dtype: str = "auto",
    device: str = "auto",
    chat: str = "auto",
    date: str | None = None,
    progress: bool = True,
    max_new_tokens: int | None = None,
    trust_remote_code: bool = False,
) -> list[Prediction]:
    """Answer every row under every prompt.

    Args:
        prompts: a prompt set, or any prompts; those trained on are welcome here.
        rows: a file with the task's columns (an answer is not needed and not read), or examples.
        max_new_tokens: most tokens to generate; by default the longest answer's and 4 more, 64 for free answers.

    The other arguments, and what is raised, are as for ``sweep``.

    Returns:
        Predictions, prompt by prompt, rows in their order.
    """
    asked = list(prompts)
    examples = list(task.questions(Path(rows)) if isinstance(rows, str | os.PathLike) else rows)
    if not asked or not examples:
        raise InputError(f"prediction needs at least one prompt and one row, found {len(asked)} and {len(examples)}")
    source = None if isinstance(model, tuple) else resolve_model(model, adapter)
    chat = chat if source is None else source.chat(chat)
    day = settled_date(date, source)
    options = Options(scoring, normalize, batch_tokens, max_length, max_new_tokens, chat, day)
    options.scoring_of(task)
    refuse_unfillable(task, asked, examples[0])
    work = Work(model, task, asked, examples, options, source, adapter, dtype, device, trust_remote_code)
    pairs = [Pair(prompt, example) for prompt in asked for example in examples]
    made: dict[tuple[str, str], Cell] = {}
    with open_here(work) as backend, bar("predict", len(pairs), shown=progress) as advance:
        for start in range(0, len(pairs), CHUNK):
            for cells in backend.cells(pairs[start : start + CHUNK]):
                made.update({(c.prompt_id, c.example_id): c for c in cells})
                advance(len(cells))
    return [_prediction(task, made[p.prompt.id, p.example.id]) for p in pairs]


def _prediction(task: Task, cell: Cell) -> Prediction:
    answer = without_reasoning(cell.text).text.strip() if task.type == "free" else ""
    if cell.prediction >= 0:
        answer = task.answers[cell.prediction]
    return Prediction(cell.prompt_id, cell.example_id, cell.prediction, answer, cell.text, cell.loglik)
