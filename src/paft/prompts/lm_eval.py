"""Prompt sets as tasks of the lm-evaluation-harness: a task file for each template, and a group over them.

The harness encodes prompt and answer as one text and takes the candidate of the highest log-likelihood, the first
of equals, as ``paft sweep --chat off`` does. The examples go along as Parquet: its columns are text by declaration,
where a JSON loader would take a column of dates for something else.
"""

from __future__ import annotations

import glob
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.errors import InputError
from paft.prompts import jinja
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.template import Pieces
from paft.tasks.base import Example, Task

DATA, SHARED = "examples.parquet", "_shared"  # the harness takes every *.yaml for a task; what they share is none
SPARE_TOKENS = 4  # beyond the longest free answer: a line break, a bracket, the end token


@dataclass(frozen=True)
class Harness:
    """Files of a group of harness tasks.

    Attributes:
        group: what ``lm_eval --tasks`` is given.
        examples: how many examples the data holds.
        files: name in the folder -> content, the group's own file last.
        max_new_tokens: most tokens of a free answer; None where answers are candidates.
    """

    group: str
    examples: int
    files: dict[str, bytes]
    max_new_tokens: int | None


def harness_files(
    prompts: PromptSet, folder: Path, task: Task, split: str = "test", limit: int | None = None
) -> Harness:
    """The group of tasks, for ``folder``, whose place is written into the files.

    Raises:
        InputError: a chat template; a slot that the task does not fill or whose name Jinja has taken; a prompt whose
            answer follows a space for some examples and a line break for others; free answers that are compared
            normalized or have several lines; a folder name that the data loader cannot take.
    """
    jinja.refuse_unwritable(prompts, "lm-eval")
    examples = task.examples(split, limit)
    _refuse_unfillable(prompts, task, examples[0])
    if task.type == "free":
        _refuse_free(task, examples)
    slots = list(dict.fromkeys(slot for prompt in prompts for slot in prompt.template.slots))
    answer = _unused("answer" if task.type == "free" else "gold", slots)
    room = max(len(e.answer.encode()) for e in examples) + SPARE_TOKENS if task.type == "free" else None
    group = f"paft_{_plain(task.name)}"
    files = {DATA: _parquet(task, examples, slots, answer), SHARED: _shared(task, folder, split, answer, room)}
    names = [f"{group}_{at:03d}_{_plain(prompt.id)}".rstrip("_") for at, prompt in enumerate(prompts, start=1)]
    for name, prompt in zip(names, prompts, strict=True):
        one = {
            "include": SHARED,
            "task": name,
            "doc_to_text": _doc_to_text(prompt.template.parsed[0]),
            "target_delimiter": _delimiter(prompt, examples),
            "metadata": {"version": 1.0, "prompt_id": prompt.id},
        }
        files[f"{name}.yaml"] = jinja.to_yaml(one)
    mean = {"metric": _metric(task), "aggregation": "mean", "weight_by_size": False}
    over = {"group": group, "task": names, "aggregate_metric_list": [mean], "metadata": {"version": 1.0}}
    files[f"{group}.yaml"] = jinja.to_yaml(over)
    return Harness(group, len(examples), files, room)


def _shared(task: Task, folder: Path, split: str, answer: str, room: int | None) -> bytes:
    """What all templates have in common: the data, the candidates, the metric."""
    place = folder.resolve() / DATA
    if "::" in str(place) or "://" in str(place):
        raise InputError(f"{place}: the data loader takes '::' for a chain of files; give another --output")
    config: dict[str, Any] = {
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {split: glob.escape(str(place))}},
        "test_split": split,
        "num_fewshot": 0,
        "doc_to_target": answer,
        "metric_list": [{"metric": _metric(task), "aggregation": "mean", "higher_is_better": True}],
    }
    if room is None:
        return jinja.to_yaml({**config, "output_type": "multiple_choice", "doc_to_choice": list(task.answers)})
    # the first line that holds anything, as paft reads a free answer of one line
    line = {"function": "regex", "regex_pattern": r"\S[^\n]*", "fallback": ""}
    written = {
        "output_type": "generate_until",
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": room},
        "filter_list": [{"name": "first-line", "filter": [line, {"function": "take_first"}]}],
    }
    return jinja.to_yaml({**config, **written})


def _doc_to_text(pieces: Pieces) -> str:
    """The prompt as paft encodes it: without spaces and tabs at its end, which a slot's value may bring."""
    last = pieces.pieces[-1].rstrip(" \t")
    if last:
        return jinja.text_of(Pieces((*pieces.pieces[:-1], last)))
    name, marks = jinja.RENDERED, r'" \t"'
    return f"{{% set {name} %}}{jinja.text_of(pieces)}{{% endset %}}{{{{ {name}.rstrip({marks}) }}}}"


def _delimiter(prompt: Prompt, examples: Sequence[Example]) -> str:
    """What parts prompt and answer: a space, or nothing after a line break."""
    last = prompt.template.parsed[0].pieces[-1].rstrip(" \t")
    if last:
        return "" if last.endswith("\n") else " "
    found: dict[str, str] = {}
    for example in examples:
        text = str(prompt.render(example.slots)).rstrip(" \t")
        if not text or text.isdigit():
            raise InputError(
                f"prompt {prompt.id}, example {example.id}: the whole prompt is {text!r}, which the harness cannot "
                "take for a text; give the prompt some words"
            )
        found.setdefault("" if text.endswith("\n") else " ", example.id)
    if len(found) > 1:
        raise InputError(
            f"prompt {prompt.id} ends in a slot, whose value ends in a line break for example {found['']} and does not "
            f"for {found[' ']}; a harness task knows one of the two: end the template in a cue such as 'Answer:'"
        )
    return next(iter(found))


def _parquet(task: Task, examples: Sequence[Example], slots: Sequence[str], answer: str) -> bytes:
    """The examples: ids, slots, and the place of the answer among the candidates, or its text where it is free."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {_unused("example_id", slots): pa.array([e.id for e in examples], pa.string())}
    columns |= {slot: pa.array([e.slots[slot] for e in examples], pa.string()) for slot in slots}
    if task.type == "free":
        columns[answer] = pa.array([e.answer.strip() for e in examples], pa.string())
    else:
        columns[answer] = pa.array([e.gold for e in examples], pa.int64())
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def _refuse_unfillable(prompts: PromptSet, task: Task, example: Example) -> None:
    for prompt in prompts:
        for slot in prompt.template.slots:
            if slot not in example.slots:
                raise InputError(
                    f"prompt {prompt.id} has a slot {{{slot}}}, which task {task.name!r} does not fill; "
                    f"its slots: {', '.join(example.slots)}"
                )


def _refuse_free(task: Task, examples: Sequence[Example]) -> None:
    if task.match != "exact":
        raise InputError(
            f"task {task.name!r} compares free answers {task.match}, for which the harness has no like; export needs "
            "match: exact, or use paft sweep"
        )
    for example in examples:
        if "\n" in example.answer.strip():
            raise InputError(
                f"example {example.id}: its answer has several lines; the harness task reads one line, use paft sweep"
            )


def _metric(task: Task) -> str:
    return "exact_match" if task.type == "free" else "acc"


def _unused(name: str, slots: Sequence[str]) -> str:
    """A column name that is no slot."""
    while name in slots:
        name += "_"
    return name


def _plain(name: str) -> str:
    """A name for files and the command line: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.-")[:60]
