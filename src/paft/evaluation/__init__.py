"""Measuring a model over many prompts: cells, scoring, sweep, statistics. Loaded lazily, since torch is slow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paft.evaluation.callback import SweepCallback
    from paft.evaluation.predicting import Prediction, predict
    from paft.evaluation.results.result import SweepResult
    from paft.evaluation.results.statistics import Interval, Summary, crossed_bootstrap, paired_difference, summarize
    from paft.evaluation.server.model import ServerModel
    from paft.evaluation.sweeping import sweep
    from paft.evaluation.vllm.model import VllmModel

_HOME = {
    "Interval": "results.statistics",
    "Prediction": "predicting",
    "ServerModel": "server.model",
    "Summary": "results.statistics",
    "SweepCallback": "callback",
    "SweepResult": "results.result",
    "VllmModel": "vllm.model",
    "crossed_bootstrap": "results.statistics",
    "paired_difference": "results.statistics",
    "predict": "predicting",
    "summarize": "results.statistics",
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
