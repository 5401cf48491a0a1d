"""Export prompt sets for other tools; what cannot come back whole is refused by name."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from paft.errors import DataError, InputError, OutputError
from paft.files import atomic_path
from paft.prompts.importing import import_prompts
from paft.prompts.jinja import refuse_chat
from paft.prompts.lm_eval import harness_files
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.promptsource import promptsource_yaml
from paft.prompts.template import Template
from paft.tasks.base import Task

Format = Literal["jsonl", "csv", "txt", "promptsource", "lm-eval"]
SUFFIXES = {"jsonl": (".jsonl",), "csv": (".csv",), "txt": (".txt",), "promptsource": (".yaml", ".yml")}


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        path: the file, or the folder of an lm-eval export.
        prompts: how many prompts it holds.
        notes: what there is to know about it; sentences for people.
    """

    path: Path
    prompts: int
    notes: tuple[str, ...] = ()


def export_prompts(
    prompts: PromptSet,
    path: str | os.PathLike[str],
    format: Format,
    task: Task | None = None,
    split: str = "test",
    limit: int | None = None,
) -> ExportReport:
    """Write ``prompts`` as ``format``.

    ``jsonl`` and ``csv`` come back equal through ``import_prompts``; ``txt`` holds the texts alone, one a line with
    line breaks as the two characters ``\\n``. ``promptsource`` is a file of Jinja templates; ``lm-eval`` a folder
    with a task of the lm-evaluation-harness for each template, a group over them, and the examples.

    Args:
        path: a file whose name ends as the format's do, or a folder for ``lm-eval``.
        task: gives ``promptsource`` its answer choices; ``lm-eval`` needs one with data.
        split, limit: for ``lm-eval``, which examples; ``limit`` samples as ``Task.examples`` does.

    Raises:
        InputError: an unknown format, a name that does not fit it, no task where one is needed, or a prompt that the
            format cannot hold; names the prompt.
        OutputError: the file or folder is there already and holds something else.
    """
    path = Path(path)
    if format not in get_args(Format):
        raise InputError(f"unknown format {format!r}; expected one of {', '.join(get_args(Format))}")
    if format != "lm-eval":
        if path.suffix.lower() not in SUFFIXES[format]:
            raise InputError(f"{path}: --format {format} needs an --output that ends in {SUFFIXES[format][0]}")
        if limit is not None:
            raise InputError("--limit says how many examples go along, which --format lm-eval alone writes")
        content, notes = _file(prompts, path.suffix, format, task)
        _save({path: content}, path)
        return ExportReport(path, len(prompts), notes)
    if task is None:
        raise InputError("--format lm-eval writes the examples too; give --task, and --data for a benchmark")
    made = harness_files(prompts, path, task, split, limit)
    _save({path / name: content for name, content in made.files.items()}, path)
    room = f" --max-new-tokens {made.max_new_tokens}" if made.max_new_tokens else ""
    call = f"lm_eval --include_path {shlex.quote(str(path))} --tasks {made.group}"
    notes = (
        f"group {made.group}: {len(prompts)} tasks over the same {made.examples} examples ({split} of {task.name})",
        f"run: {call} --model hf --model_args pretrained=MODEL",
        f"it gives what paft sweep --chat off{room} gives; the files name this folder: export again, do not move it",
    )
    return ExportReport(path, len(prompts), notes)


def _file(prompts: PromptSet, suffix: str, format: str, task: Task | None) -> tuple[bytes, tuple[str, ...]]:
    """The content of an export that is one file, and what to say about it."""
    if format == "jsonl":
        return _jsonl(prompts).encode(), ()
    if format == "promptsource":
        return promptsource_yaml(prompts, task), ()
    refuse_chat(prompts, format)
    content = _csv(prompts) if format == "csv" else _txt(prompts)
    _refuse_lost(prompts, content.encode(), suffix, format)
    if format == "csv" or all(prompt == Prompt.from_text(prompt.text) for prompt in prompts):
        return content.encode(), ()
    return content.encode(), ("ids, sources, splits and groups are not in a text file",)


def _jsonl(prompts: PromptSet) -> str:
    """Every row has a source, be it an empty one: an import would note its own otherwise."""
    rows = ({**prompt.to_row(), "source": dict(prompt.source)} for prompt in prompts)
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _csv(prompts: PromptSet) -> str:
    """Columns id, text and source (as JSON); split and group where a prompt has one."""
    more = [name for name in ("split", "group") if any(getattr(prompt, name) for prompt in prompts)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "text", "source", *more])
    for prompt in prompts:
        source = json.dumps(dict(prompt.source), ensure_ascii=False, allow_nan=False)
        writer.writerow([prompt.id, prompt.text, source, *(getattr(prompt, name) for name in more)])
    return out.getvalue()


def _txt(prompts: PromptSet) -> str:
    return "".join(prompt.template.plain.replace("\n", "\\n") + "\n" for prompt in prompts)


def _refuse_lost(prompts: PromptSet, content: bytes, suffix: str, format: str) -> None:
    """Read the export back and refuse it where a prompt is not what it was."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"export{suffix}"
        copy.write_bytes(content)
        try:
            found = list(import_prompts(copy, skip_bad=True)[0])
        except DataError:
            found = []
    first: dict[Template, str] = {}
    for at, prompt in enumerate(prompts):
        if prompt.template in first:
            raise InputError(
                f"prompts {first[prompt.template]} and {prompt.id} have the same text, of which an import keeps one; "
                "remove one or use --format jsonl"
            )
        first[prompt.template] = prompt.id
        same = at < len(found) and (found[at] == prompt if format == "csv" else found[at].template == prompt.template)
        if not same:
            raise InputError(
                f"prompt {prompt.id} would not come back from {format} as it is: the two characters \\n, a carriage "
                "return and the like are changed when it is read; use --format jsonl"
            )


def _save(files: Mapping[Path, bytes], path: Path) -> None:
    """Write the files of an export; ``path`` holds nothing else, before or after."""
    if path.is_dir() and path in files:
        raise OutputError(f"{path} is a folder; give a file as --output")
    for other in (p for p in path.rglob("*") if not p.is_dir()) if path.is_dir() else [path]:
        if other.exists() and (other not in files or other.read_bytes() != files[other]):
            where = f" ({other.name})" if other != path else ""
            raise OutputError(
                f"{path} is there already and holds something else{where}; give another --output or remove it"
            )
    for target, content in files.items():
        with atomic_path(target) as partial:
            partial.write_bytes(content)
