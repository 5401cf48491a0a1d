"""Methods side by side on one task, resumable, and the demo."""

from __future__ import annotations

from paft.experiments.demo import run_demo
from paft.experiments.methods import METHODS, Record, Setup, run_method

__all__ = ["METHODS", "Record", "Setup", "run_demo", "run_method"]
