"""Prompt sets as PromptSource keeps them: Jinja templates with their answer, in YAML."""

from __future__ import annotations

from typing import Any

from paft.errors import InputError
from paft.prompts import jinja
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.tasks.base import Task

SEPARATOR = "|||"  # PromptSource parts input and target, and the answer choices, at it


def promptsource_yaml(prompts: PromptSet, task: Task | None = None) -> bytes:
    """The set as a PromptSource template file.

    The target is ``{{answer_choices[gold]}}`` for choice and label tasks, ``gold`` being the place of the answer
    from 0, else ``{{answer}}``. PromptSource strips both ends of input and target.

    Args:
        task: gives the answer choices; without one the target is ``{{answer}}``.

    Raises:
        InputError: a chat template, a slot name that Jinja has taken, or ``|||`` in a text or an answer.
    """
    jinja.refuse_unwritable(prompts, "promptsource")
    answers = task.answers if task is not None else ()
    texts = [(f"answer {answer!r}", answer) for answer in answers]
    for name, text in texts + [(f"prompt {prompt.id}", prompt.template.plain) for prompt in prompts]:
        if SEPARATOR in text:
            raise InputError(f"{name} holds {SEPARATOR}, at which PromptSource parts input and target; reword it")
    about = {"dataset": task.name if task is not None else "", "subset": None}
    templates = {prompt.id: jinja.Tagged("!Template", _template(prompt, answers)) for prompt in prompts}
    return jinja.to_yaml({**about, "templates": templates})


def _template(prompt: Prompt, answers: tuple[str, ...]) -> dict[str, Any]:
    target = "{{answer_choices[gold]}}" if answers else "{{answer}}"
    metadata = {"choices_in_prompt": None, "languages": None, "metrics": ["Accuracy"], "original_task": True}
    return {
        "answer_choices": f" {SEPARATOR} ".join(map(jinja.literal, answers)) or None,
        "id": prompt.id,
        "jinja": f"{jinja.text_of(prompt.template.parsed[0])} {SEPARATOR} {target}",
        "metadata": jinja.Tagged("!TemplateMetadata", metadata),
        "name": prompt.id,
        "reference": " / ".join(str(value) for value in prompt.source.values()),
    }
