"""Methods side by side on one task, resumable, the demo, and the pick of one prompt."""

from __future__ import annotations

from paft.experiments.demo import run_demo
from paft.experiments.methods import METHODS, Record, Setup, run_method
from paft.experiments.select import Selected, load_selection, select_prompt

__all__ = ["METHODS", "Record", "Selected", "Setup", "load_selection", "run_demo", "run_method", "select_prompt"]
