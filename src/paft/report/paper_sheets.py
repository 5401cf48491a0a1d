"""The paper's own tables, to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paft.experiments import paper
from paft.report.accuracy import paper_number
from paft.report.sheet import Column, Row, Sheet, row

SHORT = ("mean", "std", "top")


def paper_sheets() -> dict[str, Sheet]:
    """``table-1`` to ``table-7`` as the paper has them."""
    sheets = [_accuracy(), _inference(), _k_and_t(), _samples(), _settings(), _training(), _tokens()]
    return {f"table-{i}": sheet for i, sheet in enumerate(sheets, start=1)}


def remarks(table: int) -> list[str]:
    """What does not add up in one of the paper's tables; each remark stands with the first table it is about."""
    return [remark.text for remark in paper.REMARKS if remark.tables[0] == table]


def _sheet(number: int, title: str, columns: list[Column], rows: list[Row]) -> Sheet:
    notes = [f"Quoted from {paper.SOURCE}, Table {number} ({paper.MODEL}); not measured here."]
    notes += remarks(number)
    return Sheet(f"paper-table-{number}", f"The paper's Table {number}: {title}", columns, rows, notes)


def _accuracy() -> Sheet:
    blocks = (*paper.TASKS, paper.AVERAGE)
    columns = [Column("method"), *(Column(head, block) for block in blocks for head in SHORT)]
    rows = [
        row(
            [m, *(t for s in by_task.values() for t in (paper_number(s.mean), paper_number(s.std), f"{s.top:g}"))],
            "paper",
        )
        for m, by_task in paper.ACCURACY.items()
    ]
    better = [(f"{s.mean:+.2f}", f"{s.std:+.2f}".replace("-", "−"), f"{s.top:g}") for s in paper.IMPROVEMENT.values()]
    rows.append(row(["improvement", *(text for each in better for text in each)], "sum"))
    return _sheet(1, "accuracy over 50 unseen prompts, %", columns, rows)


def _inference() -> Sheet:
    rows = _by_data_set(paper.INFERENCE_HOURS)
    ratios = [f"{paper.SPEED_UP[name]:.2f}" for name in (*paper.DATA_SETS, paper.AVERAGE)]
    return _sheet(2, "hours of inference", _data_sets("method"), [*rows, row(["x fastest other", *ratios], "sum")])


def _k_and_t() -> Sheet:
    columns = [Column("K and T"), *map(Column, (*paper.TASKS, paper.AVERAGE))]
    rows = []
    for (k, t), by_task in paper.K_AND_T.items():
        texts = [f"{paper_number(s.mean)} (± {paper_number(s.std)})" for s in by_task.values()]
        rows.append(row([f"K = {k}, T = {t}", *texts], "paper"))
    return _sheet(3, "PAFT by K and T, accuracy in %", columns, rows)


def _samples() -> Sheet:
    splits = ("train", "validation", "test")
    rows = [row([name, *(f"{counts[s]:,}" for s in splits)], "paper") for name, counts in paper.SAMPLES.items()]
    return _sheet(4, "samples", [Column("data set"), *map(Column, splits)], rows)


def _settings() -> Sheet:
    names = list(paper.SETTINGS)
    rows = [row([key, *(_text(paper.SETTINGS[n][key]) for n in names)], "paper") for key in paper.SETTINGS[names[0]]]
    return _sheet(5, "settings", [Column("setting"), *(Column(name, left=True) for name in names)], rows)


def _training() -> Sheet:
    return _sheet(6, "hours of training on one RTX 4090", _data_sets("method"), _by_data_set(paper.TRAINING_HOURS))


def _tokens() -> Sheet:
    texts = [f"{paper.PROMPT_TOKENS[name]:,.0f}" for name in (*paper.DATA_SETS, paper.AVERAGE)]
    return _sheet(7, "tokens for about 400 prompts", _data_sets(""), [row(["tokens", *texts], "paper")])


def _data_sets(first: str) -> list[Column]:
    return [Column(first), *map(Column, (*paper.DATA_SETS, paper.AVERAGE))]


def _by_data_set(hours: Mapping[str, Mapping[str, float]]) -> list[Row]:
    names = (*paper.DATA_SETS, paper.AVERAGE)
    return [row([m, *(paper_number(each[name]) for name in names)], "paper") for m, each in hours.items()]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
