"""A table, the page and a figure show the same records of an ablation, and call its setting the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from matplotlib import rc_context
from report.making import SETTINGS, make_record, make_records

from paft.experiments.axes import AXES
from paft.experiments.grid import GridCell
from paft.experiments.records import Record
from paft.report.ablations import ablation_sheets
from paft.report.comparison import Comparison, TaskTexts
from paft.report.figures import FIGURES
from paft.report.page import page_data
from paft.report.page_facts import ablations
from paft.report.plots import STYLE
from paft.report.varied import varied


def comparison(records: Sequence[Record]) -> Comparison:
    return Comparison(records, {"pets": TaskTexts()})


def other_rate(*variants: dict[str, int]) -> list[Record]:
    """Records of a second comparison of the task, whose own learning rate is another."""
    records = [make_record(method="paft", seed=7, variant=dict(variant)) for variant in variants]
    return [replace(r, settings={**r.settings, "learning_rate": 1.0}) for r in records]


def table(c: Comparison, name: str) -> dict[str, tuple[str, str]]:
    """Value -> mean and std of ``paft``, as a table shows them."""
    sheet = next(s for s in ablation_sheets(c, ["pets"]) if s.name == name)
    heads = [column.head for column in sheet.columns]
    places = heads.index("mean"), heads.index("std")
    return {r.cells[0].text: (r.cells[places[0]].text, r.cells[places[1]].text) for r in sheet.rows}


def drawn(c: Comparison, name: str) -> dict[str, tuple[str, str]]:
    """The same of a figure's points."""
    with rc_context(STYLE):
        figure = FIGURES[name](c, "pets")
    assert figure is not None
    lines = [next(line for line in axes.lines if line.get_label() == "paft") for axes in figure.axes]
    return {
        f"{x:,.6g}": (f"{mean:.1f}", f"{std:.1f}")
        for x, mean, std in zip(lines[0].get_xdata(), *(line.get_ydata() for line in lines), strict=True)
    }


def on_page(c: Comparison, keys: list[str]) -> list[dict[str, tuple[str, str]]]:
    """The same of every table of the page over these settings."""
    return [
        {
            ", ".join(f"{v:,.6g}" for v in row["values"]): tuple(
                f"{100 * row['numbers'][k]:.1f}" for k in ("mean", "std")
            )
            for row in found["series"][0]["rows"]
        }
        for found in ablations(c, "pets")
        if found["keys"] == keys
    ]


def shown(records: Sequence[Record]) -> tuple[str, str]:
    """Mean and std over prompts, averaged over seeds, from the answers themselves."""
    accuracy_sp = [100 * r.unseen.correct_pn.mean(axis=1) for r in records]
    return f"{np.mean(accuracy_sp):.1f}", f"{np.mean([a.std(ddof=1) for a in accuracy_sp]):.1f}"


def test_records_of_another_learning_rate_are_no_points_of_an_ablation() -> None:
    ours = make_records(methods=("user", "paft"), seeds=2, variants=[{"limit": 100}, {"limit": 500}])
    c = comparison([*ours, *other_rate({"limit": 300}, {"limit": 500})])
    groups = {100: {"limit": 100}, 500: {"limit": 500}, SETTINGS["limit"]: {}}
    wanted = {
        f"{limit:,}": shown([r for r in ours if r.method == "paft" and r.variant == variant])
        for limit, variant in groups.items()
    }
    assert table(c, "ablation-limit-pets") == wanted
    assert drawn(c, "data-size") == wanted
    others = {f"{r.variant['limit']}": shown([r]) for r in c.records[len(ours) :]}
    assert on_page(c, ["limit"]) == [wanted, others]
    assert table(c, "ablation-limit-pets-2") == others


def test_table_3_leaves_out_what_another_learning_rate_gave() -> None:
    ours = make_records(methods=("user", "paft"), seeds=2, variants=[{"examples_per_prompt": 1}])
    c = comparison([*ours, *other_rate({"examples_per_prompt": 1})])
    sheet = next(s for s in ablation_sheets(c, ["pets"]) if s.name == "table-3")
    own = [r for r in sheet.rows if r.kind == "own"]
    wanted = [shown([r for r in ours if r.method == "paft" and bool(r.variant) is varied]) for varied in (True, False)]
    assert [r.cells[2].text for r in own] == [f"{mean} (± {std})" for mean, std in wanted]
    with rc_context(STYLE):
        figure = FIGURES["k-and-t"](c, "pets")
    assert figure is not None
    assert [f"{y:.1f}" for y in figure.axes[0].lines[0].get_ydata()] == [mean for mean, _ in wanted]


def test_the_table_shows_the_set_that_the_figure_draws() -> None:
    small = [
        make_record(method="paft", seed=s, variant={"limit": 50, "train_prompts": p})
        for p in (1, 5, 25)
        for s in (0, 1)
    ]
    c = comparison([*make_records(methods=("paft",), seeds=2, variants=[{"train_prompts": 10}]), *small])
    points = {f"{p}": shown([r for r in small if r.variant["train_prompts"] == p]) for p in (1, 5, 25)}
    assert drawn(c, "figure6") == table(c, "ablation-train-prompts-pets") == points
    sheet = next(s for s in ablation_sheets(c, ["pets"]) if s.name == "ablation-train-prompts-pets")
    assert "all with limit 50" in sheet.notes[0]
    assert list(table(c, "ablation-train-prompts-pets-2")) == ["10", "100"]


def test_a_setting_that_only_one_variant_has_beside_another_is_no_axis() -> None:
    c = comparison(make_records(methods=("paft",), variants=[{"lora_r": 2}, {"lora_r": 2, "learning_rate": 0.001}]))
    assert varied(c, "pets", ("learning_rate",)) == []
    assert FIGURES["learning-rate"](c, "pets") is None
    assert not [s for s in ablation_sheets(c, ["pets"]) if "learning-rate" in s.name]


def test_no_limit_is_what_the_run_counted() -> None:
    own = [replace(r, settings={**r.settings, "limit": None}) for r in make_records(methods=("paft",), seeds=2)]
    own = [replace(r, training={**(r.training or {}), "examples": 1000}) for r in own]
    c = comparison([*own, *(make_record(method="paft", seed=s, variant={"limit": 200}) for s in (0, 1))])
    wanted = {"200": shown(c.records[2:]), "1,000": shown(own)}
    assert table(c, "ablation-limit-pets") == drawn(c, "data-size") == wanted
    assert on_page(c, ["limit"]) == [wanted]


@pytest.mark.parametrize("key", AXES)
def test_a_setting_has_one_name(key: str) -> None:
    value = 2 * SETTINGS[key]
    c = comparison(make_records(methods=("paft",), variants=[{key: value}]))
    assert GridCell("paft", 0, {key: value}).name == f"paft-{AXES[key].short}{value:g}-seed0"
    assert [key, AXES[key].label, AXES[key].nothing] in page_data(c)["axes"]
    assert AXES[key].label not in (files("paft.resources") / "report" / "ablations.js").read_text(encoding="utf-8")
    sheet = ablation_sheets(c, ["pets"])[0]
    assert AXES[key].label in (sheet.title if sheet.name == "table-3" else sheet.columns[0].head)
    with rc_context(STYLE):
        figure = FIGURES[AXES[key].figure or "k-and-t"](c, "pets")
    if key != "num_train_epochs":  # K alone is on an axis; T tells the lines apart
        assert figure is not None
        assert AXES[key].label in figure.axes[0].get_xlabel()
