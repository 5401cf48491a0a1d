"""Mean and std against a setting: the number of training prompts (Figure 6), K and T, the size of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paft.experiments.axes import AXES, K, T
from paft.experiments.records import Record
from paft.report.comparison import Comparison
from paft.report.figures.words import label
from paft.report.plots import FAINT, GREY, INK, WIDTH, caption, colour
from paft.report.varied import Groups, Varied, setting, varied
from paft.report.verdict import PAFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP"
LINES = ("#009e73", "#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#000000")
APART = 0.045  # share of the axis by which lines at the same place stand apart
NEAR = 0.055  # share of the axis within which a second tick gets no label


@dataclass(frozen=True)
class Line:
    """The records of one line, by their place on the horizontal axis."""

    name: str
    colour: str
    points: Mapping[float, Sequence[Record]]


def trend_figure(comparison: Comparison, task: str, key: str) -> Figure | None:
    """Mean and std over unseen prompts against a setting, a line for each method that has it varied."""
    found = _widest(comparison, task, (key,))
    if found is None:
        return None
    lines = []
    for place, (method, groups) in enumerate(found.methods.items()):
        points = {values[0]: records for values, records in _placed(groups).items()}
        if len(points) > 1:
            lines.append(Line(label(method, 20), colour(method, place), points))
    if not lines:
        return None
    one_prompt = [] if "user" in {line.name for line in lines} else _user(comparison, task, found)
    axis = f"number of {AXES[key].label}" if AXES[key].counted else AXES[key].label
    return _figure(lines, one_prompt, axis, f"{label(task)}: mean and std against the {axis}", found)


def k_and_t_figure(comparison: Comparison, task: str) -> Figure | None:
    """Mean and std of ``paft`` over unseen prompts against K, a line for each T; Table 3 of arXiv 2502.12859."""
    found = _widest(comparison, task, (K, T), PAFT)
    groups = _placed(found.methods[PAFT]) if found else {}
    if found is None or len(groups) < 2:
        return None
    lines = []
    for place, epochs in enumerate(sorted({values[1] for values in groups})):
        points = {values[0]: records for values, records in groups.items() if values[1] == epochs}
        lines.append(Line(f"T = {epochs:g}", LINES[place % len(LINES)], points))
    return _figure(lines, [], AXES[K].label, f"{label(task)}: mean and std of paft by K and T", found)


def _widest(comparison: Comparison, task: str, keys: Sequence[str], only: str = "") -> Varied | None:
    return next(iter(varied(comparison, task, keys, only)), None)


def _placed(groups: Groups) -> Groups:
    """Those that have a place on a logarithmic axis."""
    return {
        values: group for values, group in groups.items() if all(isinstance(v, int | float) and v > 0 for v in values)
    }


def _user(comparison: Comparison, task: str, found: Varied) -> list[Record]:
    """The records of fine-tuning on one prompt that agree in all that does not vary."""
    records = [r for r in comparison.records if (r.task, r.method) == (task, "user")]
    return [r for r in records if all(setting(r, name) == value for name, value in found.rest.items())]


def _figure(lines: Sequence[Line], one_prompt: Sequence[Record], axis: str, title: str, found: Varied) -> Figure:
    """Two panels over one kind of axis: the mean at the left, the std at the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, number, word in zip(
        panels, ("mean", "std"), ("mean accuracy (%)", "std over prompts (points)"), strict=True
    ):
        _panel(axes, lines, one_prompt, number)
        axes.set_ylabel(word, color=INK)
        axes.set_xlabel(axis, color=INK)
    panels[1].set_ylim(bottom=0)
    if len(lines) > 1 or one_prompt:
        where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderaxespad": 0.2}
        panels[0].legend(frameon=False, ncols=3, fontsize=9, handlelength=1.8, columnspacing=1.2, **where)
    caption(figure, title, _note(lines, one_prompt, found.note))
    return figure


def _panel(axes: Axes, lines: Sequence[Line], one_prompt: Sequence[Record], number: str) -> None:
    """Each line with a point for its mean over seeds and a bar from the lowest to the highest seed."""
    from matplotlib.ticker import NullFormatter, NullLocator

    places = sorted({x for line in lines for x in line.points})
    span = np.log(places[-1] / places[0]) or 1.0
    for i, line in enumerate(lines):
        shift = np.exp(APART * 0.5 * span * (i - (len(lines) - 1) / 2))
        across = np.array(sorted(line.points)) * shift
        seeds = [_values(line.points[x], number) for x in sorted(line.points)]
        middle = [values.mean() for values in seeds]
        axes.vlines(across, [v.min() for v in seeds], [v.max() for v in seeds], color=line.colour, linewidth=1.2)
        marker: dict[str, Any] = {
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": 5.5,
            "label": line.name,
            "linewidth": 1.6,
        }
        axes.plot(across, middle, color=line.colour, zorder=3, **marker)
    if one_prompt:
        level = _values(one_prompt, number).mean()
        axes.axhline(level, color=colour("user"), linestyle=(0, (4, 3)), linewidth=1.4, label="user", zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(places[0] * np.exp(-0.07 * span), places[-1] * np.exp(0.07 * span))
    axes.set_xticks(places, _ticks(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(colors=INK, labelsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_color(GREY)


def _values(records: Sequence[Record], number: str) -> np.ndarray:
    """A number of each record's unseen sweep, in %; not a number where the record has none."""
    values = [record.unseen.numbers[number] for record in records]
    return 100 * np.array([np.nan if value is None else value for value in values], dtype=float)


def _ticks(places: Sequence[float]) -> list[str]:
    """The places as plain numbers; from the largest down, one that stands too near to its neighbour has none."""
    words, last = [], np.inf
    span = np.log(places[-1] / places[0]) or 1.0
    for place in reversed(places):
        free = np.log(last / place) / span > NEAR
        words.append(f"{place:g}" if place < 1e4 and free else f"{place / 1000:g}k" if free else "")
        last = place if free else last
    return words[::-1]


def _note(lines: Sequence[Line], one_prompt: Sequence[Record], context: str) -> str:
    groups = [records for line in lines for records in line.points.values()]
    counts = sorted({len(records) for records in groups})
    seeds = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    unseen = groups[0][0].unseen
    note = f"{len(unseen.prompt_ids)} unseen prompts x {len(unseen.example_ids)} examples. Point: mean over seeds"
    note += "; bar: lowest to highest seed." if counts[-1] > 1 else "."
    note += f" Seeds: {seeds}."
    if one_prompt:
        note += " Dashed: fine-tuned on one prompt."
    if context:
        note += f" All with {label(context, 120)}."
    return note
