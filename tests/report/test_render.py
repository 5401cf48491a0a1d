"""One table in four formats, and nothing in its cells that breaks or runs there."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from paft.report.render import (
    LATEX_FIT,
    LATEX_NEEDS,
    comma_separated,
    latex,
    latex_text,
    markdown,
    split_to_fit,
    terminal,
)
from paft.report.sheet import Cell, Column, Row, Sheet, emphasised, number, row, spread

COLUMNS = [
    Column("method"),
    Column("mean", "pets", "more"),
    Column("std", "pets", "less"),
    Column("mean", "plants", "more"),
]
ROWS = [row(["base", "20.0", "5.0", "–"]), row(["user", "47.0", "18.9", "40.0"]), row(["paft", "77.3", "7.9", "41.0"])]
SUM = row(["paft − best other", "+30.3", "+2.9", "+1.0"], "sum")
QUOTED = row(["paper: user", "92.35", "2.78", "–"], "paper")


def sheet() -> Sheet:
    rows = [*emphasised(COLUMNS, ROWS), SUM, QUOTED]
    return Sheet("table-1", "Table 1. Accuracy in %", COLUMNS, rows, ["Over 50 prompts."])


def plain(tables, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for table in tables:
        console.print(table)
    return out.getvalue()


def test_best_is_bold_and_second_best_underlined() -> None:
    rows = emphasised(COLUMNS, [*ROWS, QUOTED])
    marks = [["b" if c.bold else "u" if c.underline else "" for c in r.cells] for r in rows]
    # two numbers in the last column: the lesser one is no second best, it is the last
    assert marks == [["", "", "b", ""], ["", "u", "", ""], ["", "b", "u", "b"], ["", "", "", ""]]


def test_ties_share_the_mark_and_equal_columns_have_none() -> None:
    columns = [Column("m"), Column("x", better="more"), Column("y", better="more")]
    rows = emphasised(
        columns,
        [row(["a", "1.0", "2.0"]), row(["b", "1.0", "2.0"]), row(["c", "0.5", "2.0"]), row(["d", "0.1", "2.0"])],
    )
    assert [r.cells[1].bold for r in rows] == [True, True, False, False]
    assert [r.cells[1].underline for r in rows] == [False, False, True, False]
    assert not any(r.cells[2].bold or r.cells[2].underline for r in rows)


def test_markdown() -> None:
    assert markdown(sheet()).splitlines() == [
        "| method | pets: mean | pets: std | plants: mean |",
        "|---|---:|---:|---:|",
        "| base | 20.0 | **5.0** | – |",
        "| user | <u>47.0</u> | 18.9 | 40.0 |",
        "| paft | **77.3** | <u>7.9</u> | **41.0** |",
        "| paft − best other | +30.3 | +2.9 | +1.0 |",
        "| *paper: user* | *92.35* | *2.78* | *–* |",
    ]


def test_latex() -> None:
    text = latex(sheet())
    assert r"\caption{Accuracy in \%. Over 50 prompts.}" in text
    assert r" & \multicolumn{2}{c}{pets} & \multicolumn{1}{c}{plants} \\" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}" in text
    assert r"paft & \textbf{77.3} & \underline{7.9} & \textbf{41.0} \\" in text
    assert r"paft $-$ best other & +30.3" in text
    assert text.count(r"\midrule") == 3
    assert_sound(text, 4)


@pytest.mark.skipif(which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_sets_it_and_it_fits(tmp_path: Path) -> None:
    heads = [f"mean of {i}" for i in range(20)]
    wide = Sheet(
        "wide", "Wide", [Column("method"), *map(Column, heads)], [row(["p_a ft", "A long text " * 9, *("3" * 19)])]
    )
    (tmp_path / "narrow.tex").write_text(latex(sheet()), encoding="utf-8")
    (tmp_path / "wide.tex").write_text(latex(wide), encoding="utf-8")
    needs = LATEX_NEEDS.removeprefix("% needs ")
    body = rf"\documentclass{{article}}{needs}\begin{{document}}\input{{narrow}}\input{{wide}}\end{{document}}"
    (tmp_path / "all.tex").write_text(body, encoding="utf-8")
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_csv() -> None:
    rows = list(csv.reader(io.StringIO(comma_separated(sheet()))))
    assert rows[0] == ["method", "pets: mean", "pets: std", "plants: mean"]
    assert rows[3] == ["paft", "77.3", "7.9", "41.0"]
    assert rows[4] == ["paft - best other", "+30.3", "+2.9", "+1.0"]


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-cmd"])
def test_csv_holds_no_formula(text: str) -> None:
    made = Sheet("t", "t", [Column("a")], [row([text])])
    assert next(csv.reader(comma_separated(made).splitlines()[1:]))[0] == "'" + text


def test_terminal_parts_wide_tables_between_groups() -> None:
    columns = [Column("method"), *(Column(head, f"task {i}") for i in range(4) for head in ("mean", "std", "top"))]
    made = Sheet("t", "A title", columns, [row(["paft", *(["12.3"] * 12)]), row(["user", *(["12.3"] * 12)], "sum")])
    parts = split_to_fit(made, 60)
    assert [[c.group for c in p.columns[1:]] for p in parts] == [
        ["task 0"] * 3 + ["task 1"] * 3,
        ["task 2"] * 3 + ["task 3"] * 3,
    ]
    text = plain(terminal(made, 60), 60)
    assert "…" not in text
    assert text.count("12.3") == 24
    assert text.count("A title") == 1
    assert len(split_to_fit(made, 1000)) == 1


NASTY = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "\\",
        "{",
        "}}{",
        "a & b \\\\",
        "$x$",
        "100 %",
        "#1",
        "~^_",
        "|",
        "`x`",
        "<script>alert(1)</script>",
        "[a](b)",
        "\n\n# x",
    ]
)


@given(st.lists(NASTY, min_size=4, max_size=4))
def test_no_text_breaks_a_table(texts: list[str]) -> None:
    columns = [Column(texts[0]), Column("x", texts[1])]
    made = Sheet(
        "t", texts[2], columns, [Row([Cell(texts[3], bold=True), Cell(texts[0])]), row(texts[2:], "paper")], texts[:1]
    )
    assert_sound(latex(made), 2)
    lines = markdown(made).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
        assert not re.search(r"(?<!\\)(?:\\\\)*<(?!/?u>)", line)
    read = list(csv.reader(io.StringIO(comma_separated(made), newline="")))
    assert [len(cells) for cells in read] == [2, 2, 2]


def assert_sound(text: str, columns: int) -> None:
    """Braces pair, no special character stands bare, and each line of the body has all its cells."""
    assert text.startswith(LATEX_NEEDS)
    bare = text.removeprefix(LATEX_NEEDS).replace(LATEX_FIT, "{")
    bare = re.sub(r"\\[\\{}$&#%_]", lambda m: r"\\" if m[0] == r"\\" else "", bare)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"[#%_~^]", bare)
    assert bare.count("$") % 2 == 0
    body = bare.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert lines
    assert {line.count("&") for line in lines} == {columns - 1}


def test_latex_text_leaves_out_what_cannot_be_set() -> None:
    assert latex_text("a\u202eb\x00c") == "abc"
    assert latex_text("x_1 < 2\\3") == r"x\_1 \textless{} 2\textbackslash{}3"


def test_small_forms() -> None:
    assert [number(t) for t in ("93.8 (± 0.7)", "−2.0", "1,234", "–", "", "own")] == [
        93.8,
        -2.0,
        1234.0,
        None,
        None,
        None,
    ]
    assert (spread(0.938, 0.007), spread(0.938, None), spread(None, 0.1)) == ("93.8 (± 0.7)", "93.8", "–")
