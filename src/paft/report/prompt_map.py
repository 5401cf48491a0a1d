"""A map of a prompt set: alike templates lie near each other, coloured by source, marked by side."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paft.errors import InputError
from paft.prompts import Prompt
from paft.prompts.mmd import spectrum_kernel
from paft.prompts.origin import FIELDS, UNKNOWN, origin
from paft.report.plots import FAINT, INK, STYLE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("png", "svg", "pdf")
# ten colours of Petroff (arXiv 2107.02270) for scatter plots, in an order that sets the greys apart
COLOURS = (
    "#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#717581", "#92dadd", "#a96b59", "#e76300", "#b9ac70", "#94a4a2",
)  # fmt: skip
OTHER = "#222222"
PREFERRED = ("voice", "model", "provider", "strategy", "kind")
SMALL, LARGE = 200, 1000  # numbers of prompts between which points shrink
EDGE = 0.8  # width of the line around the marks of test prompts
EXTRA = 10  # directions that are followed besides the two that are wanted
PRECISION, STEPS = 1e-10, 500


def plot_prompt_map(
    prompts: Sequence[Prompt], path: str | os.PathLike[str], field: str | None = None, title: str = "Prompts by wording"
) -> Path:
    """Draw the prompts in two dimensions, one point each.

    Args:
        prompts: any prompts; where ``split`` says train or test, those of the test side are drawn as diamonds.
        path: ends in ``.png``, ``.svg`` or ``.pdf``.
        field: source field to colour by: kind, provider, model, voice or strategy. By default the first of
            voice, model, provider, strategy and kind with more than one value.

    Raises:
        InputError: no prompts, another suffix, or another field.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise InputError(f"{path}: a picture is written as {', '.join('.' + k for k in KINDS)}; give such a name")
    if not prompts:
        raise InputError("a map needs at least one prompt, found none")
    if field is not None and field not in FIELDS:
        raise InputError(f"unknown source field {field!r}; expected one of {', '.join(FIELDS)}")
    points, shares = coordinates(prompts)
    with rc_context(STYLE):
        figure = Figure(figsize=_size(points), layout="constrained")
        axes = figure.add_subplot()
        _draw(figure, axes, prompts, points, field or _field(prompts))
        _dress(axes, shares, title)
        return save(figure, path, kind)


def coordinates(prompts: Sequence[Prompt]) -> tuple[np.ndarray, np.ndarray]:
    """Classical scaling of the prompts by the kernel of ``paft.prompts.mmd``.

    Returns:
        Points ``[n, 2]`` and the share of the whole variance along each of the two axes. Distances in the plane
        are at most those of the kernel. On each axis the point furthest out lies on the positive side.
    """
    kernel = spectrum_kernel(prompts)
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1, keepdims=True)
    values, vectors = _largest(kernel, 2)
    values[values < PRECISION] = 0.0  # what is left of prompts that are all alike
    points = vectors * np.sqrt(values)
    furthest = np.abs(points.round(12)).argmax(axis=0)
    points *= np.where(points[furthest, range(2)] < 0, -1.0, 1.0)
    whole = np.trace(kernel)
    return points, values / whole if whole > PRECISION else np.zeros(2)


def _largest(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues of a positive semi-definite matrix and their vectors, by subspace iteration.

    Always from the same start; missing ones, of a matrix smaller than ``count``, are zeros.
    """
    size = len(matrix)
    width = min(size, count + EXTRA)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((size, width)))[0]
    before = np.zeros(width)
    for _ in range(STEPS):
        image = matrix @ basis
        values, turn = np.linalg.eigh(basis.T @ image)
        if np.abs(values - before).max() <= PRECISION * max(values[-1], PRECISION):
            break
        before = values
        basis = np.linalg.qr(image)[0]
    vectors = basis @ turn
    kept = min(count, width)
    found = np.zeros(count), np.zeros((size, count))
    found[0][:kept], found[1][:, :kept] = values[::-1][:kept], vectors[:, ::-1][:, :kept]
    return found


def _field(prompts: Sequence[Prompt]) -> str:
    """The source field that tells these prompts apart."""
    values = {name: {origin(prompt).get(name) for prompt in prompts} for name in PREFERRED}
    return next((name for name in PREFERRED if len(values[name]) > 1), PREFERRED[-1])


def _draw(figure: Figure, axes: Axes, prompts: Sequence[Prompt], points: np.ndarray, field: str) -> None:
    """The points, source by source, the commonest first; and the two legends."""
    names = [origin(prompt).get(field, UNKNOWN) for prompt in prompts]
    counts = Counter(names)
    known = sorted((name for name in counts if name != UNKNOWN), key=lambda name: (-counts[name], name))
    colours = dict(zip(known, COLOURS, strict=False))
    test = np.array([prompt.split == "test" for prompt in prompts])
    split = bool(test.any() and not test.all())
    size = float(np.interp(len(prompts), (SMALL, LARGE), (26.0, 10.0)))
    across, up = points.T
    colour = np.array([colours.get(name, OTHER) for name in names])
    axes.scatter(across[~test], up[~test], s=size, c=colour[~test], alpha=0.8, linewidths=0, zorder=2, gid="train")
    edge: dict[str, Any] = {"edgecolors": INK, "linewidths": EDGE, "marker": "D"}
    axes.scatter(across[test], up[test], s=1.35 * size, c=colour[test], zorder=3, gid="test", **edge)
    rest = sum(counts.values()) - sum(counts[name] for name in colours)
    entries = [(f"{_short(name)} ({counts[name]})", shade) for name, shade in colours.items()]
    if rest:
        word = UNKNOWN if len(known) <= len(COLOURS) else "other"
        entries.append((f"{word} ({rest})", OTHER))
    _legend(figure, field, entries, (int((~test).sum()), int(test.sum())) if split else None)


def _legend(figure: Figure, field: str, entries: Sequence[tuple[str, str]], sides: tuple[int, int] | None) -> None:
    """What the colours mean, and below that what the marks mean where there are two sides; beside the picture."""
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"linestyle": "", "markeredgewidth": 0, "markersize": 6}
    handles = [Line2D([], [], marker="o", color=shade, label=label, **style) for label, shade in entries]
    if sides is not None:
        style["color"] = "#bbbbbb"
        handles.append(Line2D([], [], linestyle="", label=" "))
        handles.append(Line2D([], [], marker="o", label=f"train ({sides[0]})", **style))
        style |= {"markeredgewidth": EDGE, "markeredgecolor": INK}
        handles.append(Line2D([], [], marker="D", label=f"test ({sides[1]})", **style))
    place: dict[str, Any] = {"frameon": False, "alignment": "left", "fontsize": 9, "handletextpad": 0.2}
    legend = figure.legend(handles=handles, title=field, loc="outside right upper", **place)
    legend.get_title().set_fontweight("bold")


def _short(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"


def _size(points: np.ndarray) -> tuple[float, float]:
    """Inches; as high as the points need when both axes have one scale."""
    across, up = np.ptp(points, axis=0)
    return 7.6, float(np.clip(1.0 + 5.2 * up / max(across, PRECISION), 3.8, 5.6))


def _dress(axes: Axes, shares: np.ndarray, title: str) -> None:
    axes.set_xlabel(f"1st axis, {100 * shares[0]:.1f}% of the variance", color=INK)
    axes.set_ylabel(f"2nd axis, {100 * shares[1]:.1f}% of the variance", color=INK)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.spines["bottom"].set_visible(False)
    axes.margins(0.06)
    axes.set_title(title, loc="left", color=INK, fontweight="bold", fontsize=11)
