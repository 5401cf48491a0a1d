"""Pictures of how accuracy spreads over prompts, one point a prompt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paft.errors import InputError
from paft.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# the colours of Okabe and Ito, which people with any colour vision can tell apart
COLOURS = {"base": "#6e6e6e", "user": "#d55e00", "static-mix": "#0072b2", "paft": "#009e73"}
MORE_COLOURS = ("#cc79a7", "#e69f00", "#56b4e9", "#000000")
INK, FAINT = "#222222", "#d9d9d9"
BIN = 0.8  # points that are nearer than this many per cent share a column
STEP, REACH = 0.11, 0.36  # distance of points in a column; most they spread from the middle of a row
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10.0,
    "svg.hashsalt": "paft",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


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
        note: a line under the title, such as the numbers of prompts and examples.
        kinds: file types.
        numbers: name -> mean, std and min to write beside a row, where they are not those of the points (means over
            seeds of a standard deviation are not the standard deviation of means over seeds).

    Returns:
        The files written, one per kind.

    Raises:
        InputError: no methods, or a method without prompts.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not methods or not all(len(values) for values in methods.values()):
        raise InputError("a picture needs at least one method with at least one prompt")
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 1.35 + 0.72 * len(methods)), layout="constrained")
        axes = figure.add_subplot()
        for row, (name, values) in enumerate(methods.items()):
            points = np.sort(np.asarray(values, dtype=float))
            _draw_row(axes, row, name, 100 * points, _colour(name, row), (numbers or {}).get(name) or _summary(points))
        _dress(axes, list(methods), title, note)
        return [save(figure, Path(f"{os.fspath(stem)}.{kind}"), kind) for kind in kinds]


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


def _summary(values: np.ndarray) -> dict[str, float]:
    spread = {"std": float(values.std(ddof=1))} if len(values) > 1 else {}
    return {"mean": float(values.mean()), **spread, "min": float(values.min())}


def _draw_row(axes: Axes, row: int, name: str, values: np.ndarray, colour: str, numbers: Mapping[str, Any]) -> None:
    mean = values.mean()
    axes.axhline(row, color=FAINT, linewidth=0.8, zorder=0)
    axes.scatter(values, row + swarm(values), s=17, color=colour, alpha=0.75, linewidths=0, zorder=2)
    axes.plot([mean, mean], [row - 0.41, row + 0.41], color=INK, linewidth=2.2, solid_capstyle="round", zorder=3)
    text = "   ".join(f"{key} {100 * numbers[key]:.1f}" for key in ("mean", "std", "min") if key in numbers)
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
    axes.annotate(name, (-0.015, row), ha="right", color=colour, fontweight="bold", annotation_clip=False, **place)
    axes.annotate(text, (1.02, row), ha="left", color=INK, fontsize=9, annotation_clip=False, **place)


def _dress(axes: Axes, names: list[str], title: str, note: str) -> None:
    low, high = axes.dataLim.intervalx
    pad = max(2.0, 0.04 * (high - low))
    axes.set_xlim(max(low - pad, -1.0), min(high + pad, 101.0))
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_yticks([])
    axes.set_xlabel("accuracy (%)", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", color=INK, fontweight="bold", fontsize=11, pad=22 if note else 8)
    if note:
        axes.annotate(
            note, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", color="#555555"
        )


def _colour(name: str, row: int) -> str:
    return COLOURS.get(name, MORE_COLOURS[row % len(MORE_COLOURS)])


def save(figure: Figure, path: Path, kind: str) -> Path:
    """Write a figure as ``png``, ``svg`` or ``pdf``, without the time, so that the same figure is the same file."""
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {"Software": None})
    with atomic_path(path) as partial:
        figure.savefig(partial, format=kind, dpi=160, facecolor="white", metadata=metadata)
    return path
