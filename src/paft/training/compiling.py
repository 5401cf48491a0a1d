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


@dataclass(frozen=True)
class CompiledLayers:
    """Layers that can run compiled: attention over packed rows is left as it is."""

    layers: Sequence[nn.Module]
    calls: Sequence[Any]

    @contextmanager
    def on(self) -> Iterator[None]:
        """For a while they do; validation, sweeps and what is saved know nothing of it."""
        for layer, call in zip(self.layers, self.calls, strict=True):
            layer._compiled_call_impl = call
        try:
            yield
        finally:
            for layer in self.layers:
                layer._compiled_call_impl = None


def compile_layers(model: Any, all_but: int = 0, mode: str | None = None, **options: Any) -> CompiledLayers | None:
    """The decoder layers of a model; nothing is compiled before they are run. None where there is no row of layers.

    Forgets what this process has compiled so far: only so many variants of a piece of code are kept, those for other
    models counted, and then it would be run as it stands.

    Args:
        all_but: how many of the last ones stay as they are.
        mode: and ``options``: those of ``torch.compile``.
    """
    found = decoder_layers(model)
    if found is None:
        return None
    torch.compiler.reset()
    layers = list(found)[: len(found) - all_but]
    for layer in layers:
        layer.compile(dynamic=True, mode=mode, **options)
    compiled = CompiledLayers(layers, [layer._compiled_call_impl for layer in layers])
    for layer in layers:
        layer._compiled_call_impl = None
    return compiled
