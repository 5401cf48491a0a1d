"""Tables of saved numbers."""

from __future__ import annotations

import io

from rich.console import Console

from paft.report.tables import (
    comparison_markdown,
    comparison_table,
    extremes_table,
    one_line,
    percent,
    sweep_lines,
)

METHODS = {
    "base": {
        "mean": 0.25,
        "std": None,
        "std_corrected": None,
        "min": 0.1,
        "q05": 0.12,
        "top": {"threshold": 0.85, "share": 0.0},
    },
    "paft": {
        "mean": 0.8251,
        "std": 0.05,
        "std_corrected": 0.04,
        "min": 0.7,
        "q05": 0.71,
        "top": {"threshold": 0.85, "share": 0.4},
    },
    "user": {
        "mean": 0.61,
        "std": 0.2,
        "std_corrected": 0.19,
        "min": 0.1,
        "q05": 0.3,
        "top": {"threshold": 0.85, "share": 0.4},
    },
}


def printed(table, width: int = 100, **options) -> str:
    out = io.StringIO()
    Console(file=out, width=width, **options).print(table)
    return out.getvalue()


def test_markdown_marks_the_best_of_each_column() -> None:
    lines = comparison_markdown(METHODS).splitlines()
    assert lines == [
        "| method | mean | std | std corrected | min | 5% quantile | top ≥ 85 |",
        "|---|---:|---:|---:|---:|---:|---:|",
        "| base | 25.0 | – | – | 10.0 | 12.0 | 0.0 |",
        "| paft | **82.5** | **5.0** | **4.0** | **70.0** | **71.0** | **40.0** |",
        "| user | 61.0 | 20.0 | 19.0 | 10.0 | 30.0 | **40.0** |",
    ]


def test_the_terminal_table_holds_the_same_numbers() -> None:
    plain = printed(comparison_table(METHODS, "A title"))
    rows = [line.split() for line in plain.splitlines() if line.split()[:1] in (["base"], ["paft"], ["user"])]
    assert rows[1] == ["paft", "82.5", "5.0", "4.0", "70.0", "71.0", "40.0"]
    assert "A title" in plain
    coloured = printed(comparison_table(METHODS), force_terminal=True, color_system="standard", no_color=False)
    assert "\x1b[1m82.5" in coloured
    assert "\x1b[1m61.0" not in coloured


def test_thresholds_that_differ_are_not_put_into_the_head() -> None:
    other = METHODS | {"user": METHODS["user"] | {"top": {"threshold": 0.9, "share": 0.1}}}
    assert "| top |" in comparison_markdown(other).splitlines()[0]
    assert "| 5% quantile | top ≥ 85 |" in comparison_markdown(METHODS)


def test_a_column_where_all_are_alike_has_no_best() -> None:
    same = dict.fromkeys(("a", "b"), METHODS["paft"])
    assert "**" not in comparison_markdown(same)


def test_extremes_are_ranked_and_the_middle_is_left_out() -> None:
    accuracies = {f"p{i:02}": i / 100 for i in range(30)}
    lines = printed(extremes_table(accuracies, {"p29": "first\nsecond"}, count=2)).splitlines()
    rows = [line.split() for line in lines if line.strip() and "─" not in line][1:]
    assert [row[:3] for row in rows] == [
        ["1", "29.0", "p29"],
        ["2", "28.0", "p28"],
        ["…"],
        ["29", "1.0", "p01"],
        ["30", "0.0", "p00"],
    ]
    assert rows[0][3:] == ["first", "⏎", "second"]


def test_few_prompts_are_all_shown() -> None:
    text = printed(extremes_table({"a": 0.5, "b": 0.75}, {"a": "[red]x[/red] {text}", "b": "y"}, count=5))
    assert "…" not in text
    assert "[red]x[/red] {text}" in text  # a prompt's own brackets are no markup
    assert text.index("b ") < text.index("[red]")


def test_long_texts_are_cut_to_the_width() -> None:
    text = printed(extremes_table({"a": 0.5}, {"a": "word " * 100}), width=60)
    assert max(map(len, text.splitlines())) <= 60


SUMMARY = {
    "mean": 0.5,
    "std": 0.1,
    "std_corrected": 0.05,
    "min": 0.25,
    "q05": 0.3,
    "max": 0.75,
    "flip_rate": 0.125,
    "top": {"threshold": 0.85, "share": 0.2},
    "prompts": 50,
    "examples": 200,
    "split": "test",
    "task": "pets",
    "scoring": "likelihood",
    "dropped": 0,
}


def test_sweep_lines() -> None:
    text = "\n".join(sweep_lines(SUMMARY))
    for part in (
        "50.0 ± 10.0 %",
        "50 prompts x 200 examples",
        "worst prompt 25.0 %",
        "20.0 % of the prompts reach 85 %",
    ):
        assert part in text
    assert "left out" not in text
    one = sweep_lines(SUMMARY | {"std": None, "std_corrected": None, "prompts": 1, "dropped": 3})
    assert "±" not in "\n".join(one)
    assert one[-1].startswith("3 examples were too long")


def test_small_forms() -> None:
    assert (percent(None), percent(0.12345), percent(1)) == ("–", "12.3", "100.0")
    assert one_line([{"role": "system", "content": "a"}, {"role": "user", "content": "b\n\nc "}]) == "a ⏎ b ⏎ c"
