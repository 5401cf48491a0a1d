"""``paft prompts export``: a prompt set for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paft.cli.options import option
from paft.cli.quiet import say
from paft.cli.verb import SimpleVerb
from paft.errors import InputError
from paft.prompts import export_prompts, find_prompts
from paft.tasks import load_task


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft prompts export``."""

    file: str = option("the prompt set, JSON lines", positional=True)
    format: Literal["jsonl", "csv", "txt", "promptsource", "lm-eval"] = option("what to write")
    output: str = option("the file to write; for lm-eval a folder")
    task: str | None = option(
        "name from the catalogue or a task YAML; needed by lm-eval, gives promptsource its answer choices", None
    )
    data: str | None = option("hub id, file or folder the rows are read from; for a task YAML, its files' folder", None)
    split: Literal["train", "validation", "test"] = option("lm-eval: which examples go along", "test")
    limit: int | None = option("lm-eval: a sample of that many examples, as paft sweep --limit takes it", None)


def run(options: Options) -> int:
    if options.data is not None and options.task is None:
        raise InputError("--data says where the rows of a --task are; give both or neither")
    prompts = find_prompts(options.file)
    task = load_task(options.task, options.data) if options.task is not None else None
    report = export_prompts(prompts, options.output, options.format, task, options.split, options.limit)
    say(f"{report.path}: {report.prompts} prompts")
    for note in report.notes:
        say(note)
    return 0


VERB = SimpleVerb(
    name="prompts export",
    summary="Write a prompt set for other tools: CSV, plain text, PromptSource, or the lm-evaluation-harness.",
    example="paft prompts export prompts.jsonl --format lm-eval --task piqa --data data/piqa --output harness",
    options=Options,
    action=run,
)
