"""What has to fit before a model is asked: prompts, examples and their lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from paft.errors import InputError, TemplateError
from paft.evaluation.pairs import Pair
from paft.prompts import Prompt, PromptSet
from paft.prompts.overlap import overlap
from paft.tasks.base import Example, Task, is_worked

if TYPE_CHECKING:
    from paft.evaluation.backend import Backend
    from paft.models import ModelSource

CHUNK = 1024  # pairs that are looked at together


def refuse_trained(source: ModelSource, prompts: PromptSet) -> None:
    """Refuse prompts that the run was trained on: the same id, or the same text but for case and spaces."""
    if source.run is None:
        return
    trained = PromptSet.load(source.run / "prompts.jsonl")
    found = {o.test_id for o in overlap(trained, prompts)} | {id for id in prompts.ids if id in trained}
    if found:
        some = ", ".join(sorted(found)[:3]) + (", …" if len(found) > 3 else "")
        raise InputError(
            f"{len(found)} of {len(prompts)} prompts are among those that {source.run} was trained on: {some}\n"
            "measure with unseen prompts (paft prompts split makes them), or give --allow-overlap"
        )


def refuse_unfillable(task: Task, prompts: Iterable[Prompt], example: Example) -> None:
    """Refuse a prompt with a slot that the task does not fill."""
    for prompt in prompts:
        for slot in prompt.template.slots:
            if slot not in example.slots:
                raise TemplateError(
                    f"prompt {prompt.id} has a slot {{{slot}}}, which task {task.name!r} does not fill; "
                    f"its slots: {', '.join(example.slots)}",
                    code="unknown-slot",
                )


def refuse_unjudgeable(task: Task, examples: Iterable[Example]) -> None:
    """Refuse right answers that are worked solutions where answers are compared as they are: none would be right.

    Raises:
        InputError: names the first such example.
    """
    if task.type != "free" or task.match != "exact":
        return
    for example in examples:
        if is_worked(example.answer):
            raise InputError(
                f"task {task.name!r}: the right answer of example {example.id} is a worked solution that ends in "
                f"{example.answer.strip().splitlines()[-1]!r}, which no model repeats word for word\n"
                "write `match: normalized` in the task YAML: then what follows the last #### is compared"
            )


def refuse_unmeasurable(task: Task, prompts: Iterable[Prompt], examples: Sequence[Example]) -> None:
    """Both ``refuse_unfillable`` and ``refuse_unjudgeable``."""
    refuse_unfillable(task, prompts, examples[0])
    refuse_unjudgeable(task, examples)


def examples_that_fit(
    backend: Backend, prompts: Iterable[Prompt], examples: Sequence[Example], on_long: str
) -> list[Example]:
    """The examples that fit under every prompt, so that all prompts meet the same ones."""
    long: set[str] = set()
    room = 0
    for prompt in prompts:
        left = [Pair(prompt, e) for e in examples if e.id not in long]
        for start in range(0, len(left), CHUNK):
            found = backend.too_long(left[start : start + CHUNK])
            if found and on_long == "error":
                raise found[0].error()
            long |= {f.pair.example.id for f in found}
            room = found[0].max_length if found else room
    kept = [e for e in examples if e.id not in long]
    if not kept:
        raise InputError(
            f"all {len(examples)} examples are longer than {room} tokens under some prompt; raise --max-length"
        )
    return kept
