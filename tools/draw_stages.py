"""Draw the picture of the two stages of PAFT that stands in the README.

The ground is transparent and all words but the captions stand in boxes of their own colour, so that the
picture reads alike on light and on dark pages.

    python tools/draw_stages.py docs/images/paft.svg
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

INK, PAPER, CAPTION = "#1f2328", "#ffffff", "#7d8590"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PALE_BLUE, PALE_ORANGE, PALE_GREEN, PALE = "#dcebf7", "#fbe6d8", "#d8f0e6", "#eef1f4"
WIDTH, HEIGHT = 1000, 452
STYLE: dict[Any, Any] = {"font.family": "sans-serif", "svg.hashsalt": "paft", "svg.fonttype": "path"}
WORDINGS = ("Question: {text}\nAnswer type:", "“{text}” asks for\nwhat? One word:", "{text}\n→ label:")
BLOCKS = (("Question: {text} …", 1), ("{text} → label:", 5), ("“{text}” asks …", 9))


def box(axes: Axes, x: float, y: float, width: float, height: float, fill: str, edge: str = "none") -> None:
    """A box with round corners; ``x, y`` is its lower left corner."""
    shape = FancyBboxPatch(
        (x + 8, y + 8), width - 16, height - 16, boxstyle="round,pad=8,rounding_size=9", facecolor=fill, edgecolor=edge
    )
    axes.add_patch(shape)


def write(axes: Axes, x: float, y: float, text: str, size: float = 10, **more: Any) -> None:
    """Text with its middle at ``x, y`` unless told otherwise."""
    axes.text(x, y, text, **{"fontsize": size, "color": INK, "ha": "center", "va": "center", **more})


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = CAPTION) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, linewidth=1.6, color=colour))


def first_stage(axes: Axes) -> None:
    """Many wordings, checked and parted."""
    heading(axes, 0, 405, "1", "Build prompts", "many wordings of one task, by several LLMs and by people")
    for row, text in enumerate(WORDINGS):
        y = 318 - 66 * row
        box(axes, 4, y, 186, 54, PAPER, "#c4ccd4")
        write(axes, 18, y + 27, text, 9, ha="left", family="monospace")
    write(axes, 97, 172, "⋮", 15, color=CAPTION)
    arrow(axes, (196, 275), (222, 275))
    box(axes, 226, 236, 92, 78, PALE)
    write(axes, 272, 275, "check\nand split", 10)
    arrow(axes, (322, 290), (350, 318), BLUE)
    arrow(axes, (322, 260), (350, 232), ORANGE)
    box(axes, 354, 292, 88, 56, PALE_BLUE)
    write(axes, 398, 320, "training\nprompts", 10, color=BLUE, fontweight="bold")
    box(axes, 354, 202, 88, 56, PALE_ORANGE)
    write(axes, 398, 230, "unseen\nprompts", 10, color=ORANGE, fontweight="bold")
    write(axes, 398, 275, "no near-copies across", 8, color=CAPTION)


def second_stage(axes: Axes) -> None:
    """The stream of examples with a prompt drawn for every few of them, and the sweep."""
    heading(
        axes, 490, 405, "2", "Train while the prompt changes", "drawn anew after every K examples, and in every epoch"
    )
    arrow(axes, (446, 320), (488, 320), BLUE)
    for block, (prompt, first) in enumerate(BLOCKS):
        x = 494 + 168 * block
        box(axes, x, 300, 158, 40, PALE_BLUE, BLUE)
        write(axes, x + 79, 320, prompt, 9, family="monospace", color=INK)
        for place in range(4):
            left = x + 1 + 40 * place
            box(axes, left, 246, 36, 36, PALE)
            write(axes, left + 18, 264, f"$x_{{{first + place}}}$", 10)
        axes.plot([x + 4, x + 4, x + 154, x + 154], [288, 293, 293, 288], color=BLUE, linewidth=1.3)
    arrow(axes, (744, 240), (744, 212))
    box(axes, 572, 160, 344, 48, PALE_GREEN, GREEN)
    write(axes, 744, 184, "fine-tune: loss on the answer alone", 10.5, color=INK)


def sweep_row(axes: Axes) -> None:
    """What comes out: accuracy under each unseen prompt, before and after."""
    axes.plot([398, 398], [198, 84], color=ORANGE, linewidth=1.6)
    arrow(axes, (398, 84), (486, 84), ORANGE)
    arrow(axes, (744, 156), (744, 132), GREEN)
    box(axes, 490, 6, 508, 122, PAPER, "#c4ccd4")
    write(axes, 508, 112, "sweep: accuracy under every unseen prompt (a sketch)", 9.5, ha="left", fontweight="bold")
    rng = np.random.default_rng(4)
    rows = ((76, "one prompt", ORANGE, rng.normal(0.5, 0.19, 26)), (36, "PAFT", GREEN, rng.normal(0.84, 0.045, 26)))
    for y, name, colour, values in rows:
        axes.plot([610, 980], [y, y], color="#d9dee3", linewidth=1)
        write(axes, 508, y, name, 9.5, ha="left", color=colour, fontweight="bold")
        for value in np.clip(values, 0.04, 0.97):
            axes.add_patch(Circle((610 + 370 * value, y + rng.uniform(-9, 9)), 4, color=colour, alpha=0.7, linewidth=0))
    write(axes, 610, 15, "low", 8, ha="left", color="#59636e")
    write(axes, 980, 15, "high", 8, ha="right", color="#59636e")


def heading(axes: Axes, x: float, y: float, number: str, title: str, caption: str) -> None:
    box(axes, x, y - 4, 36, 36, BLUE)
    write(axes, x + 18, y + 13, number, 13, color=PAPER, fontweight="bold")
    write(axes, x + 46, y + 22, title, 12.5, ha="left", color=CAPTION, fontweight="bold")
    write(axes, x + 46, y + 3, caption, 9.5, ha="left", color=CAPTION)


def draw() -> Figure:
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(-2, WIDTH + 2)
        axes.set_ylim(0, HEIGHT)
        axes.set_aspect("equal")
        axes.axis("off")
        first_stage(axes)
        second_stage(axes)
        sweep_row(axes)
    return figure


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tools/draw_stages.py FILE.svg")
    path = Path(sys.argv[1])
    with rc_context(STYLE):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        draw().savefig(path, transparent=True, dpi=150, metadata=metadata)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
