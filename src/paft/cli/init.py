"""``paft init``: a task YAML and first prompts from a table of one's own."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Literal

from paft.cli.options import option
from paft.cli.quiet import say
from paft.cli.verb import SimpleVerb
from paft.tasks.dialect import Told
from paft.tasks.guess import Hints
from paft.tasks.init import init_task


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft init``."""

    file: str = option("the data: csv, tsv, jsonl or parquet", positional=True)
    output: str = option("folder that task.yaml and prompts.jsonl are written to", ".", metavar="DIR")
    answer: str | None = option("the column that holds the answer, where the guess would be wrong", None)
    slots: str | None = option("the columns that prompts show; the others are left out", None, metavar="A,B")
    type: Literal["choice", "label", "free"] | None = option("what the answer is", None)
    answer_is: Literal["text", "letter", "column", "index0", "index1"] | None = option(
        "how a choice's answer names an option: by its text, its letter, its column, or its place from 0 or 1", None
    )
    alike: Literal["one", "apart"] | None = option(
        "whether labels such as 0 and 0.0, or Yes and yes, are one label or stand apart", None
    )
    encoding: str | None = option("of the file, such as cp1251; told from it where absent", None)
    delimiter: str | None = option("what parts the fields of a csv or tsv file: one character, or tab", None)
    quote: str | None = option("what stands around fields: one character, or none", None)
    header: Literal["yes", "no"] | None = option("whether the first line names the columns", None)


def run(options: Options) -> int:
    slots = next(csv.reader([options.slots]), []) if options.slots else None  # a name with a comma stands in quotes
    hints = Hints(options.answer, slots, options.type, options.answer_is, options.alike)
    delimiter = {"tab": "\t", "\\t": "\t"}.get(options.delimiter or "", options.delimiter)
    told = Told(options.encoding, delimiter, options.quote, options.header)
    report = init_task(options.file, options.output, hints=hints, told=told)
    say("What was guessed (mend task.yaml where it is wrong):")
    for guess in report.guesses:
        say(f"  {guess}")
    rows = ", ".join(f"{count} {split}" for split, count in report.rows.items())
    say(f"{report.task_file}: a {report.type} task with {rows} examples")
    say(f"{report.prompts_file}: {report.prompts} prompts to start from; add more wordings of your own")
    say()
    say("Next:")
    folder = report.prompts_file.parent
    made, given = folder / "all.jsonl", f"--task {report.task_file}"
    say(f"  paft prompts generate {given} --providers grammar --total 150 --output {made}  # or several LLMs")
    say(f"  paft prompts check {made} {given}")
    say(f"  paft prompts split {made} --test 30 --output {folder / 'prompts'}")
    return 0


VERB = SimpleVerb(
    name="init",
    summary="Write a first task YAML and a first prompt set for a table of your own, and say what was guessed.",
    example="paft init reviews.csv --output reviews",
    options=Options,
    action=run,
)
