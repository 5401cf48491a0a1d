"""``paft report``: tables, pictures and a page from the records of a comparison."""

from __future__ import annotations

from dataclasses import dataclass

from paft.cli.options import option
from paft.cli.quiet import console, say
from paft.cli.verb import SimpleVerb


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft report``."""

    folders: list[str] = option("output folders of paft compare", positional=True, metavar="FOLDER")
    output: str | None = option("folder of the report; by default FOLDER/report", None, metavar="DIR")
    formats: str = option(
        "what to write, with commas: md, tex and csv are tables, png, svg and pdf pictures, html the page",
        "md,tex,csv,png,svg,html",
    )
    task: str | None = option("report on this task alone, or on several with commas; by default on all", None)


def run(options: Options) -> int:
    from paft.report import report
    from paft.report.render import terminal

    tasks = None if options.task is None else _words(options.task)
    made = report(options.folders, options.output, _words(options.formats), tasks)
    out = console()
    shown = [sheet for sheet in made.sheets if sheet.name in ("table-1", "table-1-differences", "failures")]
    for sheet in shown:
        for part in terminal(sheet, out.width):
            out.print(part)
    for v in made.verdicts:
        head = f"{v.task}: " if len(made.verdicts) > 1 else ""
        say(head + " ".join([v.sentence, *v.further]))
    if made.files:
        say(f"{made.output}: {len(made.sheets)} tables, {len(made.files)} files; read {made.files[-1]} first")
    return 0


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


VERB = SimpleVerb(
    name="report",
    summary="Tables like the paper's, pictures and a page from the records of paft compare; needs no model.",
    example=(
        "paft report runs/trec\n"
        "paft report runs/trec runs/sst2 --output report --formats md,tex,pdf      # several comparisons in one"
    ),
    options=Options,
    action=run,
)
