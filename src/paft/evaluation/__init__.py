"""Measuring a model over many prompts: cells, scoring, sweep, statistics. Loaded lazily, since torch is slow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paft.evaluation.callback import SweepCallback
    from paft.evaluation.predicting import Prediction, predict
    from paft.evaluation.result import SweepResult
    from paft.evaluation.server import ServerModel
    from paft.evaluation.statistics import Interval, Summary, crossed_bootstrap, paired_difference, summarize
    from paft.evaluation.sweeping import sweep
    from paft.evaluation.vllm_model import VllmModel

_HOME = {
    "Interval": "statistics",
    "Prediction": "predicting",
    "ServerModel": "server",
    "Summary": "statistics",
    "SweepCallback": "callback",
    "SweepResult": "result",
    "VllmModel": "vllm_model",
    "crossed_bootstrap": "statistics",
    "paired_difference": "statistics",
    "predict": "predicting",
    "summarize": "statistics",
    "sweep": "sweeping",
}
__all__ = [
    "Interval",
    "Prediction",
    "ServerModel",
    "Summary",
    "SweepCallback",
    "SweepResult",
    "VllmModel",
    "crossed_bootstrap",
    "paired_difference",
    "predict",
    "summarize",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
