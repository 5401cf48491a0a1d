"""Figure 1: two prompts that are worded almost alike, and the accuracy of each method under both."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from paft.report.comparison import Comparison
from paft.report.figures.words import BREAK, Segment, label, shorten, width, wrap
from paft.report.pairs import CLOSEST, FEW, NearestPair, nearest_pair
from paft.report.plots import GREY, INK, WIDTH, WRAP, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = ("base", "user", "paft")
INCH = 72.0
MONO = 9.0  # points; a cell of DejaVu Sans Mono is 0.602 of it
CELL, LEADING = 0.602 * MONO / INCH, 1.45 * MONO / INCH  # inches
LEFT, TAG = 0.12, 0.34  # inches: the margin, and the room for the letter before a prompt
LINES = 9  # of a prompt
MARKS = ("#cfe8df", "#fbd9c5")  # behind the words that differ, in the first and in the second prompt
BAR, GAP, HEAD, FOOT = 0.17, 0.16, 0.45, 0.8  # inches


def pair_figure(comparison: Comparison, task: str) -> Figure | None:
    """The two prompts with the words that differ marked, and under them two bars for each method."""
    from matplotlib.figure import Figure

    pair = nearest_pair(comparison, task)
    if pair is None:
        return None
    methods = [name for name in METHODS if name in pair.accuracies]
    cells = int((WIDTH - LEFT - TAG - 0.15) / CELL)
    texts = [wrap(shorten(pieces), cells, LINES) for pieces in pair.pieces]
    prompts = sum(len(lines) for lines in texts) * LEADING + 2 * GAP
    bars = len(methods) * (2 * BAR + GAP)
    height = HEAD + prompts + bars + FOOT
    figure = Figure(figsize=(WIDTH, height))
    put: dict[str, Any] = {"va": "top", "ha": "left"}
    figure.text(LEFT / WIDTH, 1 - 0.12 / height, f"{label(task)}: {_title(pair)}", color=INK, **put, **_BOLD)
    down = HEAD
    for letter, lines, mark in zip("AB", texts, MARKS, strict=True):
        _prompt(figure, letter, lines, mark, down)
        down += len(lines) * LEADING + GAP
    axes = figure.add_axes((1.05 / WIDTH, FOOT / height, (WIDTH - 2.1) / WIDTH, bars / height))
    _bars(axes, pair, methods)
    note = fill(_note(comparison, task, pair), WRAP, break_on_hyphens=False)
    figure.text(LEFT / WIDTH, 0.08 / height, note, color=GREY, fontsize=8, va="bottom", ha="left")
    return figure


_BOLD: dict[str, Any] = {"fontweight": "bold", "fontsize": 11}


def _title(pair: NearestPair) -> str:
    if not pair.near:
        return f"two of the most similar prompts ({100 * pair.similarity:.0f} % alike)"
    return "two prompts, one word apart" if pair.words == 1 else f"two prompts, {pair.words} words apart"


def _note(comparison: Comparison, task: str, pair: NearestPair) -> str:
    measured = comparison.methods(task)[pair.judge][0].unseen
    chosen = f"those at most {FEW} words apart" if pair.near else f"the {CLOSEST} most similar"
    return (
        f"Coloured: what the other prompt lacks. Accuracies over {len(measured.example_ids)} examples, means over "
        f"seeds. Chosen from {pair.pairs} pairs of prompts: of {chosen}, the pair that differs most under {pair.judge}."
    )


def _prompt(figure: Figure, letter: str, lines: Sequence[Sequence[Segment]], mark: str, down: float) -> None:
    """A prompt from ``down`` inches below the top: its letter, then its lines, changed words on a colour."""
    from matplotlib.patches import Rectangle

    wide, high = figure.get_size_inches()
    put: dict[str, Any] = {"va": "baseline", "ha": "left"}
    for number, line in enumerate(lines):
        base = high - down - (number + 0.75) * LEADING
        if number == 0:
            figure.text(LEFT / wide, base / high, letter, color=INK, **_BOLD, **put)
        for segment in line:
            left = LEFT + TAG + segment.start * CELL
            if segment.changed:
                box = (left / wide, (base - 0.27 * LEADING) / high), width(segment.text) * CELL / wide, LEADING / high
                figure.add_artist(Rectangle(*box, color=mark, linewidth=0, zorder=0))
            shade = GREY if segment.text == BREAK else INK
            figure.text(left / wide, base / high, segment.text, color=shade, family="monospace", fontsize=MONO, **put)


def _bars(axes: Axes, pair: NearestPair, methods: Sequence[str]) -> None:
    """Two bars for each method, from nothing to 100 %, and at the right what they differ by."""
    step = 2 * BAR + GAP
    for place, name in enumerate(methods):
        top = place * step + GAP / 2
        for number, accuracy in enumerate(pair.accuracies[name]):
            middle = top + (number + 0.5) * BAR
            axes.barh(middle, 100 * accuracy, 0.9 * BAR, color=colour(name), alpha=1.0 - 0.45 * number)
            axes.annotate("AB"[number], (0, middle), (-7, 0), color=GREY, fontsize=8, **_AT, ha="center")
            axes.annotate(f"{100 * accuracy:.1f}", (100 * accuracy, middle), (3, 0), color=INK, fontsize=8.5, **_AT)
        look: dict[str, Any] = {"va": "center", "xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(name, (0, top + BAR), (-18, 0), ha="right", color=INK, fontweight="bold", **look)
        gap = 100 * (pair.accuracies[name][1] - pair.accuracies[name][0])
        axes.annotate(f"{gap:+.1f}".replace("-", "−"), (1, top + BAR), (56, 0), ha="right", color=INK, **look)
    head: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    axes.annotate("B − A", (1, 1), (56, 2), ha="right", va="bottom", color=GREY, fontsize=8.5, **head)
    axes.set_xlim(0, 100)
    axes.set_ylim(len(methods) * step, 0)
    axes.set_yticks([])
    axes.set_xticks(range(0, 101, 20))
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_xlabel("accuracy (%)", color=INK, fontsize=9, labelpad=1)


_AT: dict[str, Any] = {"va": "center", "textcoords": "offset points"}
