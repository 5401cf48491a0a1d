"""Mean and std against a setting: the number of training prompts (Figure 6), K and T, the size of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paft.experiments.records import METHODS, Record
from paft.report.comparison import Comparison
from paft.report.figures.words import label
from paft.report.plots import FAINT, GREY, INK, WIDTH, caption, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

K, T = "examples_per_prompt", "num_train_epochs"
MARKERS = "osD^vP"
LINES = ("#009e73", "#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#000000")
APART = 0.045  # share of the axis by which lines at the same place stand apart
NEAR = 0.055  # share of the axis within which a second tick gets no label


@dataclass(frozen=True)
class Setting:
    """A setting on the horizontal axis: its key in a variant, the name of the figure, and what the axis says."""

    key: str
    name: str
    axis: str


SETTINGS = (
    Setting("train_prompts", "figure6", "number of training prompts"),
    Setting("limit", "data-size", "number of training examples"),
    Setting("lora_r", "lora-rank", "LoRA rank"),
    Setting("learning_rate", "learning-rate", "learning rate"),
)
EXACT = {"train_prompts": "prompts", "limit": "examples"}  # what the run itself counted, where the setting is open


@dataclass(frozen=True)
class Line:
    """The records of one line, by their place on the horizontal axis."""

    name: str
    colour: str
    points: Mapping[float, Sequence[Record]]


def trend_figure(comparison: Comparison, task: str, setting: Setting) -> Figure | None:
    """Mean and std over unseen prompts against a setting, a line for each method that has it varied."""
    context, found = _varied(comparison, task, (setting.key,))
    lines = []
    for place, (method, groups) in enumerate(found.items()):
        points = {values[0]: records for values, records in groups.items()}
        if len(points) > 1:
            lines.append(Line(label(method, 20), colour(method, place), points))
    if not lines:
        return None
    drawn = {line.name for line in lines}
    one_prompt = [] if "user" in drawn else [r for r in _of(comparison, task, "user") if dict(r.variant) == context]
    title = f"{label(task)}: mean and std against the {setting.axis}"
    return _figure(lines, one_prompt, setting.axis, title, context)


def k_and_t_figure(comparison: Comparison, task: str) -> Figure | None:
    """Mean and std of ``paft`` over unseen prompts against K, a line for each T; Table 3 of arXiv 2502.12859."""
    context, found = _varied(comparison, task, (K, T))
    groups = found.get("paft", {})
    if len(groups) < 2:
        return None
    lines = []
    for place, epochs in enumerate(sorted({values[1] for values in groups})):
        points = {values[0]: records for values, records in groups.items() if values[1] == epochs}
        lines.append(Line(f"T = {epochs:g}", LINES[place % len(LINES)], points))
    title = f"{label(task)}: mean and std of paft by K and T"
    return _figure(lines, [], "K, examples per prompt", title, context)


Groups = dict[tuple[float, ...], list[Record]]


def _varied(comparison: Comparison, task: str, keys: Sequence[str]) -> tuple[dict[str, Any], dict[str, Groups]]:
    """The variants in which ``keys`` vary and all else is alike, with the records they vary from.

    Where there are several such sets (other variants beside), the one with most values is taken.

    Returns:
        What the records share beside the comparison's own settings, and method -> values of ``keys`` -> records.
    """
    contexts: dict[str, dict[str, Any]] = {}
    for record in comparison.variants(task):
        if set(keys) & set(record.variant):
            rest = {k: v for k, v in sorted(record.variant.items()) if k not in keys}
            contexts[repr(rest)] = rest
    choices = [(rest, _groups(comparison, task, keys, rest)) for _, rest in sorted(contexts.items())]
    if not choices:
        return {}, {}
    return min(choices, key=lambda c: (-max((len(g) for g in c[1].values()), default=0), len(c[0])))


def _groups(comparison: Comparison, task: str, keys: Sequence[str], context: Mapping[str, Any]) -> dict[str, Groups]:
    found: dict[str, Groups] = {}
    for record in comparison.records:
        rest = {k: v for k, v in record.variant.items() if k not in keys}
        if record.task != task or record.method == "base" or rest != context:
            continue
        values = [_value(record, key) for key in keys]
        known = tuple(value for value in values if value is not None and value > 0)
        if len(known) == len(keys):
            found.setdefault(record.method, {}).setdefault(known, []).append(record)
    order = [*METHODS, *sorted(set(found) - set(METHODS))]
    return {method: dict(sorted(found[method].items())) for method in order if method in found}


def _value(record: Record, key: str) -> float | None:
    counted = (record.training or {}).get(EXACT.get(key, ""))
    for value in (record.variant.get(key), record.settings.get(key), counted):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _of(comparison: Comparison, task: str, method: str) -> list[Record]:
    return [r for r in comparison.records if (r.task, r.method) == (task, method)]


def _figure(
    lines: Sequence[Line], one_prompt: Sequence[Record], axis: str, title: str, context: Mapping[str, Any]
) -> Figure:
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
    caption(figure, title, _note(lines, one_prompt, context))
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


def _note(lines: Sequence[Line], one_prompt: Sequence[Record], context: Mapping[str, Any]) -> str:
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
        note += f" All with {label(', '.join(f'{k} {v}' for k, v in context.items()), 120)}."
    return note
