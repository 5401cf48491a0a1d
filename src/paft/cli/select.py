"""``paft select``: one prompt picked from a set, and a record of how."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from paft.cli.options import option
from paft.cli.quiet import console, hush_weights, say, say_err
from paft.cli.shared import HardwareOptions, ModelOptions, ScoringOptions, TaskOptions, answering
from paft.cli.verb import SimpleVerb
from paft.errors import InputError
from paft.prompts import PromptSet, find_prompts
from paft.tasks import load_task

if TYPE_CHECKING:
    from rich.table import Table

    from paft.experiments.select import Selected


@dataclass(kw_only=True)
class Options(ModelOptions, TaskOptions, ScoringOptions, HardwareOptions):
    """Flags of ``paft select``."""

    prompts: str = option("the training prompts: JSON lines, or 'bundled'", metavar="FILE")
    method: Literal["top-accuracy", "zopo", "batprompt"] = option(
        "top-accuracy scores all prompts and takes the best, zopo searches among their embeddings, batprompt looks for "
        "one that bears altered inputs",
        "top-accuracy",
    )
    output: str = option(
        "folder for selection.json and the answers; one with the same work is continued", metavar="DIR"
    )
    examples: int | None = option(
        "examples that a prompt is scored on; by default 100, for zopo 20, for batprompt 20 of each attack", None
    )
    split: Literal["train", "validation", "test"] = option("which rows the examples are from", "train")
    limit: int | None = option("a uniform sample of so many examples to draw from; 20000 where not given", None)
    halving: bool = option("top-accuracy: few examples first, then the better half of the prompts on more", False)
    embeddings: str | None = option(
        "zopo: a sentence-transformers model; by default the base model's own hidden states", None, metavar="MODEL"
    )
    providers: str | None = option(
        "batprompt: a providers file, whose first LLM writes; without one, candidates come from --prompts",
        None,
        metavar="FILE",
    )
    on_long: Literal["error", "drop"] = option("what to do with an example that is too long under some prompt", "error")
    show: int = option("how many of the best prompts to list", 5)
    seed: int = option("decides which examples are drawn, and every other draw", 0)


def run(options: Options) -> int:
    if options.show < 1:
        raise InputError(f"--show must be at least 1, found {options.show}")
    task = load_task(options.task, options.data)
    prompts = find_prompts(options.prompts, task.name, "train")

    from paft.experiments.select import SELECTION, select_prompt

    hush_weights()
    made = select_prompt(
        options.model,
        task,
        prompts,
        options.method,
        options.output,
        examples=options.examples,
        split=options.split,
        limit=options.limit,
        seed=options.seed,
        embeddings=options.embeddings,
        halving=options.halving,
        providers=options.providers,
        on_long=options.on_long,
        **answering(options),
        say=say_err,
    )
    console().print(ranking_table(made, prompts, options.show))
    path = Path(options.output) / SELECTION
    say(f"picked {made.prompt.id}, accuracy {100 * made.score:.1f} %{_over(made)}")
    say(f"{path}: {made.queries:,} queries, {made.calls:,} answers of the model, {made.seconds:.1f} s")
    say("train on it:")
    say(f"  {train_command(options, path)}")
    return 0


def ranking_table(made: Selected, prompts: PromptSet, count: int) -> Table:
    """The pick and the runners-up, with what each was last scored on."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from paft.report.tables import one_line, percent

    texts = {p.id: p.text for p in prompts} | {made.prompt.id: made.prompt.text}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("", justify="right")
    table.add_column("accuracy", justify="right")
    table.add_column("examples", justify="right")
    table.add_column("prompt", overflow="fold", max_width=24)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    ranked = sorted(made.scores, key=lambda each: each.prompt_id != made.prompt.id)  # the pick first
    for rank, each in enumerate(ranked[:count], start=1):
        text = Text(one_line(texts.get(each.prompt_id, "")))
        table.add_row(str(rank), percent(each.score), str(each.examples), Text(each.prompt_id), text)
    if len(ranked) > count:
        table.add_row("…", "", "", Text(f"{len(ranked) - count} more"), "")
    return table


def train_command(options: Options, selection: Path) -> str:
    """The call that trains on the pick."""
    words = ["paft", "train", "--method", "user", "--selection", str(selection)]
    words += ["--model", options.model, "--task", options.task]
    words += ["--data", options.data] if options.data is not None else []
    words += ["--output", f"{options.output}-run"]
    words += ["--max-length", str(options.max_length)] if options.max_length is not None else []
    for name in ("dtype", "device", "chat"):
        value = getattr(options, name)
        words += [f"--{name}", value] if value != "auto" else []
    words += ["--date", options.date] if options.date is not None else []
    words += ["--trust-remote-code"] if options.trust_remote_code else []
    return shlex.join(words)


def _over(made: Selected) -> str:
    """On how many examples the pick was scored."""
    return next((f" over {each.examples} examples" for each in made.scores if each.prompt_id == made.prompt.id), "")


VERB = SimpleVerb(
    name="select",
    summary="Pick one prompt from a set by what a model makes of it on training examples, and record how.",
    example=(
        "paft select --model MODEL --task task.yaml --data data --prompts prompts/train.jsonl --output picks/top\n"
        "paft select ... --method top-accuracy --halving      # fewer answers, the pick may differ"
    ),
    options=Options,
    action=run,
)
