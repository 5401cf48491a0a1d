"""The figures of a comparison: which are drawn, what they show, and that hostile text does no harm."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_hex
from report.making import SETTINGS, make_record, make_records

from paft.errors import InputError
from paft.experiments.records import METHODS, Record
from paft.prompts import Prompt, PromptSet
from paft.report.comparison import Comparison, TaskTexts
from paft.report.figures import FIGURES, draw_figures
from paft.report.plots import COLOURS, STYLE

PROMPTS = 12
NASTY = (
    "$x^2 {text} _a_ \\frac{{1",
    "right \u202e to left \u2066 \x00\x0b {text} --> ]]> <script>",
    "分类 {text} مرحبا 🙂",
    "long " + "word " * 5_000 + "{text}",
)
VARIANTS = (
    *({"train_prompts": n} for n in (1, 10)),
    *({"examples_per_prompt": k} for k in (1, 8)),
    {"examples_per_prompt": 1, "num_train_epochs": 6},
    {"limit": 200},
    {"lora_r": 2},
    {"learning_rate": 3e-4},
)


def texts(nasty: Sequence[str] = ()) -> TaskTexts:
    wordings = [*nasty, *(f"Wording {i}: {{text}}" for i in range(PROMPTS - len(nasty)))]
    return TaskTexts(prompts={"unseen": PromptSet(Prompt.from_text(t, id=f"u{i:03}") for i, t in enumerate(wordings))})


def varied(method: str, variant: dict[str, Any], number: int) -> list[Record]:
    """Three seeds of a variant whose answers are not those of any other."""
    return [replace(make_record("pets", method, 100 * number + s, variant=variant), seed=s) for s in range(3)]


@pytest.fixture(scope="module")
def full() -> Comparison:
    """Seven methods, three sweeps, every kind of variant, texts."""
    records = make_records(prompts=PROMPTS, sweeps=("unseen", "hostile", "train"))
    for number, variant in enumerate(VARIANTS, start=1):
        records += varied("paft", variant, number)
    return Comparison(records, {"pets": texts()})


def figure(comparison: Comparison, name: str, task: str = "pets") -> Any:
    with rc_context(STYLE):
        return FIGURES[name](comparison, task)


def words(axes_or_figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [t.get_text() for t in axes_or_figure.findobj(Text) if t.get_text()]


def accuracy_sp(comparison: Comparison, method: str, sweep: str = "unseen") -> np.ndarray:
    """Seeds x prompts, in %."""
    records = [r for r in comparison.records if r.method == method and not r.variant]
    return 100 * np.array([r.sweeps[sweep].correct_pn.mean(axis=1) for r in records])


def test_full_records_give_every_figure(full: Comparison) -> None:
    assert [name for name in FIGURES if figure(full, name) is None] == []


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    few = Comparison(make_records(methods=["base", "paft"], seeds=1, prompts=2), {"pets": texts()})
    for name in ("a", "b"):
        paths = draw_figures(few, tmp_path / name)
        assert [p.name for p in paths] == [
            f"{n}-pets.{k}" for n in ("figure1", "figure4", "methods") for k in ("png", "svg")
        ]
        assert sorted(paths) == sorted((tmp_path / name).iterdir())
    assert all(path.read_bytes() == (tmp_path / "a" / path.name).read_bytes() for path in paths)


def test_what_the_records_do_not_hold_is_left_out(tmp_path: Path) -> None:
    plain = Comparison(make_records(methods=["base", "user"]), {"pets": TaskTexts()})
    assert [name for name in FIGURES if figure(plain, name)] == ["figure4", "methods"]
    alone = Comparison(make_records(methods=["paft"]), {"pets": texts()})
    assert draw_figures(alone, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kinds", [(), ("svg", "gif")])
def test_another_kind_is_refused(full: Comparison, kinds: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="png, svg, pdf"):
        draw_figures(full, tmp_path, kinds)


def test_hostile_texts_and_names_do_no_harm(tmp_path: Path) -> None:
    names = ["../a $x$ <b>", "a-x-b"]
    records = [replace(r, task=n) for n in names for r in make_records(methods=["user", "paft"], seeds=1, prompts=4)]
    comparison = Comparison(records, {name: texts(NASTY) for name in names})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = draw_figures(comparison, tmp_path / "out", kinds=["svg", "pdf"])
    assert len(paths) == 2 * 3 * len(names)  # figures 1, 4 and methods
    assert len(set(paths)) == len(paths)
    assert all(path.parent == tmp_path / "out" for path in paths)
    for path in paths:
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            assert ET.fromstring(text).tag.endswith("svg")
            assert "\u202e" not in text
            assert "<script" not in text


@pytest.mark.parametrize("nasty", NASTY)
def test_any_prompt_can_be_one_of_the_pair(nasty: str, tmp_path: Path) -> None:
    other = nasty.replace("{text}", "{text} more")
    prompts = PromptSet([Prompt.from_text(nasty, id="u000"), Prompt.from_text(other, id="u001")])
    records = make_records(methods=["user", "paft"], seeds=1)
    drawn = figure(Comparison(records, {"pets": TaskTexts(prompts={"unseen": prompts})}), "figure1")
    assert "pets: two prompts, one word apart" in words(drawn)
    assert any("more" in word for word in words(drawn))
    assert drawn.get_size_inches()[1] < 8
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", message="Glyph|Matplotlib currently")
        drawn.savefig(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "methods", "sweep"),
    [
        ("figure4", ("base", "user", "paft"), "unseen"),
        ("figure5", ("top-accuracy", "user", "batprompt", "zopo", "paft"), "unseen"),
        ("methods", METHODS, "unseen"),
        ("hostile", METHODS, "hostile"),
    ],
)
def test_a_point_is_a_prompt_and_the_numbers_are_means_over_seeds(
    full: Comparison, name: str, methods: tuple[str, ...], sweep: str
) -> None:
    (axes,) = figure(full, name).axes
    dots = [c for c in axes.collections if type(c).__name__ == "PathCollection"]
    assert len(dots) == len(methods)
    shown = words(axes)
    for place, (method, drawn) in enumerate(zip(methods, dots, strict=True)):
        table_sp = accuracy_sp(full, method, sweep)
        across, up = np.asarray(drawn.get_offsets()).T
        assert across == pytest.approx(np.sort(table_sp.mean(axis=0)))
        assert np.all((up > place) & (up < place + 0.5))
        assert to_hex(drawn.get_facecolor()[0]) == COLOURS[method]
        assert method in shown
        top = (table_sp >= 85 - 1e-9).mean(axis=1).mean()
        for number in (table_sp.mean(), table_sp.std(axis=1, ddof=1).mean(), table_sp.min(axis=1).mean(), 100 * top):
            assert f"{number:.1f}" in shown
    bars = [line.get_xdata()[0] for line in axes.lines if line.get_linewidth() == 2.0]
    assert bars == pytest.approx([accuracy_sp(full, method, sweep).mean() for method in methods])


def test_training_prompts_stand_beside_unseen_ones(full: Comparison) -> None:
    (axes,) = figure(full, "figure3").axes
    dots = [np.asarray(c.get_offsets())[:, 0] for c in axes.collections if type(c).__name__ == "PathCollection"]
    rows = [(method, sweep) for method in ("base", "user") for sweep in ("train", "unseen")]
    for drawn, row in zip(dots, rows, strict=True):
        assert drawn == pytest.approx(np.sort(accuracy_sp(full, *row).mean(axis=0)))
    assert [w for w in words(axes) if "prompts" in w] == ["6 training prompts", "12 unseen prompts"] * 2


def test_a_method_of_ones_own_is_drawn_too() -> None:
    comparison = Comparison(make_records(methods=["paft", "mine_$1$"]), {"pets": TaskTexts()})
    assert "mine_$1$" in words(figure(comparison, "methods"))


def test_the_bars_of_the_pair_begin_at_nothing(full: Comparison) -> None:
    drawn = figure(full, "figure1")
    (axes,) = drawn.axes
    assert axes.get_xlim() == (0, 100)
    user_p = accuracy_sp(full, "user").mean(axis=0)
    best, worst = int(user_p.argmax()), int(user_p.argmin())  # all pairs are one word apart
    expected = [accuracy_sp(full, m).mean(axis=0)[i] for m in ("base", "user", "paft") for i in (best, worst)]
    bars = axes.patches
    assert [bar.get_width() for bar in bars] == pytest.approx(expected)
    assert {bar.get_x() for bar in bars} == {0}
    assert {str(best), str(worst)} <= set(words(drawn))  # the words that differ stand by themselves
    assert f"−{user_p.max() - user_p.min():.1f}" in words(axes)


def drawn_lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.lines}


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("figure6", "train_prompts", (1, 10, 100)),
        ("data-size", "limit", (200, 1000)),
        ("lora-rank", "lora_r", (2, 8)),
        ("learning-rate", "learning_rate", (1e-4, 3e-4)),
    ],
)
def test_a_trend_has_a_point_for_each_value(full: Comparison, name: str, key: str, values: tuple[float, ...]) -> None:
    panels = figure(full, name).axes
    for axes, measure in zip(panels, (np.mean, lambda a: np.std(a, ddof=1)), strict=True):
        line, user = drawn_lines(axes)["paft"], drawn_lines(axes)["user"]
        assert axes.get_xscale() == "log"
        assert line.get_xdata() == pytest.approx(values)
        seeds = []
        for value in values:
            variant = {} if value == SETTINGS[key] else {key: value}
            records = [r for r in full.records if r.method == "paft" and r.variant == variant]
            seeds.append([100 * measure(r.unseen.correct_pn.mean(axis=1)) for r in records])
        assert line.get_ydata() == pytest.approx(np.mean(seeds, axis=1))
        (bars,) = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
        ends = [(segment[:, 1].min(), segment[:, 1].max()) for segment in bars.get_segments()]
        assert np.array(ends) == pytest.approx(np.array([(min(s), max(s)) for s in seeds]))
        assert user.get_ydata()[0] == pytest.approx(np.mean([measure(row) for row in accuracy_sp(full, "user")]))
        assert [t.get_text() for t in axes.get_xticklabels()] == [f"{value:g}" for value in values]
    assert panels[1].get_ylim()[0] == 0


def test_k_and_t(full: Comparison) -> None:
    panels = figure(full, "k-and-t").axes
    three, six = drawn_lines(panels[0])["T = 3"], drawn_lines(panels[0])["T = 6"]
    assert three.get_xdata() == pytest.approx([1, 4, 8], rel=0.06)
    assert six.get_xdata() == pytest.approx([1], rel=0.06)
    for k, value in zip((1, 4, 8), three.get_ydata(), strict=True):
        variant = {} if k == 4 else {"examples_per_prompt": k}
        records = [r for r in full.records if r.method == "paft" and r.variant == variant]
        assert value == pytest.approx(100 * np.mean([r.unseen.correct_pn.mean() for r in records]))


def test_variants_of_other_settings_are_not_mixed_in(full: Comparison) -> None:
    small = [r for n, p in enumerate((1, 5, 25, 50), 50) for r in varied("paft", {"limit": 50, "train_prompts": p}, n)]
    mixed = replace(full, records=[*full.records, *small])
    drawn = figure(mixed, "figure6")
    line = drawn_lines(drawn.axes[0])
    assert line["paft"].get_xdata() == pytest.approx([1, 5, 25, 50])
    assert "user" not in line  # it was trained on more examples
    assert any("All with limit 50." in word.replace("\n", " ") for word in words(drawn))


def test_two_methods_with_variants_are_two_lines() -> None:
    records = make_records(methods=["paft", "static-mix"])
    records += varied("paft", {"train_prompts": 5}, 1) + varied("static-mix", {"train_prompts": 5}, 2)
    lines = drawn_lines(figure(Comparison(records, {"pets": TaskTexts()}), "figure6").axes[0])
    assert {name for name in lines if not name.startswith("_")} == {"paft", "static-mix"}
    assert to_hex(lines["static-mix"].get_color()) == COLOURS["static-mix"]
