"""``paft predict``: answers of a model for new rows, under any prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from paft.cli.options import option
from paft.cli.quiet import hush_weights, say, say_err
from paft.cli.shared import AdapterOptions, HardwareOptions, ModelOptions, ScoringOptions, TaskOptions, answering
from paft.cli.verb import SimpleVerb
from paft.errors import InputError, OutputError
from paft.files import check_place, write_jsonl
from paft.prompts import PromptSet, find_prompts
from paft.tasks import Task, load_task


@dataclass(kw_only=True)
class Options(ModelOptions, AdapterOptions, TaskOptions, ScoringOptions, HardwareOptions):
    """Flags of ``paft predict``."""

    file: str = option("the rows, with the task's columns; an answer is not needed and not read", positional=True)
    prompt: str | None = option("the text of the prompt; by default the task's user_prompt", None, metavar="TEXT")
    prompts: str | None = option("a prompt set: every row is answered under each of its prompts", None, metavar="FILE")
    prompt_id: str | None = option("answer under this prompt of --prompts alone", None, metavar="ID")
    output: str | None = option("JSON lines to write; standard output where not given", None, metavar="F.jsonl")


def run(options: Options) -> int:
    if options.output is not None and Path(options.output).exists():
        raise OutputError(f"{options.output} is there already; give another --output or remove it")
    if options.output is not None:
        check_place(Path(options.output).parent)
    task = load_task(options.task, options.data)
    prompts = choose_prompts(options, task)

    from paft.evaluation import predict

    hush_weights()
    found = predict(
        options.model,
        task,
        prompts,
        options.file,
        adapter=options.adapter,
        **answering(options),
    )
    rows = [prediction.to_row() for prediction in found]
    if lost := sum(not prediction.answer for prediction in found):
        say_err(f"{lost} of {len(found)} answers could not be read: their `answer` is empty, see `text`")
    if options.output is None:
        for row in rows:
            say(json.dumps(row, ensure_ascii=False))
        return 0
    write_jsonl(options.output, rows)
    say(f"{options.output}: {len(rows)} answers ({len(rows) // len(prompts)} rows, {len(prompts)} prompts)")
    return 0


def choose_prompts(options: Options, task: Task) -> PromptSet:
    """The prompts that the flags name, or the task's own."""
    if options.prompt is not None and (options.prompts is not None or options.prompt_id is not None):
        raise InputError("--prompt gives the text itself; leave out --prompts and --prompt-id, or --prompt")
    if options.prompt_id is not None and options.prompts is None:
        raise InputError("--prompt-id needs --prompts, the set that holds it")
    if options.prompts is not None:
        prompts = find_prompts(options.prompts, task.name)
        return prompts if options.prompt_id is None else PromptSet([prompts[options.prompt_id]])
    text = options.prompt if options.prompt is not None else task.user_prompt
    if not text:
        raise InputError(f"task {task.name!r} has no user_prompt; give --prompt TEXT or --prompts FILE")
    return PromptSet.from_texts([text], {"kind": "human"})


VERB = SimpleVerb(
    name="predict",
    summary="Answer new rows with a model, under any prompt; one JSON object a line.",
    example="paft predict rows.csv --model runs/trec --task task.yaml --output answers.jsonl",
    options=Options,
    action=run,
)
