"""The model of a sweep: loaded here or handed over; and prompts that must not meet it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paft.errors import InputError, TemplateError
from paft.evaluation.local.whole import whole
from paft.models import ModelSource, load_model, load_tokenizer, pick_device, pick_dtype
from paft.prompts import Prompt, PromptSet
from paft.prompts.overlap import overlap
from paft.tasks.base import Example, Task, is_worked

Model = str | os.PathLike[str] | tuple[PreTrainedModel, PreTrainedTokenizerBase]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to be measured, and how records call it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    adapter: str | None

    @property
    def dtype(self) -> str:
        """The dtype of its weights: ``float32``, ``bfloat16``, ..."""
        return str(self.model.dtype).removeprefix("torch.")


def load(
    model: Model,
    source: ModelSource | None,
    adapter: str | os.PathLike[str] | None,
    dtype: str,
    device: str,
    trust_remote_code: bool,
) -> Loaded:
    """Load ``source``, or take ``model`` where it is a loaded ``(model, tokenizer)``.

    Raises:
        InputError: an adapter beside a loaded model, or one that is parted over processes.
        ModelError: what ``load_model`` and ``load_tokenizer`` refuse.
    """
    if isinstance(model, tuple):
        if adapter is not None:
            raise InputError("an adapter goes with a model's name or folder; this model is loaded already")
        live, tokenizer = cast(PreTrainedModel, whole(model[0])), model[1]
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return Loaded(live, tokenizer, str(getattr(live.config, "name_or_path", "")) or "loaded model", None)
    assert source is not None  # whoever gives a name gives what it resolves to
    tokenizer = load_tokenizer(source, trust_remote_code)
    where = pick_device(device)
    loaded = load_model(source, dtype=pick_dtype(dtype, where), device=where, trust_remote_code=trust_remote_code)
    return Loaded(loaded, tokenizer, os.fspath(model), source.adapter)


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
