"""Several GPUs and machines: what is set up otherwise where a run is shared, and where its model is sharded."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch

from paft.training.config import PaftConfig

logger = logging.getLogger(__name__)
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def sharding(args: PaftConfig) -> str | None:
    """Who is asked to shard the model, by the arguments or by ``accelerate launch``: FSDP, DeepSpeed, or nobody."""

    def launched(name: str) -> bool:
        return os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() in ("1", "true")

    if args.deepspeed or launched("DEEPSPEED"):
        return "DeepSpeed"
    return "FSDP" if args.fsdp or launched("FSDP") else None


def look_for_unused(args: PaftConfig, model: Any) -> None:
    """Let DDP look for weights without a gradient only where there may be some: it walks the graph in every step."""
    configs = (model.config, model.config.get_text_config())
    mixture = any(getattr(config, name, None) for config in configs for name in EXPERTS)
    if args.ddp_find_unused_parameters is None and not mixture:
        args.ddp_find_unused_parameters = False


def ask_for_whole_models(args: PaftConfig) -> None:
    """Have DeepSpeed's ZeRO 3 gather the weights whenever it saves; else it leaves files of its own and no model."""
    plugin = args.deepspeed_plugin
    if plugin is not None and plugin.hf_ds_config.is_zero3():
        plugin.hf_ds_config.config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True


def numel(weight: torch.Tensor) -> int:
    """Numbers in a weight, where ZeRO 3 keeps it in parts too."""
    return getattr(weight, "ds_numel", weight.numel())


def warn_if_whole(args: PaftConfig, sharded: bool) -> None:
    """Say so where the model was to be sharded and is not."""
    asked = sharding(args)
    if asked and not sharded and args.process_index == 0:
        logger.warning("accelerate starts no %s here, as on a CPU: each process holds the whole model", asked)


def gather_whole(accelerator: Any) -> None:
    """What FSDP saves from here on is the whole model, however its checkpoints are cut."""
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is not None:
        plugin.set_state_dict_type("FULL_STATE_DICT")
