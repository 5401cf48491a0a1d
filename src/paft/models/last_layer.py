"""The last layer, where its output is looked at in a few places only: the others are left out of its products.

Its keys and values are needed everywhere; its queries, what becomes of the attention, and its feed-forward network only
where a logit is wanted. Hooks hand those modules the wanted positions alone and put zeros in place of the rest, which
nothing reads. With n layers that saves up to an n-th of the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from paft.errors import ModelError

FORWARD = ("mlp", "feed_forward")
OUTPUT = ("o_proj", "out_proj", "dense")


@dataclass(frozen=True)
class LastLayer:
    """The modules of a model's last layer that treat each position by itself, keys and values left out."""

    modules: Sequence[nn.Module]

    @contextmanager
    def only_at(self, index: torch.Tensor) -> Iterator[None]:
        """For a while they work at these positions alone.

        Args:
            index: places among batch x tokens, row by row.

        Raises:
            ModelError: by the forward pass, where a module's output is no plain tensor.
        """

        def pick(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            if not args or not isinstance(args[0], torch.Tensor):
                raise ModelError(f"{type(module).__name__} of its last layer is not given a plain tensor")
            sizes.append(args[0].shape[:2])
            return (args[0].flatten(0, 1).index_select(0, index)[None], *args[1:])

        def put_back(module: nn.Module, args: tuple[Any, ...], output: Any) -> torch.Tensor:
            if not isinstance(output, torch.Tensor):
                raise ModelError(f"{type(module).__name__} of its last layer does not give a plain tensor")
            rows, tokens = sizes.pop()
            whole = output.new_zeros(rows * tokens, output.shape[-1])
            return whole.index_copy(0, index, output[0]).view(rows, tokens, -1)

        sizes: list[torch.Size] = []
        hooks = [module.register_forward_pre_hook(pick) for module in self.modules]
        hooks += [module.register_forward_hook(put_back) for module in self.modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def decoder_layers(model: Any) -> nn.ModuleList | None:
    """The layers of a model, with or without an adapter; None where it is of another build."""
    depth = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    return stacks[0] if len(stacks) == 1 else None


def find_last_layer(model: Any) -> LastLayer | None:
    """The last decoder layer of a model, with or without an adapter; None where it is of another build.

    Names alone decide: whether the figures stay the same is the caller's to check.
    """
    layers = decoder_layers(model)
    if layers is None:
        return None
    layer: Any = layers[-1]
    attention = next((child for child in layer.children() if hasattr(child, "q_proj")), None)
    places = [(layer, FORWARD), (attention, ("q_proj",)), (attention, OUTPUT)]
    found = [next((getattr(at, n) for n in names if hasattr(at, n)), None) for at, names in places]
    return None if found[0] is None else LastLayer([module for module in found if module is not None])
