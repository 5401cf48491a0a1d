"""Attention over rows that stand one behind the other in a single row of tokens, none padded.

It is registered under its own name with transformers' attention interface. No mask is made for it: how long
the rows are reaches it as an argument of the model's forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import is_flash_attn_2_available

from paft.errors import ModelError

varlen_attn: Any = None  # torch before 2.10 has none
if find_spec("torch.nn.attention.varlen"):
    from torch.nn.attention.varlen import varlen_attn

PACKED, VARLEN, FLASH = "paft_packed", "paft_varlen", "flash_attention_2"
UNKNOWN = ("softcap", "s_aux", "position_bias")


@dataclass(frozen=True, slots=True)
class PackedRows:
    """How long the rows of a packed micro-batch are, in order."""

    lengths: tuple[int, ...]

    @property
    def runs(self) -> list[tuple[int, int]]:
        """(how many, how long) of neighbours of one length: each is one call of attention."""
        return [(len(list(same)), length) for length, same in groupby(self.lengths)]

    def arguments(self, attention: str, device: torch.device) -> dict[str, Any]:
        """What the model's forward hands on to an implementation of attention.

        FlashAttention's kernels take where each row begins, and the longest.
        """
        given: dict[str, Any] = {} if attention == FLASH else {"packed_rows": self}
        if attention == PACKED:
            return given
        starts = torch.tensor([0, *self.lengths]).cumsum(0).to(device=device, dtype=torch.int32)
        longest = max(self.lengths)
        given |= {"cu_seq_lens_q": starts, "cu_seq_lens_k": starts, "max_length_q": longest, "max_length_k": longest}
        return given


@torch.compiler.disable
def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed_rows: PackedRows | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each row: 1 x heads x tokens x width in, 1 x tokens x heads x width out.

    Splitting and joining are cheaper than gathering rows of near length into padded blocks, which was tried.
    ``torch.compile`` leaves it out: the lengths are others each time.

    Raises:
        ModelError: attention of a kind that this does not compute.
    """
    _refuse_special(module, query, key, attention_mask, packed_rows, kwargs)
    assert packed_rows is not None
    runs, dtype = packed_rows.runs, value.dtype  # under autocast the positions leave queries and keys in float32
    wide = query.device.type == "cpu" and dtype.itemsize < 4  # half precision is slow there, backwards above all
    query, key, value = (x.to(torch.float32 if wide else dtype) for x in (query, key, value))
    sizes = [count * length for count, length in runs]
    grouped = query.shape[1] != key.shape[1]
    options: dict[str, Any] = {"dropout_p": dropout, "scale": scaling, "is_causal": True, "enable_gqa": grouped}
    outputs = []
    with torch.autocast(query.device.type, enabled=False):
        for run, *parts in zip(runs, *(x.split(sizes, 2) for x in (query, key, value)), strict=True):
            rows = [part.unflatten(2, run).squeeze(0).transpose(0, 1) for part in parts]
            outputs.append(scaled_dot_product_attention(*rows, **options).transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs).to(dtype)[None], None


@torch.compiler.disable
def varlen_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed_rows: PackedRows | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The same as :func:`packed_attention` by the FlashAttention kernels in torch, all rows in one call.

    They know no dropout: where there is some, the other one attends.

    Raises:
        ModelError: attention of a kind that this does not compute.
    """
    if dropout:
        return packed_attention(module, query, key, value, attention_mask, dropout, scaling, packed_rows, **kwargs)
    _refuse_special(module, query, key, attention_mask, packed_rows, kwargs)
    assert packed_rows is not None
    rows = [x[0].transpose(0, 1).to(value.dtype) for x in (query, key, value)]
    ends, longest, grouped = cu_seq_lens_q, max(packed_rows.lengths), query.shape[1] != key.shape[1]
    return varlen_attn(*rows, ends, ends, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=grouped)[
        None
    ], None


def _refuse_special(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    packed_rows: PackedRows | None,
    options: dict[str, Any],
) -> None:
    special = [name for name in UNKNOWN if options.get(name) is not None]
    window = options.get("sliding_window")
    if packed_rows is None:
        raise ModelError("the model does not hand its forward's arguments on to its attention")
    if special:
        raise ModelError(f"its attention has {special[0]}")
    if window is not None and max(packed_rows.lengths) > window:
        raise ModelError(f"its attention sees {window} tokens, and rows are longer")
    causal = options.get("is_causal")
    if mask is not None or not (getattr(module, "is_causal", True) if causal is None else causal):
        raise ModelError("its attention is not plainly causal")
    if query.shape[0] != 1 or not query.shape[2] == key.shape[2] == sum(packed_rows.lengths):
        raise ModelError("its attention looks at other tokens than those of the row")


ALL_ATTENTION_FUNCTIONS.register(PACKED, packed_attention)
ALL_ATTENTION_FUNCTIONS.register(VARLEN, varlen_attention)


def candidates(model: PreTrainedModel, device: torch.device, half: bool) -> Sequence[str]:
    """The implementations to try for packed rows, best first; none where the model does not use the interface."""
    if not getattr(model, "_supports_attention_backend", False):
        return ()
    found = [PACKED]
    if device.type == "cuda" and half and varlen_attn is not None:
        found.insert(0, VARLEN)
    if device.type == "cuda" and half and is_flash_attn_2_available() and getattr(model, "_supports_flash_attn", False):
        found.insert(0, FLASH)
    return found


@contextmanager
def attention(model: torch.nn.Module, implementation: str | None) -> Iterator[None]:
    """Let the model attend by ``implementation`` for a while; what it had before, and would save, comes back."""
    if implementation is None:
        yield
        return
    configs = {id(m.config): m.config for m in model.modules() if isinstance(m, PreTrainedModel)}.values()
    before = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            config._attn_implementation = implementation
        yield
    finally:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation = name
