"""Pictures of how accuracy spreads over prompts, one point a prompt; and what all pictures share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from paft.errors import InputError
from paft.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# the colours of Okabe and Ito, which people with any colour vision can tell apart
COLOURS = {
    "base": "#6e6e6e",
    "user": "#d55e00",
    "top-accuracy": "#e69f00",
    "batprompt": "#cc79a7",
    "zopo": "#56b4e9",
    "static-mix": "#0072b2",
    "paft": "#009e73",
}
MORE_COLOURS = ("#000000", "#882255", "#999933", "#332288")
INK, GREY, FAINT = "#222222", "#595959", "#d9d9d9"
WIDTH = 6.8  # inches
WRAP = 112  # characters of a note in a line
BIN = 0.8  # points that are nearer than this many per cent share a column
STEP, REACH = 0.11, 0.36  # distance of points in a column; most they spread from the middle of a row
NUMBERS = ("mean", "std", "min", "top")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.parse_math": False,  # a dollar or an underscore in a name is just that
    "svg.hashsalt": "paft",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


@dataclass(frozen=True)
class Row:
    """One row of points.

    Attributes:
        name: stands at the left, ``detail`` small below it.
        points: accuracy of each prompt, fractions, in any order.
        numbers: those of ``mean, std, min, top`` to write beside the row, fractions; None shows as a dash.
        colour: of the points and the curve.
        spread: the values whose density is drawn above the points; none without.
    """

    name: str
    points: Sequence[float]
    numbers: Mapping[str, float | None]
    colour: str
    detail: str = ""
    spread: Sequence[float] | None = None


def plot_accuracy(
    methods: Mapping[str, Sequence[float]],
    stem: str | os.PathLike[str],
    title: str = "Accuracy under each prompt",
    note: str = "",
    kinds: Sequence[str] = ("png", "svg"),
    numbers: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Path]:
    """Draw the accuracies over prompts of each method as a row of points with its mean as a bar.

    Args:
        methods: name -> accuracy of each prompt, fractions, in any order.
        stem: path without a suffix.
        title: says what is shown.
        note: a line at the foot, such as the numbers of prompts and examples.
        kinds: file types.
        numbers: name -> mean, std and min to write beside a row, where they are not those of the points (means over
            seeds of a standard deviation are not the standard deviation of means over seeds).

    Returns:
        The files written, one per kind.

    Raises:
        InputError: no methods, or a method without prompts.
    """
    from matplotlib import rc_context

    if not methods or not all(len(values) for values in methods.values()):
        raise InputError("a picture needs at least one method with at least one prompt")
    rows = []
    for place, (name, values) in enumerate(methods.items()):
        known = (numbers or {}).get(name) or _summary(np.asarray(values, dtype=float))
        rows.append(Row(name, values, {key: known.get(key) for key in NUMBERS[:3]}, colour(name, place)))
    with rc_context(STYLE):
        return save_kinds(rows_figure(rows, title, note), stem, kinds)


def rows_figure(rows: Sequence[Row], title: str, note: str) -> Figure:
    """Rows of points over one axis of accuracies, their numbers in columns at the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 1.3 + 0.62 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    heads = [key for key in NUMBERS if any(key in row.numbers for row in rows)]
    for place, row in enumerate(rows):
        _draw_row(axes, place, row, heads)
    for column, head in enumerate(heads):
        _beside(axes, head, (1, -0.72), 34 + 34 * column, "right", color=GREY, fontsize=9)
    low, high = axes.dataLim.intervalx
    pad = max(2.0, 0.04 * (high - low))
    axes.set_xlim(max(low - pad, -1.0), min(high + pad, 101.0))
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_yticks([])
    axes.set_xlabel("accuracy (%)", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    caption(figure, title, note)
    return figure


def caption(figure: Figure, title: str, note: str) -> None:
    """The title above and the note below a figure of constrained layout, both from its left edge."""
    place: dict[str, Any] = {"x": 0.012, "ha": "left"}
    figure.suptitle(fill(title, 68), color=INK, fontweight="bold", fontsize=11, **place)
    if note:
        figure.supxlabel(fill(note, WRAP, break_on_hyphens=False), color=GREY, fontsize=8, **place)


def swarm(values: Sequence[float] | np.ndarray, width: float = BIN) -> np.ndarray:
    """Offsets from the middle of a row for sorted values, so that points nearer than ``width`` stand apart."""
    values = np.asarray(values, dtype=float)
    offsets = np.zeros(len(values))
    columns = np.floor(values / width).astype(int)
    for column in np.unique(columns):
        members = np.flatnonzero(columns == column)
        step = min(STEP, 2 * REACH / max(len(members) - 1, 1))
        offsets[members] = (np.arange(len(members)) - (len(members) - 1) / 2) * step
    return offsets


def density(values: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian kernel density of accuracies in %, mirrored at 0 and 100 so that none of it lies outside.

    The bandwidth is Silverman's, ``0.9 min(std, IQR / 1.34) n^(-1/5)``, and at least 0.3 points.

    Returns:
        The places and the density there, per point of accuracy.
    """
    values = np.asarray(values, dtype=float)
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    middle = np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.34
    band = max(0.3, 0.9 * (min(deviation, middle) or deviation) * len(values) ** -0.2)
    places = np.linspace(max(0.0, values.min() - 3 * band), min(100.0, values.max() + 3 * band), 256)
    mirrored = np.concatenate([values, -values, 200 - values])
    kernel = np.exp(-0.5 * ((places[:, None] - mirrored) / band) ** 2)
    return places, kernel.sum(axis=1) / (len(values) * band * np.sqrt(2 * np.pi))


def colour(name: str, place: int = 0) -> str:
    """The colour of a method; one that is not known takes the next of a few others."""
    return COLOURS.get(name, MORE_COLOURS[place % len(MORE_COLOURS)])


def save_kinds(figure: Figure, stem: str | os.PathLike[str], kinds: Sequence[str]) -> list[Path]:
    """Lay a figure out once and write it as ``STEM.kind`` for each kind."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return [save(figure, Path(f"{os.fspath(stem)}.{kind}"), kind) for kind in kinds]


def save(figure: Figure, path: Path, kind: str) -> Path:
    """Write a figure as ``png``, ``svg`` or ``pdf``, without the time, so that the same figure is the same file."""
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {"Software": None})
    with atomic_path(path) as partial:
        figure.savefig(partial, format=kind, dpi=160, facecolor="white", metadata=metadata)
    return path


def _summary(values: np.ndarray) -> dict[str, float]:
    spread = {"std": float(values.std(ddof=1))} if len(values) > 1 else {}
    return {"mean": float(values.mean()), **spread, "min": float(values.min())}


def _draw_row(axes: Axes, place: int, row: Row, heads: Sequence[str]) -> None:
    """Points in the whole row; where there is a curve, it has the upper half and the points the lower one."""
    values = 100 * np.sort(np.asarray(row.points, dtype=float))
    mean, offsets = values.mean(), swarm(values)
    axes.axhline(place, color=FAINT, linewidth=0.8, zorder=0)
    if row.spread is not None:
        places, height = density(100 * np.asarray(row.spread, dtype=float))
        axes.fill_between(
            places, place - 0.04 - 0.38 * height / height.max(), place - 0.04, color=row.colour, alpha=0.35, linewidth=0
        )
        offsets = 0.21 + 0.5 * offsets
    axes.scatter(
        values, place + offsets, s=17 if row.spread is None else 11, color=row.colour, alpha=0.75, linewidths=0
    )
    axes.plot([mean, mean], [place - 0.41, place + 0.41], color=INK, linewidth=2.0, solid_capstyle="round", zorder=3)
    shift = 0.12 if row.detail else 0.0
    _beside(axes, row.name, (0, place - shift), -8, "right", color=INK, fontweight="bold")
    if row.detail:
        _beside(axes, row.detail, (0, place + 0.24), -8, "right", color=GREY, fontsize=8)
    for column, key in enumerate(heads):
        number = row.numbers.get(key)
        text = "–" if number is None else f"{100 * number:.1f}"
        _beside(axes, text, (1, place), 34 + 34 * column, "right", color=INK, fontsize=9.5)


def _beside(axes: Axes, text: str, at: tuple[float, float], points: float, side: str, **look: Any) -> None:
    """Text in the margin of a row, ``points`` from the edge of the axes."""
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, at, xytext=(points, 0), ha=side, annotation_clip=False, **place, **look)
