"""Models as several processes hold them: the same in each, on a device of its own, or parted."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from paft.errors import InputError
from paft.processes import current, several


def whole(model: nn.Module) -> nn.Module:
    """The model itself, out of what makes processes train together.

    Raises:
        InputError: its weights are parted over processes, so that one cannot run it without the others.
    """
    while isinstance(model, DistributedDataParallel):
        model = model.module
    how = _parted(model) if several() else None
    if how is not None:
        raise InputError(
            f"the weights of this model are parted over {dist.get_world_size()} processes ({how}), so that none can "
            "sweep its share alone\nsave the model and sweep it from its folder"
        )
    return model


def own_device(device: str) -> str:
    """Where this process's model goes: with several processes, ``auto`` and ``cuda`` are a GPU for each."""
    if current().world == 1 or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    place = int(os.environ.get("LOCAL_RANK", current().rank)) % torch.cuda.device_count()
    torch.cuda.set_device(place)  # kernels that are written for "the" GPU take this one
    return f"cuda:{place}"


def _parted(model: nn.Module) -> str | None:
    from accelerate.state import AcceleratorState, DistributedType
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    # a model that is wholly within one FSDP unit does not show it
    trained = AcceleratorState._shared_state.get("distributed_type")
    if trained == DistributedType.FSDP or any(
        isinstance(part, FSDPModule | FullyShardedDataParallel) for part in model.modules()
    ):
        return "FSDP"
    for weight in model.parameters():
        if hasattr(weight, "ds_id"):
            return "DeepSpeed ZeRO-3"
        if isinstance(weight, DTensor):
            return "tensor parallelism"
    return None
