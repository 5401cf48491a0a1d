"""Methods side by side on one task or several, resumable; the demo; and the pick of one prompt.

The names are loaded when first used, so that a report, which reads records alone, needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paft.experiments.comparing import Compared, Event, compare
    from paft.experiments.demo import run_demo
    from paft.experiments.grid import Ablation, Grid, Sweeping
    from paft.experiments.records import METHODS, Measured, Record, load_records
    from paft.experiments.select import Selected, load_selection, select_prompt

__all__ = [
    "METHODS",
    "Ablation",
    "Compared",
    "Event",
    "Grid",
    "Measured",
    "Record",
    "Selected",
    "Sweeping",
    "compare",
    "load_records",
    "load_selection",
    "run_demo",
    "select_prompt",
]

_PARTS = {
    "paft.experiments.comparing": ("Compared", "Event", "compare"),
    "paft.experiments.demo": ("run_demo",),
    "paft.experiments.grid": ("Ablation", "Grid", "Sweeping"),
    "paft.experiments.records": ("METHODS", "Measured", "Record", "load_records"),
    "paft.experiments.select": ("Selected", "load_selection", "select_prompt"),
}
_HOME = {name: part for part, names in _PARTS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
