"""``torch.compile`` of a model's layers, each by itself: what lies between matrix products in fewer passes over memory.

Layers are alike, so that the code made for one serves them all. Whole models take minutes where a layer takes seconds,
and the lengths of packed rows, which change with every micro-batch, would have them compiled anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from paft.models.last_layer import decoder_layers

VARIANTS = 64  # of the code of a layer: by training or not, gradients, shapes, devices, kinds of layer


@dataclass(frozen=True)
class CompiledLayers:
    """Layers that can run compiled: our own attention over packed rows is left as it is."""

    layers: Sequence[nn.Module]
    calls: Sequence[Any]

    @contextmanager
    def on(self) -> Iterator[None]:
        """For a while they do; validation, sweeps and what is saved know nothing of it."""
        before = [layer._compiled_call_impl for layer in self.layers]
        for layer, call in zip(self.layers, self.calls, strict=True):
            layer._compiled_call_impl = call
        try:
            with torch._dynamo.config.patch(recompile_limit=VARIANTS):
                yield
        finally:
            for layer, call in zip(self.layers, before, strict=True):
                layer._compiled_call_impl = call


def compile_layers(model: Any, all_but: int = 0, mode: str | None = None, **options: Any) -> CompiledLayers | None:
    """The decoder layers of a model; nothing is compiled before they are run. None where there are none to compile.

    Forgets what this process has compiled so far, so that the same run comes out the same after others.

    Args:
        all_but: how many of the last ones stay as they are.
        mode: and ``options``: those of ``torch.compile``.

    Raises:
        RuntimeError: a mode or backend that is not there.
    """
    layers = list(decoder_layers(model) or ())
    layers = layers[: len(layers) - all_but]
    torch.compiler.reset()
    calls = []
    for layer in layers:
        before = layer._compiled_call_impl
        layer.compile(dynamic=True, mode=mode, **options)
        calls.append(layer._compiled_call_impl)
        layer._compiled_call_impl = before
    return CompiledLayers(layers, calls) if layers else None
