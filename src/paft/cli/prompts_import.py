"""``paft prompts import``: a prompt set from files of other kinds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paft.cli.options import option
from paft.cli.outputs import save_prompt_sets
from paft.cli.quiet import say
from paft.cli.verb import SimpleVerb
from paft.prompts import import_prompts


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft prompts import``."""

    file: str = option(
        ".txt, .csv, .xlsx, .yaml or .jsonl; templates in column 'text' or the only one", positional=True
    )
    output: str = option("the prompt set to write, JSON lines", metavar="F.jsonl")
    skip_bad: bool = option("leave out rows that cannot be read, and say so, rather than refuse the file", False)


def run(options: Options) -> int:
    prompts, report = import_prompts(options.file, skip_bad=options.skip_bad)
    save_prompt_sets({Path(options.output): prompts})
    for line in report.lines():
        say(line)
    say(f"wrote {options.output}")
    return 0


VERB = SimpleVerb(
    name="prompts import",
    summary="Turn a file of templates into a prompt set, mend what is safe to mend, and say what was done.",
    example="paft prompts import templates.xlsx --output prompts.jsonl",
    options=Options,
    action=run,
)
