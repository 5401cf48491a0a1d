"""Forward passes over rows of different lengths, and passes that go on from where others stopped."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel

from paft.evaluation.local.cache import RoomLayer
from paft.evaluation.pairs import Row
from paft.models.last_layer import LastLayer, find_last_layer

Way = Literal["shared", "cached", "padded", "single"]
WHOLE_LOGITS = 1 << 26  # logits of one row that may be had in full: 256 MB
CACHE_NAMES = ("cache", "past_key_values", "cache_params")  # what models call it, from transformers' newest name on
WAYS: tuple[Way, ...] = ("shared", "cached", "padded", "single")  # from the fastest to the plainest


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
        cache: keys and values of all positions.
    """

    mask_bt: Tensor
    cache: Any

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be named more than once."""
        index = torch.tensor(rows, dtype=torch.long, device=self.mask_bt.device)
        self.mask_bt = self.mask_bt[index]
        self.cache.reorder_cache(index)

    def picked(self, rows: Sequence[int], room: int) -> State:
        """A copy of these rows with room for so many tokens more; only where ``Forward.free_masks``."""
        index = torch.tensor(rows, dtype=torch.long, device=self.mask_bt.device)
        mask_bt = self.mask_bt[index]
        places = int(mask_bt.any(dim=0).nonzero().max()) + 1
        layers = [layer.picked(index, places, room) for layer in self.cache.layers]
        return State(mask_bt[:, :places], Cache(layers=layers))

    @classmethod
    def joined(cls, states: Sequence[State], room: int) -> State:
        """The rows of all states in turn, with room for so many tokens more; only where ``Forward.free_masks``."""
        places = max(state.mask_bt.shape[1] for state in states)
        masks = [torch.nn.functional.pad(s.mask_bt, (0, places - s.mask_bt.shape[1])) for s in states]
        layers = zip(*(state.cache.layers for state in states), strict=True)
        return cls(torch.cat(masks), Cache(layers=[RoomLayer.joined(parts, places, room) for parts in layers]))


@dataclass(slots=True)
class Rerun:
    """The tokens that a model has seen so far, row by row: without a cache every pass runs all of them again."""

    rows: list[list[int]]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be named more than once."""
        self.rows = [self.rows[i] for i in rows]


