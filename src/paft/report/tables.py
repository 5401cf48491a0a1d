"""Numbers of sweeps as tables, for a terminal and as Markdown. Accuracies come as fractions and are shown in %."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table

Numbers = Mapping[str, Any]
TemplateText = str | Sequence[Mapping[str, str]]
NONE = "–"


class _Column(NamedTuple):
    """A column of the comparison: its head, its number, and whether more is better (None: neither)."""

    head: str
    value: Callable[[Numbers], float | None]
    higher: bool | None


def comparison_table(methods: Mapping[str, Numbers], title: str | None = None) -> Table:
    """Methods by rows, as in Table 1 of arXiv 2502.12859, with the best number of each column in bold.

    Args:
        methods: name -> ``mean, std, std_corrected, min, q05, top {threshold, share}``, fractions; a number
            that is not defined is None.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    table.add_column("method", no_wrap=True)
    columns = _columns(methods)
    for column in columns:
        table.add_column(column.head, justify="right", no_wrap=True)
    best = [_best(column, methods) for column in columns]
    for name, numbers in methods.items():
        cells = [
            Text(percent(column.value(numbers)), style="bold" if name in winners else "")
            for column, winners in zip(columns, best, strict=True)
        ]
        table.add_row(Text(name), *cells)
    return table


def comparison_markdown(methods: Mapping[str, Numbers]) -> str:
    """The same table in Markdown."""
    columns = _columns(methods)
    best = [_best(column, methods) for column in columns]
    lines = [
        "| method | " + " | ".join(column.head for column in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for name, numbers in methods.items():
        cells = []
        for column, winners in zip(columns, best, strict=True):
            text = percent(column.value(numbers))
            cells.append(f"**{text}**" if name in winners else text)
        lines.append(f"| {_escaped(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def extremes_table(per_prompt: Mapping[str, float], texts: Mapping[str, TemplateText], count: int = 5) -> Table:
    """The best and the worst prompts of a sweep; all of them where there are no more than twice ``count``.

    Args:
        per_prompt: prompt id -> accuracy, a fraction.
        texts: prompt id -> its text, shown on one line; an id that is missing is shown without one.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    ranked = sorted(per_prompt.items(), key=lambda item: (-item[1], item[0]))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("", justify="right")
    table.add_column("accuracy", justify="right")
    table.add_column("prompt", overflow="fold", max_width=24)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    whole = len(ranked) <= 2 * count
    for rank, (prompt_id, accuracy) in enumerate(ranked, start=1):
        if not whole and count < rank <= len(ranked) - count:
            if rank == count + 1:
                table.add_row("…", "", "", "")
            continue
        table.add_row(str(rank), percent(accuracy), Text(prompt_id), Text(one_line(texts.get(prompt_id, ""))))
    return table


def sweep_lines(summary: Numbers) -> list[str]:
    """The numbers of one sweep in a few lines of plain text; ``summary`` is what ``summary.json`` holds."""
    top = summary["top"]
    spread = "" if summary["std"] is None else f" ± {percent(summary['std'])}"
    corrected = summary.get("std_corrected")
    lines = [
        f"accuracy {percent(summary['mean'])}{spread} % over {summary['prompts']} prompts x "
        f"{summary['examples']} examples ({summary['split']} of {summary['task']}, {summary['scoring']})",
        f"worst prompt {percent(summary['min'])} %, 5% quantile {percent(summary['q05'])} %, "
        f"best prompt {percent(summary['max'])} %",
        f"{percent(top['share'])} % of the prompts reach {100 * top['threshold']:g} %; "
        f"{percent(summary['flip_rate'])} % of the examples are not answered alike under all prompts",
    ]
    if corrected is not None:
        lines.append(f"std without the noise of finitely many examples {percent(corrected)} %")
    if summary.get("dropped"):
        lines.append(f"{summary['dropped']} examples were too long and left out for every prompt")
    return lines


def percent(fraction: float | None) -> str:
    """A fraction in per cent with one decimal; a dash for None."""
    return NONE if fraction is None else f"{100 * fraction:.1f}"


def one_line(text: TemplateText) -> str:
    """A template on one line, line breaks shown as ``⏎``; of chat messages, the contents in order."""
    whole = text if isinstance(text, str) else "\n".join(message["content"] for message in text)
    return " ⏎ ".join(line.strip() for line in whole.splitlines() if line.strip())


def _columns(methods: Mapping[str, Numbers]) -> list[_Column]:
    thresholds = {numbers["top"]["threshold"] for numbers in methods.values()}
    top = f"top ≥ {100 * thresholds.pop():g}" if len(thresholds) == 1 else "top"
    return [
        _Column("mean", lambda n: n["mean"], True),
        _Column("std", lambda n: n["std"], False),
        _Column("std corrected", lambda n: n["std_corrected"], False),
        _Column("min", lambda n: n["min"], True),
        _Column("5% quantile", lambda n: n["q05"], True),
        _Column(top, lambda n: n["top"]["share"], True),
    ]


def _best(column: _Column, methods: Mapping[str, Numbers]) -> set[str]:
    """The methods with the best number as it is shown; none where all are alike."""
    shown = {name: percent(column.value(numbers)) for name, numbers in methods.items()}
    known = {name: float(text) for name, text in shown.items() if text != NONE}
    if len(set(known.values())) < 2:
        return set()
    best = max(known.values()) if column.higher else min(known.values())
    return {name for name, value in known.items() if value == best}


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
