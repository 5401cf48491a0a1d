"""Methods side by side on one task or several, resumable; the demo; and the pick of one prompt."""

from __future__ import annotations

from paft.experiments.compare import Compared, Event, compare
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