class Forward:
    """Runs a causal language model on rows of token ids of different lengths.

    The head runs only at the positions that are asked for, and so does the last layer where ``last`` is set. Logits
    come in float32. The model must be in evaluation mode.

    Attributes:
        way: how rows are run. It begins as the fastest that the model's arguments allow; whether its figures are
            right is for :class:`paft.evaluation.shortcuts.Shortcuts` to find out.

            - ``shared``: any position may be hidden from any other, so that rows go on from what they share and
              candidates stand beside each other as branches of one row. ``after`` of ``start``, and ``branch``,
              work only here.
            - ``cached``: rows padded to one length, going on from keys, values and states that count places.
            - ``padded``: no cache; what comes before a new token is run again. Rows are padded at the end, which no
              token of a causal model sees.
            - ``single``: no cache, one row a pass.
        last: of the last layer, what is left out where no logit is wanted; None where nothing is.
    """

    def __init__(self, model: PreTrainedModel, pad_id: int) -> None:
        base = _base_of(model)
        config = base.config.get_text_config(decoder=True)
        self.model = model
        self.pad_id = pad_id
        self.device = model.device
        self.vocabulary = int(config.vocab_size)
        self._head = base.get_output_embeddings()
        self._layers = len(DynamicCache(config=config).layers)
        takes = inspect.signature(base.forward).parameters
        self._takes_positions = "position_ids" in takes
        self._cache_name = next((name for name in CACHE_NAMES if name in takes), None)
        takes_masks = config._attn_implementation in ("sdpa", "eager")
        self.way: Way = "shared" if self._takes_positions and takes_masks else "cached"
        self.last: LastLayer | None = find_last_layer(model)

    @property
    def free_masks(self) -> bool:
        """Whether any position may be hidden from any other."""
        return self.way == "shared"

    def plain(self, row: Row, first: int = 0) -> Tensor:
        """Logits after each token from ``first`` on, tokens x vocabulary: one row in one pass, with no shortcut.

        But where all logits would take much memory, the head is spared the tokens before.
        """
        ids_bt, _ = self._padded([row])
        if ids_bt.numel() * self.vocabulary > WHOLE_LOGITS:
            last, self.last = self.last, None
            try:
                return self._run(ids_bt, self._index(range(first, len(row))))[0]
            finally:
                self.last = last
        run: Any = self.model
        with torch.inference_mode():
            return run(input_ids=ids_bt, use_cache=False).logits[0, first:].float()

    def start(
        self,
        rows: Sequence[Row],
        use_cache: bool,
        after: State | Rerun | None = None,
        wanted: bool = True,
        room: int = 0,
    ) -> tuple[Tensor, State | Rerun | None]:
        """Logits after every row's last token, rows x vocabulary, and the state.

        Args:
            use_cache: whether the state is needed.
            after: what the rows go on from, one row of it each; it is of no use afterwards.
            wanted: whether logits are; else there are none.
            room: tokens that are to follow.
        """
        if self.way in ("padded", "single"):
            logits = self._whole(rows, [len(row) - 1 for row in rows])
            return logits, Rerun([list(row) for row in rows]) if use_cache else None
        if isinstance(after, State):
            lengths = list(map(len, rows))
            last = [i * max(lengths) + n - 1 for i, n in enumerate(lengths)]
            return self._append(after, rows, last if wanted else []), after
        if use_cache and not self.free_masks:
            return self._start_padded_left(rows)
        # padded at the end: no token sees the padding, so that attention needs no mask and is at its fastest
        ids_bt, real_bt = self._padded(rows)
        ends = real_bt.sum(dim=1) - 1 + torch.arange(len(rows), device=self.device) * ids_bt.shape[1]
        cache = Cache(layers=[RoomLayer(room) for _ in range(self._layers)]) if use_cache else None
        logits = self._run(ids_bt, ends if wanted else ends[:0], cache=cache)[0]
        return logits, State(real_bt, cache) if use_cache else None

    def _start_padded_left(self, rows: Sequence[Row]) -> tuple[Tensor, State]:
        """For caches that count places: the last tokens of all rows stand in one column."""
        ids_bt, real_bt = (flipped.flip(1) for flipped in self._padded([row[::-1] for row in rows]))
        positions_bt = (real_bt.cumsum(dim=1) - 1).clamp(min=0)
        ends = torch.arange(1, len(rows) + 1, device=self.device) * ids_bt.shape[1] - 1
        logits, cache = self._run(ids_bt, ends, real_bt, positions_bt, use_cache=True)
        return logits, State(real_bt, cache)

    def extend(self, state: State | Rerun, rows: Sequence[Row]) -> Tensor:
        """Append tokens to every row of ``state``: logits after each, tokens of all rows in turn x vocabulary."""
        if isinstance(state, Rerun):
            seen = list(map(len, state.rows))
            state.rows = [[*old, *new] for old, new in zip(state.rows, rows, strict=True)]
            return self._whole(state.rows, seen)
        width = max(map(len, rows))
        return self._append(state, rows, [i * width + j for i, row in enumerate(rows) for j in range(len(row))])

    def branch(self, state: State, branches: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Go on from every row of ``state`` in several ways at once, which do not see each other.

        Returns the logits after each token, tokens x vocabulary: row by row, a row's branches one after another.
        The state is of no use afterwards.
        """
        rows = [[i for ids in row for i in ids] for row in branches]
        ids_bj, _ = self._padded(rows)
        width = ids_bj.shape[1]
        depth_bj, _ = self._padded([[d for ids in row for d in range(len(ids))] for row in branches], 0)
        sees_bji = torch.stack([_block_mask(tuple(map(len, row)), width) for row in branches]).to(self.device)
        positions_bj = state.mask_bt.sum(dim=1, keepdim=True) + depth_bj
        index = self._index([i * width + j for i, row in enumerate(rows) for j in range(len(row))])
        return self._run(ids_bj, index, self._mask(state, sees_bji), positions_bj, state.cache)[0]

    def _whole(self, rows: Sequence[Row], firsts: Sequence[int]) -> Tensor:
        """Logits after each row's tokens from ``firsts`` on, tokens of all rows in turn x vocabulary; no cache."""
        parts = [slice(i, i + 1) for i in range(len(rows))] if self.way == "single" else [slice(None)]
        made = []
        for part in parts:
            ids_bt, _ = self._padded(rows[part])
            width = ids_bt.shape[1]
            cut = list(zip(rows[part], firsts[part], strict=True))
            places = [i * width + j for i, (row, first) in enumerate(cut) for j in range(first, len(row))]
            made.append(self._run(ids_bt, self._index(places))[0])
        return torch.cat(made)

    def _append(self, state: State, rows: Sequence[Row], index: Sequence[int]) -> Tensor:
        """Append tokens, padded at the end, to every row of ``state``: logits at these places, counted row by row."""
        ids_bj, real_bj = self._padded(rows)
        width = ids_bj.shape[1]
        positions_bj = state.mask_bt.sum(dim=1, keepdim=True) + torch.arange(width, device=self.device)
        if self.free_masks:
            sees_ji = torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
            mask = self._mask(state, sees_ji.expand(len(rows), -1, -1))
            state.mask_bt = torch.cat([state.mask_bt, real_bj], dim=1)
        else:
            mask = state.mask_bt = torch.cat([state.mask_bt, real_bj], dim=1)
        logits, state.cache = self._run(ids_bj, self._index(index), mask, positions_bj, state.cache)
        return logits

    def _mask(self, state: State, sees_bji: Tensor) -> Tensor:
        """What new places see, as numbers to add to attention scores: their state, and of each other what is given."""
        context_bjt = state.mask_bt[:, None, :].bool().expand(-1, sees_bji.shape[1], -1)
        sees_bjt = torch.cat([context_bjt, sees_bji], dim=2)
        mask = torch.zeros(sees_bjt.shape, dtype=self.model.dtype, device=self.device)
        return mask.masked_fill_(~sees_bjt, torch.finfo(self.model.dtype).min)[:, None]

    def _run(
        self,
        ids: Tensor,
        index: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Any = None,
        use_cache: bool = False,
    ) -> tuple[Tensor, Any]:
        options: dict[str, Any] = {"use_cache": use_cache or cache is not None}
        if cache is not None and self._cache_name is not None:
            options[self._cache_name] = cache
        if self._takes_positions and positions is not None:
            options["position_ids"] = positions
        run: Any = self.model
        with torch.inference_mode(), ExitStack() as stack:
            ran = stack.enter_context(self._head_at(index))
            if self.last is not None and 2 * index.numel() <= ids.numel():
                stack.enter_context(self.last.only_at(index if index.numel() else index.new_zeros(1)))
            out = run(input_ids=ids, attention_mask=mask, **options)
            logits = out.logits[0] if ran else out.logits.flatten(0, 1)[index]
            return logits.float(), self._cache_of(out) if options["use_cache"] else None

    def _cache_of(self, out: Any) -> Any:
        """What a pass left behind, by today's name or by that of the argument; AttributeError where it left nothing."""
        return out.cache if hasattr(out, "cache") else getattr(out, self._cache_name or "cache")

    @contextmanager
    def _head_at(self, index: Tensor) -> Iterator[list[bool]]:
        """Let the model's head see these places alone; the list holds something once it has."""
        ran: list[bool] = []

        def pick(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not args or not isinstance(args[0], Tensor) or args[0].ndim != 3 or not args[0].is_floating_point():
                return None
            ran.append(True)
            return (args[0].flatten(0, 1)[index][None], *args[1:])

        hook = None if self._head is None else self._head.register_forward_pre_hook(pick)
        try:
            yield ran
        finally:
            if hook is not None:
                hook.remove()

    def _padded(self, rows: Sequence[Row], pad: int | None = None) -> tuple[Tensor, Tensor]:
        """Rows padded at the end, and 1 where a token stands."""
        shape = len(rows), max(map(len, rows))
        ids_bt, real_bt = np.full(shape, self.pad_id if pad is None else pad), np.zeros(shape, dtype=np.int64)
        for i, row in enumerate(rows):
            ids_bt[i, : len(row)] = row
            real_bt[i, : len(row)] = 1
        return torch.from_numpy(ids_bt).to(self.device), torch.from_numpy(real_bt).to(self.device)

    def _index(self, places: Sequence[int]) -> Tensor:
        return torch.tensor(list(places), dtype=torch.long, device=self.device)


def _base_of(model: Any) -> Any:
    """The model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@lru_cache(maxsize=4096)
def _block_mask(lengths: tuple[int, ...], width: int) -> Tensor:
    """``width x width``, true where a token sees another: those before it in its own branch, and itself."""
    mask = torch.zeros(width, width, dtype=torch.bool)
    start = 0
    for length in lengths:
        mask[start : start + length, start : start + length] = torch.ones(length, length, dtype=torch.bool).tril()
        start += length
    return mask
