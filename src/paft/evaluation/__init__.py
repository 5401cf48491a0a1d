"""Measuring a model over many prompts: cells, backends, sweep, statistics. Loaded lazily, since torch is slow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paft.evaluation.backend import Backend, Work
    from paft.evaluation.callback import SweepCallback
    from paft.evaluation.cells import Cell, CellStore, refuse_other_work
    from paft.evaluation.dating import settled_date
    from paft.evaluation.fitting import examples_that_fit, refuse_unjudgeable, refuse_unmeasurable
    from paft.evaluation.identity import examples_digest, prompts_digest
    from paft.evaluation.local.backend import LocalBackend, open_here
    from paft.evaluation.local.forward import evaluating
    from paft.evaluation.local.loading import Model
    from paft.evaluation.options import Options
    from paft.evaluation.pairs import Pair
    from paft.evaluation.predicting import Prediction, predict
    from paft.evaluation.progress import bar
    from paft.evaluation.results.result import SweepResult
    from paft.evaluation.results.statistics import Interval, Summary, crossed_bootstrap, paired_difference, summarize
    from paft.evaluation.server.model import ServerModel
    from paft.evaluation.sweeping import sweep
    from paft.evaluation.vllm.model import VllmModel

_HOME = {
    "Backend": "backend",
    "Cell": "cells",
    "CellStore": "cells",
    "Interval": "results.statistics",
    "LocalBackend": "local.backend",
    "Model": "local.loading",
    "Options": "options",
    "Pair": "pairs",
    "Prediction": "predicting",
    "ServerModel": "server.model",
    "Summary": "results.statistics",
    "SweepCallback": "callback",
    "SweepResult": "results.result",
    "VllmModel": "vllm.model",
    "Work": "backend",
    "bar": "progress",
    "crossed_bootstrap": "results.statistics",
    "evaluating": "local.forward",
    "examples_digest": "identity",
    "examples_that_fit": "fitting",
    "open_here": "local.backend",
    "paired_difference": "results.statistics",
    "predict": "predicting",
    "prompts_digest": "identity",
    "refuse_other_work": "cells",
    "refuse_unjudgeable": "fitting",
    "refuse_unmeasurable": "fitting",
    "settled_date": "dating",
    "summarize": "results.statistics",
    "sweep": "sweeping",
}
__all__ = [
    "Backend",
    "Cell",
    "CellStore",
    "Interval",
    "LocalBackend",
    "Model",
    "Options",
    "Pair",
    "Prediction",
    "ServerModel",
    "Summary",
    "SweepCallback",
    "SweepResult",
    "VllmModel",
    "Work",
    "bar",
    "crossed_bootstrap",
    "evaluating",
    "examples_digest",
    "examples_that_fit",
    "open_here",
    "paired_difference",
    "predict",
    "prompts_digest",
    "refuse_other_work",
    "refuse_unjudgeable",
    "refuse_unmeasurable",
    "settled_date",
    "summarize",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
