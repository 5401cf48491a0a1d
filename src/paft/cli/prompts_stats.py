"""``paft prompts stats``: how varied a prompt set is, and how alike its two sides are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paft.cli.options import option
from paft.cli.quiet import console, say
from paft.cli.verb import SimpleVerb
from paft.errors import InputError
from paft.prompts import Diversity, PromptSet, Sides, Spread, compare_sides, diversity, find_prompts
from paft.prompts.diversity import count_tokens
from paft.prompts.sides import sides_of
from paft.tasks import load_task

LAYOUTS, NEAREST, VALUES = 8, 5, 10  # most rows, or values of a source field, that a table shows
NONE = "–"


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft prompts stats``."""

    file: str = option("the prompt set, JSON lines", positional=True)
    test: str | None = option(
        "the test side; by default the prompts of FILE whose split is test, against those whose split is train",
        None,
        metavar="FILE2",
    )
    against: str | None = option(
        "another set to put beside it, both over equal numbers of tokens", None, metavar="OTHER"
    )
    task: str | None = option("catalogue name or task YAML; tells the layouts label words and slot aliases", None)
    tokens: int | None = option("take similarity and distinct n-grams over this many tokens", None)
    plot: str | None = option("draw a map of the prompts: .png, .svg or .pdf", None, metavar="PICTURE")
    format: Literal["table", "json"] = option("tables for people or a JSON object for programs", "table")
    seed: int = option("decides the draws of --tokens and the permutations of the test", 0)


def run(options: Options) -> int:
    sets = {"set": find_prompts(options.file)}
    if options.against is not None:
        sets["against"] = find_prompts(options.against)
    pair = (sets["set"], find_prompts(options.test)) if options.test is not None else sides_of(sets["set"])
    task = load_task(options.task) if options.task is not None else None
    budget = _budget(options.tokens, {name: count_tokens(prompts) for name, prompts in sets.items()})
    measured = {name: diversity(prompts, task, tokens=budget, seed=options.seed) for name, prompts in sets.items()}
    sides = compare_sides(*pair, seed=options.seed) if pair is not None else None
    if options.plot is not None:
        _plot(sets["set"], pair, options.plot)
    if options.format == "json":
        rows = {name: figures.row() for name, figures in measured.items()}
        say(json.dumps({**rows, "sides": sides.row() if sides else None}, indent=2, ensure_ascii=False))
        return 0
    _print_figures({_name(options, name): figures for name, figures in measured.items()})
    _print_layouts(measured["set"])
    if sides is not None:
        _print_sides(sides)
    if options.plot is not None:
        say(f"wrote {options.plot}")
    return 0


def _budget(asked: int | None, held: Mapping[str, int]) -> int | None:
    """The tokens to take: what is asked for, else those of the smaller of two sets, else all."""
    least = min(held.values())
    if asked is not None and not 1 <= asked <= least:
        raise InputError(f"--tokens must be from 1 to {least}, what the smallest set holds; found {asked}")
    return least if asked is None and len(held) > 1 else asked


def _plot(prompts: PromptSet, pair: tuple[PromptSet, PromptSet] | None, path: str) -> None:
    from dataclasses import replace

    from paft.report.prompt_map import plot_prompt_map

    if pair is None:
        plot_prompt_map(list(prompts), path)
        return
    sides = zip(("train", "test"), pair, strict=True)
    plot_prompt_map([replace(prompt, split=side) for side, part in sides for prompt in part], path)


def _name(options: Options, name: str) -> str:
    """The column's head: the file's name, with its folder where both files have the same."""
    files = {"set": Path(options.file), "against": Path(options.against or "")}
    same = files["set"].name == files["against"].name
    return "/".join(files[name].absolute().parts[-2:]) if same else files[name].name


