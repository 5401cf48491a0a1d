"""The settings that an ablation may vary: how files, tables, figures and the page call them. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

K, T = "examples_per_prompt", "num_train_epochs"


@dataclass(frozen=True)
class Axis:
    """One setting.

    Attributes:
        short: in the names of files: the ``K`` of ``paft-K2-seed0``.
        label: over a column, and along an axis.
        figure: name of the figure of this setting alone; empty for K and T, which share one.
        nothing: what a value of None says.
        counted: the name, among what a record tells of its training, of what the run itself counted.
    """

    short: str
    label: str
    figure: str = ""
    nothing: str = "none"
    counted: str = ""


# in the order of tables and of the names of files
AXES: Mapping[str, Axis] = {
    K: Axis("K", "K, examples per prompt"),
    T: Axis("T", "T, epochs"),
    "train_prompts": Axis("prompts", "training prompts", "figure6", counted="prompts"),
    "limit": Axis("examples", "training examples", "data-size", "all", counted="examples"),
    "lora_r": Axis("r", "rank of LoRA", "lora-rank", "none (all weights)"),
    "learning_rate": Axis("lr", "learning rate", "learning-rate"),
}


def axis_label(key: str) -> str:
    """What tables, figures and the page call a setting; an unknown one by its own name."""
    return AXES[key].label if key in AXES else key
