"""The figures of a comparison, drawn from its records; numbered as in arXiv 2502.12859 where that has the like.

| name | shows | needs |
|---|---|---|
| figure1 | two prompts a few words apart and their accuracies | texts; ``user`` or ``base`` |
| figure3 | ``base`` and ``user`` over training prompts and unseen ones | a sweep over training prompts |
| figure4 | ``base``, ``user`` and ``paft`` over unseen prompts | two of them |
| figure5 | the three selected prompts, ``user`` and ``paft`` | a method that selects a prompt |
| figure6 | mean and std against the number of training prompts | variants of ``train_prompts`` |
| methods, hostile | every method over unseen and over hostile prompts | the sweep |
| k-and-t | mean and std against K, a line for each T | variants of ``examples_per_prompt``, ``num_train_epochs`` |
| data-size, lora-rank, learning-rate | mean and std against that setting | variants of it |
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from paft.errors import InputError
from paft.experiments.axes import AXES
from paft.report.comparison import Comparison
from paft.report.figures.pair import pair_figure
from paft.report.figures.spread import spread_figure, training_figure
from paft.report.figures.trend import k_and_t_figure, trend_figure
from paft.report.plots import STYLE, save_kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "draw_figures"]

KINDS = ("png", "svg", "pdf")
SELECTED = ("top-accuracy", "batprompt", "zopo")

# name -> draws it for a task, or returns None where the records do not hold what it shows
FIGURES: dict[str, Callable[[Comparison, str], Figure | None]] = {
    "figure1": pair_figure,
    "figure3": training_figure,
    "figure4": partial(spread_figure, methods=("base", "user", "paft")),
    "figure5": partial(spread_figure, methods=("top-accuracy", "user", "batprompt", "zopo", "paft"), needs=SELECTED),
    "methods": spread_figure,
    "hostile": partial(spread_figure, sweep="hostile"),
    "k-and-t": k_and_t_figure,
    **{axis.figure: partial(trend_figure, key=key) for key, axis in AXES.items() if axis.figure},
}


def draw_figures(comparison: Comparison, folder: Path, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Draw every figure that the records of each task allow, as ``FOLDER/<figure>-<task>.<kind>``.

    A figure whose data is not there is left out. The same records give the same files.

    Args:
        kinds: of ``png``, ``svg`` and ``pdf``.

    Returns:
        The files written, task by task.

    Raises:
        InputError: another kind, or none.
        DataError: sweeps of one name over other prompts or examples.
        OutputError: the folder cannot be written.
    """
    from matplotlib import rc_context

    if not kinds or not set(kinds) <= set(KINDS):
        raise InputError(f"a figure is drawn as {', '.join(KINDS)}; found {', '.join(map(repr, kinds)) or 'none'}")
    written = []
    with rc_context(STYLE), warnings.catch_warnings():
        # a prompt may be in a script that no font here has: boxes are drawn, which is no reason to complain
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        for task, stem in _stems(comparison.tasks):
            for name, draw in FIGURES.items():
                figure = draw(comparison, task)
                if figure is not None:
                    written += save_kinds(figure, Path(folder) / f"{name}-{stem}", kinds)
    return written


def _stems(tasks: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each task with what stands for it in a file's name; two tasks never share one."""
    taken: set[str] = set()
    for task in tasks:
        plain = re.sub(r"[^\w.-]+", "-", task).strip("-.")[:60] or "task"
        stem, number = plain, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.lower())
        yield task, stem
