"""How the rows of a run are laid out, and what a micro-batch is run in because of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from paft.models.last_layer import LastLayer
from paft.training.packing.attention import attention
from paft.training.packing.compiling import CompiledLayers
from paft.training.packing.micro import Padding


@dataclass(frozen=True)
class Packing:
    """Whether a run packs its rows, and what showed that it may; environment.json holds it.

    Attributes:
        attention: the attention implementation of packed rows; None where rows are padded.
        reason: why they are padded.
        padding: where rows that are not packed are filled up; rows of validation are not.
        last_layer: what of the last layer is left out where there is no label; None where nothing is.
        compiled: the layers that run compiled; None where none do.
        not_compiled: why they do not though it was asked for.
        check: ``loss`` and ``gradient``, relative differences between this way and rows one by one, and the
            ``tolerance`` they were held to; empty where nothing was compared.
    """

    attention: str | None = None
    reason: str | None = None
    padding: Padding = "left"
    last_layer: LastLayer | None = None
    compiled: CompiledLayers | None = None
    not_compiled: str | None = None
    check: Mapping[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As plain values."""
        found = {"used": self.attention is not None, "attention": self.attention, "reason": self.reason}
        found |= {"padding": self.padding}
        found |= {"last_layer": self.last_layer is not None, "compiled": self.compiled is not None}
        found |= {"not_compiled": self.not_compiled} if self.not_compiled else {}
        return found | ({"check": dict(self.check)} if self.check else {})

    @contextmanager
    def forward(self, model: Any, micro: Mapping[str, Any]) -> Iterator[None]:
        """Run a micro-batch, forward and backward, in the way that was found."""
        with attention(model, self.attention), ExitStack() as stack:
            if self.last_layer is not None:
                stack.enter_context(self.last_layer.only_at(micro["keep"]))
            if self.compiled is not None:
                stack.enter_context(self.compiled.on())
            yield
