"""The flags of ``paft sweep --backend vllm``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paft.cli.options import option
from paft.errors import InputError

if TYPE_CHECKING:
    from paft.evaluation import VllmModel


@dataclass(kw_only=True)
class VllmOptions:
    """A model that vLLM runs."""

    tensor_parallel: int = option("vllm: GPUs that share the model's weights", 1)
    gpu_memory: float | None = option("vllm: share of each GPU's memory to use, such as 0.8; by default its own", None)
    vllm_args: str | None = option("vllm: more arguments of vllm.LLM, as a JSON object", None, metavar="JSON")


def vllm_model(name: str, options: VllmOptions) -> VllmModel:
    """What ``sweep`` takes as the model."""
    from paft.evaluation import VllmModel

    args = read_object("--vllm-args", options.vllm_args, '{"enforce_eager": true}')
    return VllmModel(name, options.tensor_parallel, options.gpu_memory, args)


def read_object(flag: str, text: str | None, example: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{flag}: expected a JSON object such as '{example}', found {text!r}")
    return value
