"""``paft init``: a task YAML and first prompts from a table of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from paft.cli.options import option
from paft.cli.quiet import say
from paft.cli.verb import SimpleVerb
from paft.tasks.init import init_task


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft init``."""

    file: str = option("the data: csv, tsv, jsonl or parquet", positional=True)
    output: str = option("folder that task.yaml and prompts.jsonl are written to", ".", metavar="DIR")
    answer: str | None = option("the column that holds the answer, where the guess would be wrong", None)


def run(options: Options) -> int:
    report = init_task(options.file, options.output, options.answer)
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
