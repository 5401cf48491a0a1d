"""Numbers of sweeps as tables, for a terminal and as Markdown. Accuracies come as fractions and are shown in %."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paft.report.quick_lines import quick_lines
from paft.report.reading_lines import reading_lines
from paft.report.sheet import NONE, Column, Row, Sheet, emphasised, percent, row

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "NONE",
    "comparison_markdown",
    "comparison_table",
    "extremes_table",
    "number_cells",
    "number_columns",
    "one_line",
    "percent",
    "sweep_lines",
]

Numbers = Mapping[str, Any]
TemplateText = str | Sequence[Mapping[str, str]]


def comparison_table(methods: Mapping[str, Numbers], title: str | None = None) -> Table:
    """Methods by rows, as in Table 1 of arXiv 2502.12859, with the best number of each column in bold.

    Args:
        methods: name -> ``mean, std, std_corrected, min, q05, top {threshold, share}``, fractions; a number
            that is not defined is None.
    """
    from paft.report.render import terminal

    return terminal(_comparison(methods, title or ""), 1000)[0]


def comparison_markdown(methods: Mapping[str, Numbers]) -> str:
    """The same table in Markdown."""
    from paft.report.render import markdown

    return markdown(_comparison(methods, ""))


def number_columns(methods: Mapping[str, Numbers]) -> list[Column]:
    """The columns of numbers over prompts; the threshold of Top is in its head where all have the same."""
    thresholds = {numbers["top"]["threshold"] for numbers in methods.values()}
    top = f"top ≥ {100 * thresholds.pop():g}" if len(thresholds) == 1 else "top"
    return [
        Column("mean", better="more"),
        Column("std", better="less"),
        Column("std corrected", better="less"),
        Column("min", better="more"),
        Column("5% quantile", better="more"),
        Column(top, better="more"),
    ]


def number_cells(numbers: Numbers) -> list[str]:
    """The cells under ``number_columns``."""
    shown = [numbers[key] for key in ("mean", "std", "std_corrected", "min", "q05")]
    return [percent(value) for value in (*shown, numbers["top"]["share"])]


def _comparison(methods: Mapping[str, Numbers], title: str) -> Sheet:
    columns = [Column("method"), *number_columns(methods)]
    rows: list[Row] = [row([name, *number_cells(numbers)]) for name, numbers in methods.items()]
    return Sheet("comparison", title, columns, emphasised(columns, rows, second=False))


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
    if "quick" in summary:
        return quick_lines(summary)
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
    return lines + reading_lines(summary)


def one_line(text: TemplateText) -> str:
    """A template on one line, line breaks shown as ``⏎``; of chat messages, the contents in order."""
    whole = text if isinstance(text, str) else "\n".join(message["content"] for message in text)
    return " ⏎ ".join(line.strip() for line in whole.splitlines() if line.strip())
