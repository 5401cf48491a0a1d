"""Keys and values in a buffer with room at its end, so that tokens are appended without copying what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

SPARE = 16  # more places than asked for, where the room given does not do


class RoomLayer(DynamicLayer):
    """The keys and values of one layer, rows x heads x places x size; a view of a buffer that has room for more.

    Args:
        room: places that are to follow the first ones.
    """

    def __init__(self, room: int = 0) -> None:
        super().__init__()
        self._room = room
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append new places; returns all keys and all values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if self._buffers is None or new > self._buffers[0].shape[-2]:
            room = new + (self._room if old == 0 else SPARE)
            grown = _buffer(key_states, room), _buffer(value_states, room)
            if old:
                grown[0][:, :, :old], grown[1][:, :, :old] = self._both()
            self._buffers = grown
        keys, values = self._buffers
        keys[:, :, old:new], values[:, :, old:new] = key_states, value_states
        self.keys, self.values = keys[:, :, :new], values[:, :, :new]
        return self._both()

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keep these rows, in this order."""
        if self.is_initialized and self._buffers is not None:
            room = self._buffers[0].shape[-2] - self.get_seq_length()
            self._take(self, beam_idx, self.get_seq_length(), room)

    def picked(self, index: Tensor, places: int, room: int) -> RoomLayer:
        """A copy of these rows, cut to so many places, with room for ``room`` more."""
        copy = RoomLayer(room)
        copy.lazy_initialization(*self._both())
        copy._take(self, index, places, room)
        return copy

    @classmethod
    def joined(cls, layers: Sequence[RoomLayer], places: int, room: int) -> RoomLayer:
        """The rows of all layers in turn, of at most so many ``places``, with room for ``room`` more."""
        both = [layer._both() for layer in layers]
        like, rows = both[0][0], sum(len(keys) for keys, _ in both)
        made = cls(room)
        made.lazy_initialization(*both[0])
        keys, values = (like.new_zeros(rows, like.shape[1], places + room, t.shape[3]) for t in both[0])
        start = 0
        for old_keys, old_values in both:
            stop, width = start + len(old_keys), old_keys.shape[2]
            keys[start:stop, :, :width], values[start:stop, :, :width] = old_keys, old_values
            start = stop
        made._buffers = keys, values
        made.keys, made.values = keys[:, :, :places], values[:, :, :places]
        return made

    def _both(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def _take(self, other: RoomLayer, index: Tensor, places: int, room: int) -> None:
        taken = []
        for old in other._both():
            new = old.new_empty(len(index), old.shape[1], places + room, old.shape[3])
            torch.index_select(old[:, :, :places], 0, index, out=new[:, :, :places])
            taken.append(new)
        self._buffers = taken[0], taken[1]
        self.keys, self.values = taken[0][:, :, :places], taken[1][:, :, :places]


def _buffer(like: Tensor, places: int) -> Tensor:
    return like.new_empty(like.shape[0], like.shape[1], places, like.shape[3])
