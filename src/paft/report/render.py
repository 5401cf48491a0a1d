"""A table written for a terminal, as Markdown, as LaTeX and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from paft.report.sheet import Cell, Column, Row, Sheet

if TYPE_CHECKING:
    from rich.table import Table

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "×": r"$\times$", "≥": r"$\geq$", "−": r"$-$",
    "–": "--", "…": r"\dots{}", "⏎": r"$\hookleftarrow$",
}  # fmt: skip
LATEX_NEEDS = r"% needs \usepackage{booktabs,graphicx}"
LATEX_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
LONG = 30  # characters of a cell from which its column breaks lines in LaTeX
GAP = 3  # columns of a terminal between two columns of a table
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def terminal(sheet: Sheet, width: int = 100) -> list[Table]:
    """The table for ``rich``; groups of columns that do not fit into ``width`` follow in tables of their own."""
    return [_terminal_part(part, i == 0) for i, part in enumerate(split_to_fit(sheet, width))]


def split_to_fit(sheet: Sheet, width: int) -> list[Sheet]:
    """The sheet as it is, or as several with the first column in each, parted between groups of columns."""
    firsts = _first_of_group(sheet.columns)
    widths = [
        max(len(c.head), len(c.group) * firsts[i], *(len(r.cells[i].text) for r in sheet.rows)) + GAP
        for i, c in enumerate(sheet.columns)
    ]
    blocks: list[list[int]] = [[]]
    used = widths[0]
    for _, members in groupby(range(1, len(sheet.columns)), key=lambda i: sheet.columns[i].group or "-"):
        places = list(members)
        need = sum(widths[i] for i in places)
        if sheet.grouped and blocks[-1] and used + need > width:
            blocks.append([])
            used = widths[0]
        blocks[-1] += places
        used += need
    parts = []
    for block in blocks:
        keep = [0, *block]
        rows = [Row([r.cells[i] for i in keep], r.kind) for r in sheet.rows]
        parts.append(Sheet(sheet.name, sheet.title, [sheet.columns[i] for i in keep], rows, sheet.notes))
    return parts


def _terminal_part(sheet: Sheet, titled: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = sheet.title if titled and sheet.title else None
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    for place, (column, first) in enumerate(zip(sheet.columns, _first_of_group(sheet.columns), strict=True)):
        head = f"{column.group if first else ''}\n{column.head}" if sheet.grouped else column.head
        left = place == 0 or column.left
        table.add_column(Text(head), justify="left" if left else "right", no_wrap=True, overflow="ellipsis")
    for i, each in enumerate(sheet.rows):
        if i and each.kind != sheet.rows[i - 1].kind:
            table.add_section()
        table.add_row(*(Text(c.text, style=_style(c, each)) for c in each.cells))
    return table


def markdown(sheet: Sheet) -> str:
    """The body of the table in Markdown; title and notes are left to the page."""
    heads = [f"{c.group}: {c.head}" if c.group else c.head for c in sheet.columns]
    ends = ["---" if place == 0 or c.left else "---:" for place, c in enumerate(sheet.columns)]
    lines = ["| " + " | ".join(markdown_text(h) for h in heads) + " |", "|" + "|".join(ends) + "|"]
    for each in sheet.rows:
        lines.append("| " + " | ".join(_markdown_cell(c, each) for c in each.cells) + " |")
    return "\n".join(lines) + "\n"


def latex(sheet: Sheet) -> str:
    """A ``table`` environment for the packages booktabs and graphicx, made smaller where it is wider than the text."""
    columns = sheet.columns
    longest = [max(len(c.head), *(len(r.cells[i].text) for r in sheet.rows)) for i, c in enumerate(columns)]
    plain = ["l" if place == 0 or c.left else "r" for place, c in enumerate(columns)]
    align = "".join("p{24mm}" if size > LONG else end for size, end in zip(longest, plain, strict=True))
    lines = [LATEX_NEEDS, r"\begin{table}[t]", r"\centering", r"\small", rf"\caption{{{_caption(sheet)}}}"]
    lines += [rf"\label{{tab:{sheet.name}}}", LATEX_FIT, rf"\begin{{tabular}}{{{align}}}", r"\toprule"]
    if sheet.grouped:
        lines += _latex_groups(columns)
    lines += [" & ".join(latex_text(c.head) for c in columns) + r" \\", r"\midrule"]
    for i, each in enumerate(sheet.rows):
        if i and each.kind != sheet.rows[i - 1].kind:
            lines.append(r"\midrule")
        lines.append(" & ".join(_latex_cell(c, each) for c in each.cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def comma_separated(sheet: Sheet) -> str:
    """The cells as they are shown, one line of heads; quoted as spreadsheets expect, and never a formula to them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_csv_text(f"{c.group}: {c.head}" if c.group else c.head) for c in sheet.columns])
    writer.writerows([_csv_text(c.text) for c in each.cells] for each in sheet.rows)
    return out.getvalue()


FORMATS: dict[str, Callable[[Sheet], str]] = {"tex": latex, "csv": comma_separated}


def latex_text(text: str) -> str:
    """Text that TeX sets as it is; characters that it could not set are left out."""
    return "".join(LATEX.get(c, c) for c in text if c.isprintable() or c in " \n").replace("\n", " ")


def _latex_groups(columns: Sequence[Column]) -> list[str]:
    """The line of group heads and the rules under them."""
    cells, rules, place = [], [], 1
    for group, members in groupby(columns, key=lambda c: c.group):
        count = len(list(members))
        cells.append(rf"\multicolumn{{{count}}}{{c}}{{{latex_text(group)}}}" if group else " & ".join([""] * count))
        if group:
            rules.append(rf"\cmidrule(lr){{{place}-{place + count - 1}}}")
        place += count
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _caption(sheet: Sheet) -> str:
    notes = [latex_text(note) for note in sheet.notes]
    title = re.sub(r"^Table \d+\. ", "", sheet.title)  # LaTeX counts for itself
    return " ".join([latex_text(title).rstrip(".") + ".", *notes])


def _latex_cell(cell: Cell, of: Row) -> str:
    text = latex_text(cell.text)
    if cell.bold:
        return rf"\textbf{{{text}}}"
    if cell.underline:
        return rf"\underline{{{text}}}"
    return rf"\textit{{{text}}}" if of.kind == "paper" and text else text


def _markdown_cell(cell: Cell, of: Row) -> str:
    text = markdown_text(cell.text)
    if cell.bold:
        return f"**{text}**"
    if cell.underline:
        return f"<u>{text}</u>"
    return f"*{text}*" if of.kind == "paper" and text else text


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _csv_text(text: str) -> str:
    """Text that a spreadsheet does not take for a formula; numbers keep their sign."""
    plain = " ".join(text.replace("−", "-").split())
    return f"'{plain}" if re.match(r"[=@]|[+-](?![\d.])", plain) else plain


def _style(cell: Cell, of: Row) -> str:
    if cell.bold:
        return "bold"
    if cell.underline:
        return "underline"
    return {"paper": "italic", "sum": "dim"}.get(of.kind, "")


def _first_of_group(columns: Sequence[Column]) -> list[bool]:
    return [i == 0 or columns[i - 1].group != c.group for i, c in enumerate(columns)]
