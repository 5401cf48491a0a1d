"""One forward pass over rows of different lengths, and a second one that goes on from its cache."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode for a while; afterwards every module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@dataclass(slots=True)
class State:
    """The positions that a model has seen so far, for every row of a batch.

    Attributes:
        mask_bt: 1 where a token stands, 0 where a row is padded.
        cache: keys and values of all positions, or None.
    """

    mask_bt: Tensor
    cache: Any = None

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be named more than once."""
        index = torch.tensor(rows, dtype=torch.long, device=self.mask_bt.device)
        self.mask_bt = self.mask_bt[index]
        self.cache.reorder_cache(index)


class Forward:
    """Runs a causal language model on rows of token ids of different lengths, with explicit positions.

    Logits are taken only where they are asked for, and come in float32. The model must be in evaluation mode.

    Attributes:
        free_masks: whether any position may be hidden from any other. That holds for full attention with given
            positions; not where a sliding window counts places, a state runs through all of them, or the
            attention takes no masks of its caller. Only then do ``shared`` of ``start`` and ``branch`` work.
    """

    def __init__(self, model: PreTrainedModel, pad_id: int) -> None:
        base = _base_of(model)
        config = base.config.get_text_config(decoder=True)
        accepted = inspect.signature(base.forward).parameters
        self.model = model
        self.pad_id = pad_id
        self.device = model.device
        self.vocabulary = int(config.vocab_size)
        self._takes_positions = "position_ids" in accepted
        self._takes_keep = "logits_to_keep" in accepted
        self.free_masks = self._takes_positions and _has_plain_attention(base, config)

    def start(self, rows: Sequence[Sequence[int]], use_cache: bool, shared: int = 0) -> tuple[Tensor, State]:
        """Logits after every row's last token, rows x vocabulary, and the state.

        Args:
            shared: how many tokens all rows begin with alike; they are run once. Every row is longer than that.
        """
        state = State(torch.zeros(len(rows), 0, dtype=torch.long, device=self.device))
        if shared:
            _, state = self.start([rows[0][:shared]], use_cache=True)
            state.select([0] * len(rows))
        rows = [row[shared:] for row in rows]
        width = max(map(len, rows))
        ids_bt = self._tensor([[self.pad_id] * (width - len(row)) + list(row) for row in rows])
        real_bt = self._tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        positions_bt = (state.mask_bt.sum(dim=1, keepdim=True) + real_bt.cumsum(dim=1) - 1).clamp(min=0)
        state.mask_bt = torch.cat([state.mask_bt, real_bt], dim=1)
        logits_btv, state.cache = self._run(ids_bt, state.mask_bt, positions_bt, state.cache, use_cache, keep=1)
        return logits_btv[:, -1], state

    def extend(self, state: State, rows: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens to every row of ``state``: logits after each, rows x tokens x vocabulary, padded at the end."""
        width = max(map(len, rows))
        ids_bj = self._tensor([list(row) + [self.pad_id] * (width - len(row)) for row in rows])
        real_bj = self._tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        positions_bj = state.mask_bt.sum(dim=1, keepdim=True) + torch.arange(width, device=self.device)
        state.mask_bt = torch.cat([state.mask_bt, real_bj], dim=1)
        logits_bjv, state.cache = self._run(ids_bj, state.mask_bt, positions_bj, state.cache, True, keep=width)
        return logits_bjv

    def branch(self, state: State, branches: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Go on from every row of ``state`` in several ways at once, which do not see each other.

        Returns the logits after each token, rows x tokens x vocabulary: a row's branches one after another, padded
        at the end. The state is of no use afterwards.
        """
        width = max(sum(map(len, row)) for row in branches)
        ids_bj = self._tensor([_flat(row, width, self.pad_id) for row in branches])
        depth_bj = self._tensor([_flat([range(len(ids)) for ids in row], width, 0) for row in branches])
        sees_bji = torch.stack([_block_mask(tuple(map(len, row)), width) for row in branches]).to(self.device)
        context_bjt = state.mask_bt[:, None, :].bool().expand(-1, width, -1)
        sees_bjt = torch.cat([context_bjt, sees_bji], dim=2)
        hidden = torch.finfo(self.model.dtype).min
        mask = torch.zeros(sees_bjt.shape, dtype=self.model.dtype, device=self.device).masked_fill(~sees_bjt, hidden)
        positions_bj = state.mask_bt.sum(dim=1, keepdim=True) + depth_bj
        return self._run(ids_bj, mask[:, None], positions_bj, state.cache, True, keep=width)[0]

    def _run(
        self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any, use_cache: bool, keep: int
    ) -> tuple[Tensor, Any]:
        options: dict[str, Any] = {"use_cache": use_cache, "past_key_values": cache}
        if self._takes_positions:
            options["position_ids"] = positions
        if self._takes_keep:
            options["logits_to_keep"] = keep
        run: Any = self.model
        with torch.inference_mode():
            out = run(input_ids=ids, attention_mask=mask, **options)
        return out.logits[:, -keep:].float(), out.past_key_values if use_cache else None

    def _tensor(self, values: list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)


def _base_of(model: Any) -> Any:
    """The model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _has_plain_attention(base: Any, config: Any) -> bool:
    """Whether all layers attend to all positions, by transformers' own code and with masks as they are given."""
    own = type(base).__module__.startswith("transformers.models.")
    masks = config._attn_implementation in ("sdpa", "eager") and not getattr(config, "alibi", False)
    return own and masks and all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def _flat(parts: Sequence[Sequence[int]], width: int, pad: int) -> list[int]:
    flat = [i for part in parts for i in part]
    return flat + [pad] * (width - len(flat))


@lru_cache(maxsize=4096)
def _block_mask(lengths: tuple[int, ...], width: int) -> Tensor:
    """``width x width``, true where a token sees another: those before it in its own branch, and itself."""
    mask = torch.zeros(width, width, dtype=torch.bool)
    start = 0
    for length in lengths:
        mask[start : start + length, start : start + length] = torch.ones(length, length, dtype=torch.bool).tril()
        start += length
    return mask
