"""Training: the plan, the batches made from it, the trainer that follows it, and ``train()`` around them."""

from __future__ import annotations

from paft.training.config import PaftConfig
from paft.training.merge import merge
from paft.training.plan import EpochPlan, make_plan, read_plan, write_plan
from paft.training.run import TrainResult, train
from paft.training.trainer import PaftTrainer

__all__ = [
    "EpochPlan",
    "PaftConfig",
    "PaftTrainer",
    "TrainResult",
    "make_plan",
    "merge",
    "read_plan",
    "train",
    "write_plan",
]