def _print_figures(measured: Mapping[str, Diversity]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in measured:
        table.add_column(name, overflow="fold")
    for head, value in _figures(list(measured.values())):
        table.add_row(head, *map(value, measured.values()))
    console().print(table)
    if any(figures.budget is not None for figures in measured.values()):
        say("over ... tokens: the mean of 20 random draws of templates, each of that many tokens\n")


def _figures(measured: list[Diversity]) -> list[tuple[str, Callable[[Diversity], str]]]:
    """The rows of the table: what stands in front, and the cell of a set."""
    budget = measured[0].budget
    over = "" if budget is None else f" over {budget:,} tokens"
    rows: list[tuple[str, Callable[[Diversity], str]]] = [
        ("prompts", lambda d: f"{d.size:,}" + (f", {d.chat:,} of them chats" if d.chat else "")),
        ("slots", lambda d: ", ".join(_slot(name, count, d.size) for name, count in d.slots.items()) or "none"),
        ("words: least, 5%, median, 95%, most", lambda d: _spread(d.words)),
        ("characters, likewise", lambda d: _spread(d.characters)),
        ("distinct layouts", lambda d: f"{len(d.layouts):,}"),
        ("tokens", lambda d: f"{d.tokens:,}"),
        (f"mean pairwise similarity{over}", lambda d: _number(d.similarity_mean)),
        (f"95% quantile of it{over}", lambda d: _number(d.similarity_q95)),
        (f"distinct-1 / 2 / 3{over}", lambda d: " / ".join(map(_number, d.distinct))),
    ]
    fields = dict.fromkeys(name for figures in measured for name in figures.sources)
    return rows + [(name, lambda d, name=name: _shares(d, name)) for name in fields]


def _slot(name: str, count: int, size: int) -> str:
    return f"{{{name}}}" if count == size else f"{{{name}}} in {count:,}"


def _spread(spread: Spread) -> str:
    return " / ".join(f"{value:,.0f}" for value in spread)


def _shares(figures: Diversity, field: str) -> str:
    counts = figures.sources.get(field)
    if counts is None:
        return NONE
    shown = list(counts.items())[:VALUES]
    rest = figures.size - sum(count for _, count in shown)
    parts = [f"{name} {100 * count / figures.size:.0f}%" for name, count in shown]
    return ", ".join(parts + ([f"{len(counts) - VALUES} others {100 * rest / figures.size:.0f}%"] if rest else []))


def _print_layouts(figures: Diversity) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("prompts", justify="right")
    table.add_column("most common layouts: slots in order; options; instruction", overflow="fold")
    for layout, count in figures.layouts[:LAYOUTS]:
        table.add_row(f"{count:,}", Text(str(layout)))
    rest = figures.layouts[LAYOUTS:]
    if rest:
        table.add_row(f"{sum(count for _, count in rest):,}", f"in {len(rest):,} other layouts")
    console().print(table)


def _print_sides(sides: Sides) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("test prompt", overflow="fold")
    table.add_column("nearest training prompt", overflow="fold")
    table.add_column("similarity", justify="right")
    ranked = sorted(sides.nearest, key=lambda each: -each.similarity)
    for each in ranked[:NEAREST]:
        table.add_row(Text(each.test_id), Text(each.train_id), _number(each.similarity))
    console().print(table)
    say(f"{sides.train:,} training and {sides.test:,} test prompts")
    say(
        f"nearest training prompt of a test prompt: mean similarity {_number(sides.mean)}, "
        f"at most {_number(sides.closest.similarity)}"
    )
    found = sides.discrepancy
    if found is None:
        say("maximum mean discrepancy: needs two prompts on each side")
    else:
        say(
            f"maximum mean discrepancy: MMD² {found.mmd2:.5f}, p = {found.p_value:.3f} "
            f"({found.permutations:,} permutations)"
        )


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


VERB = SimpleVerb(
    name="prompts stats",
    summary="Measure how varied a prompt set is: lengths, layouts, similarity, distinct n-grams, sources, two sides.",
    example="paft prompts stats prompts.jsonl --task task.yaml\n"
    "paft prompts stats train.jsonl --test test.jsonl --plot prompts.png",
    options=Options,
    action=run,
)
