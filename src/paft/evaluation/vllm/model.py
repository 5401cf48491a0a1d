"""A model that vLLM runs on this machine's GPUs."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paft.errors import InputError

# what the sweep settles itself, and the flag that sets it where there is one
OURS = {
    "model": "--model",
    "tokenizer": "--model",
    "dtype": "--dtype",
    "max_model_len": "--max-length",
    "trust_remote_code": "--trust-remote-code",
    "tensor_parallel_size": "--tensor-parallel",
    "gpu_memory_utilization": "--gpu-memory",
    "enable_lora": "--adapter",
    "max_lora_rank": "--adapter",
    "max_loras": "--adapter",
    "seed": None,
    "generation_config": None,
    "logprobs_mode": None,
    "runner": None,
    "convert": None,
    "skip_tokenizer_init": None,
    "speculative_config": None,
}


@dataclass
class VllmModel:
    """What ``sweep`` takes in place of a model's name, to have it run by vLLM.

    The engine stays loaded for further sweeps with the same settings, until the object is gone.

    Attributes:
        name: hub id, folder, run folder or ``embedded``.
        tensor_parallel: GPUs that share the weights.
        gpu_memory: the share of each GPU's memory to use, above 0 to 1; None is vLLM's own.
        args: more arguments of ``vllm.LLM``, such as ``{"quantization": "fp8"}``.
        engine: the settings of the engine that is loaded, and itself.

    Raises:
        InputError: vLLM is not installed, or a value that cannot be used.
    """

    name: str
    tensor_parallel: int = 1
    gpu_memory: float | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    engine: tuple[dict[str, Any], Any] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tensor_parallel < 1:
            raise InputError(f"--tensor-parallel must be at least 1, found {self.tensor_parallel}")
        if self.gpu_memory is not None and not 0 < self.gpu_memory <= 1:
            raise InputError(f"--gpu-memory is a share, above 0 and at most 1; found {self.gpu_memory:g}")
        for name in sorted(set(self.args) & set(OURS)):
            flag = OURS[name]
            raise InputError(
                f"--vllm-args cannot set {name}; " + (f"use {flag}" if flag else "the sweep needs its own")
            )
        try:
            json.dumps(dict(self.args))
        except (TypeError, ValueError):
            raise InputError("--vllm-args must be what JSON can hold: it is written down with the sweep") from None
        if importlib.util.find_spec("vllm") is None:
            raise InputError("--backend vllm needs vLLM and a GPU that it supports: pip install 'paft[vllm]'")

    def forget(self) -> None:
        """Empty the engine's prefix cache, so that the next sweep can be timed like the first."""
        if self.engine is not None:
            self.engine[1].forget()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its answers, beside the weights and their dtype."""
        return {"backend": "vllm", "vllm_args": dict(self.args)}
