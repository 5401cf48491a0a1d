"""``paft prompts show``: the prompts of a set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paft.cli.options import option
from paft.cli.quiet import console, say
from paft.cli.verb import SimpleVerb
from paft.errors import InputError
from paft.prompts import Prompt, find_prompts, show_rows

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft prompts show``."""

    file: str = option("the prompt set, JSON lines", positional=True)
    prompt_id: str | None = option("show the whole text of this prompt", None, metavar="ID")
    full: bool = option("show the whole text of every prompt rather than a table of first lines", False)
    limit: int | None = option("show at most this many", None)


def run(options: Options) -> int:
    prompts = find_prompts(options.file)
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit must be at least 1, found {options.limit}")
    if options.prompt_id is not None:
        _print_full([prompts[options.prompt_id]])
        return 0
    shown = list(prompts)[: options.limit]
    if options.full:
        _print_full(shown)
    else:
        _print_table(shown)
    rest = len(prompts) - len(shown)
    say(f"{len(prompts)} prompts in {options.file}" + (f", {rest} not shown" if rest else ""))
    return 0


def _print_table(prompts: Sequence[Prompt]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("id", overflow="fold", max_width=24)
    table.add_column("words", justify="right")
    table.add_column("source", no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column("first line", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in show_rows(prompts):
        table.add_row(row.id, str(row.words), row.source, _marked(row.first_line))
    console().print(table)


def _print_full(prompts: Sequence[Prompt]) -> None:
    from rich.text import Text

    out = console()
    for prompt, row in zip(prompts, show_rows(prompts), strict=True):
        sides = [f"{name} {value}" for name, value in (("split", prompt.split), ("group", prompt.group)) if value]
        about = ", ".join([row.source, *sides] if row.source else sides)
        out.print(Text.assemble((f"# {prompt.id}", "bold"), (f"  {about}" if about else "", "dim")), soft_wrap=True)
        for message in prompt.template.messages:
            lead = f"[{message.role}] " if prompt.template.is_chat else ""
            out.print(_marked(lead + message.content), soft_wrap=True)
        out.print()


def _marked(template: str) -> Text:
    """A template with its slots in colour."""
    from rich.text import Text

    text = Text(template)
    for match in re.finditer(r"\{\{|\}\}|\{\s*\w+\s*\}", template):
        if match.group() not in ("{{", "}}"):
            text.stylize("cyan", match.start(), match.end())
    return text


VERB = SimpleVerb(
    name="prompts show",
    summary="Print the prompts of a set with their ids and where they came from.",
    example="paft prompts show prompts.jsonl\npaft prompts show prompts.jsonl --prompt-id 82f9d230f2c2",
    options=Options,
    action=run,
)
