"""``paft prompts generate``: prompts for a task from several LLMs, or from a grammar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from paft.cli.options import option
from paft.cli.quiet import console, say, say_err
from paft.cli.shared import TaskOptions
from paft.cli.verb import SimpleVerb
from paft.errors import InputError
from paft.prompts import PromptSet, find_prompts
from paft.prompts.generation import (
    Planned,
    Usage,
    UsageRow,
    Wanted,
    few_shot_seeds,
    generate_prompts,
    load_providers,
    plan_requests,
)
from paft.prompts.generation.asking import STRATEGIES, Strategy
from paft.tasks import Task, load_task


@dataclass(kw_only=True)
class Options(TaskOptions):
    """Flags of ``paft prompts generate``."""

    providers: str = option("a providers file (YAML), or 'grammar', which needs no LLM", metavar="FILE")
    output: str | None = option(
        "the prompt set to write; its journal and usage stand beside it", None, metavar="F.jsonl"
    )
    per_strategy: int | None = option("prompts wanted of each model under each strategy; 20 without --total", None)
    total: int | None = option("prompts wanted in all", None)
    strategies: str = option("zero-shot, few-shot, or both with a comma", ",".join(STRATEGIES))
    seed_prompts: str | None = option("examples for few-shot; by default the task's user prompt", None, metavar="FILE")
    avoid: str | None = option("prompts that new ones must differ from, such as a test set", None, metavar="FILE")
    language: str = option("language of the templates", "English")
    max_tokens: int | None = option("budget: tokens of prompts and replies together", None)
    max_cost: float | None = option("budget in dollars; every provider needs a price", None)
    concurrency: int = option("most requests open at once", 8)
    threshold: float = option("similarity from which a template counts as there already", 0.9)
    seed: int = option("picks the examples of few-shot; decides all of the grammar", 0)
    dry_run: bool = option("print the first requests and estimates, send nothing", False)


def run(options: Options) -> int:
    task = load_task(options.task, options.data)
    strategies = cast(list[Strategy], [each.strip() for each in options.strategies.split(",")])  # checked below
    seeds = find_prompts(options.seed_prompts, task.name) if options.seed_prompts else None
    if options.dry_run:
        return _dry_run(options, task, strategies, seeds)
    if options.output is None:
        raise InputError("paft prompts generate needs --output F.jsonl (or --dry-run)")
    made = generate_prompts(
        task,
        options.providers,
        per_strategy=options.per_strategy,
        total=options.total,
        strategies=strategies,
        seed_prompts=seeds,
        avoid=find_prompts(options.avoid, task.name, "test") if options.avoid else None,
        language=options.language,
        output=options.output,
        max_tokens=options.max_tokens,
        max_cost=options.max_cost,
        concurrency=options.concurrency,
        threshold=options.threshold,
        seed=options.seed,
        say=say_err,
    )
    for note in made.notes:
        say(f"note: {note}")
    print_usage(made.usage)
    say(f"{options.output}: {len(made.prompts)} prompts")
    return 0


def _dry_run(options: Options, task: Task, strategies: Sequence[Strategy], seeds: PromptSet | None) -> int:
    if options.providers == "grammar":
        raise InputError("--dry-run shows requests; --providers grammar sends none")
    wanted = Wanted(
        per_strategy=options.per_strategy,
        total=options.total,
        strategies=strategies,
        seed_prompts=few_shot_seeds(task, strategies, seeds),
        language=options.language,
        seed=options.seed,
    )
    plans = plan_requests(task, load_providers(options.providers), wanted)
    shown: set[str] = set()
    for plan in plans:
        if plan.strategy not in shown:
            shown.add(plan.strategy)
            _print_messages(plan)
    for plan in plans:
        cost = "price not given" if plan.cost is None else f"about ${plan.cost:.4f}"
        tokens = f"about {plan.prompt_tokens:,} prompt and {plan.completion_tokens:,} completion tokens"
        left_out = f"; would be left out: ${plan.provider.api_key_env} is not set" if plan.provider.lacks_key else ""
        say(f"{plan.provider.label}, {plan.strategy}: {tokens}, {cost}{left_out}")
    total = sum(plan.prompt_tokens + plan.completion_tokens for plan in plans)
    say(f"{len(plans)} requests, about {total:,} tokens; more where templates are refused. Nothing was sent.")
    return 0


def _print_messages(plan: Planned) -> None:
    say(f"=== {plan.strategy}, as sent to {plan.provider.label} ===")
    for message in plan.messages:
        say(f"--- {message['role']} ---")
        say(message["content"])
    say()


def print_usage(usage: Usage) -> None:
    """The table of what was asked, kept and paid, as Table 7 of the paper has it, and more."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("provider", overflow="fold")
    table.add_column("strategy", no_wrap=True)
    for name in ("requests", "asked", "received", "kept", "tokens in", "tokens out", "cost $", "seconds"):
        table.add_column(name, justify="right")
    total = usage.total
    for row in (*usage.rows, total):
        if row is total:
            table.add_section()
        table.add_row(*_cells(row))
    console().print(table)
    for row in usage.rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in row.refused.most_common())
        said = [f"not kept: {reasons}"] if reasons else []
        said += [f"ended: {row.ended}"] if row.ended else []
        if said:
            say(f"{' '.join(f'{row.provider} {row.model} {row.strategy}'.split())}: {'; '.join(said)}")
    if total.estimated:
        say("~ marks token counts that hold estimates: the endpoint did not say")


def _cells(row: UsageRow) -> list[str]:
    about = "~" if row.estimated else ""
    name = row.provider if row.model in (row.provider, "") else f"{row.provider}\n{row.model}"
    cost = "-" if row.cost is None else f"{row.cost:.4f}"
    counts = [f"{n:,}" for n in (row.requests, row.asked, row.received, row.kept)]
    tokens = [f"{about}{n:,}" for n in (row.prompt_tokens, row.completion_tokens)]
    return [name, row.strategy, *counts, *tokens, cost, f"{row.seconds:.1f}"]


VERB = SimpleVerb(
    name="prompts generate",
    summary="Prompts for a task, written by several LLMs (or by a grammar, offline), checked and without near-copies.",
    example="paft prompts generate --task task.yaml --providers providers.yaml --output prompts.jsonl",
    options=Options,
    action=run,
)
