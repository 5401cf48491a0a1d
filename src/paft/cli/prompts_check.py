"""``paft prompts check``: what is wrong with a prompt set for a task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from paft.cli.options import option
from paft.cli.quiet import console, say
from paft.cli.shared import TaskOptions
from paft.cli.verb import SimpleVerb
from paft.errors import InputError
from paft.prompts import find_prompts
from paft.prompts.bundled import is_bundled
from paft.prompts.check import CheckReport, check, check_against, check_file
from paft.tasks import load_task

STYLES = {"error": "bold red", "warning": "yellow"}


@dataclass(kw_only=True)
class Options(TaskOptions):
    """Flags of ``paft prompts check``."""

    file: str = option("the prompt set, JSON lines", positional=True)
    against: str | None = option("another set: also name what stands in both, or nearly so", None, metavar="FILE")
    threshold: float = option("similarity from which two prompts are near-duplicates", 0.9)
    format: Literal["table", "json"] = option("a table for people or a JSON list for programs", "table")


def run(options: Options) -> int:
    task = load_task(options.task, options.data)
    if is_bundled(options.file):
        report = check(find_prompts(options.file, task.name), task, options.threshold)
    else:
        report = check_file(options.file, task, options.threshold)
    if options.against is not None and not report.errors:
        prompts, others = (find_prompts(each, task.name) for each in (options.file, options.against))
        shared = check_against(prompts, others, options.threshold)
        report = CheckReport(report.size, sorted(report.problems + shared, key=lambda problem: problem.position))
    if options.format == "json":
        say(json.dumps(report.rows(), indent=2, ensure_ascii=False))
    else:
        _print(report)
    if report.errors:
        bad = len({p.position for p in report.errors})
        raise InputError(f"{bad} of the {report.size} prompts in {options.file} cannot be used; mend or remove them")
    return 0


def _print(report: CheckReport) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if report.problems:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("prompt", justify="right")
        table.add_column("id", no_wrap=True)
        table.add_column("problem", no_wrap=True)
        table.add_column("what was found", overflow="fold")
        for p in report.problems:
            code = Text(p.code, style=STYLES[p.severity])
            other = f" ({p.other_id})" if p.other_id else ""
            table.add_row(str(p.position), Text(p.prompt_id), code, Text(p.message + other))
        console().print(table)
    say(f"{report.size} prompts: {_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}")


def _count(items: list, word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


VERB = SimpleVerb(
    name="prompts check",
    summary="Say what is wrong, or looks wrong, with each prompt of a set. Exits with 2 where an error stands.",
    example="paft prompts check test.jsonl --task task.yaml --against train.jsonl",
    options=Options,
    action=run,
)
