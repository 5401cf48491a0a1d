"""Packed or padded: at the start of a run both compute a few rows, and only the same figures let it pack."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from paft.errors import InputError, PaftError
from paft.files import read_json
from paft.models.last_layer import LastLayer, find_last_layer
from paft.training.attention import attention, candidates
from paft.training.compiling import CompiledLayers, compile_layers
from paft.training.loss import answer_losses
from paft.training.micro import Item, pack, pad
from paft.training.preflight import known_rows
from paft.training.records import ENVIRONMENT

if TYPE_CHECKING:
    from paft.training.trainer import PaftTrainer

logger = logging.getLogger(__name__)
SAMPLED, CHECKED = 32, 4
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Packing:
    """Whether a run packs its rows, and what showed that it may; environment.json holds it.

    Attributes:
        attention: the attention implementation of packed rows; None where rows are padded.
        reason: why they are padded.
        last_layer: what of the last layer is left out where there is no label; None where nothing is.
        compiled: the layers that run compiled; None where none do.
        not_compiled: why they do not though it was asked for.
        check: ``loss`` and ``gradient``, relative differences between this way and plain padded rows, and the
            ``tolerance`` they were held to; empty where nothing was compared.
    """

    attention: str | None = None
    reason: str | None = None
    last_layer: LastLayer | None = None
    compiled: CompiledLayers | None = None
    not_compiled: str | None = None
    check: Mapping[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As plain values."""
        found = {"used": self.attention is not None, "attention": self.attention, "reason": self.reason}
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


def choose_packing(trainer: PaftTrainer) -> Packing:
    """Settle how the rows of this run are laid out, the same on all processes.

    A run that goes on packs as it did before, so that it ends with the same bits; layers are compiled as asked for now.

    Raises:
        InputError: ``packing`` is ``on`` and the rows cannot be packed; says why.
    """
    wanted = trainer.args.packing
    earlier = _earlier(trainer)
    if wanted == "off":
        found = Packing(reason="--packing off")
    elif wanted == "auto" and earlier is not None and not earlier.packed:
        found = Packing(reason="the run was begun without packing")
    else:
        found = _try_packing(trainer, earlier is None or earlier.last_layer)
        if wanted == "on" and found.attention is None:
            raise InputError(f"--packing on: {found.reason}; leave it out to train on padded rows")
        if wanted == "auto" and found.attention is None and trainer.is_world_process_zero():
            logger.warning("rows are padded, not packed: %s", found.reason)
    if trainer.args.torch_compile:
        found = _try_compiling(trainer, found)
        if found.not_compiled and trainer.is_world_process_zero():
            logger.warning("layers are not compiled: %s", found.not_compiled)
    if earlier is not None and trainer.is_world_process_zero():
        _warn_of_changes("rows", ("padded", "packed"), earlier.packed, found.attention is not None)
        _warn_of_changes("layers", ("plain", "compiled"), earlier.compiled, found.compiled is not None)
    return found


def _warn_of_changes(what: str, names: tuple[str, str], before: bool, now: bool) -> None:
    if before != now:
        said = f"{what} were {names[before]} before and are {names[now]} now"
        logger.warning("%s: the last bits of the result may differ", said)


class _Earlier(NamedTuple):
    """How a run was begun: whether its rows were packed, parts of its last layer left out, its layers compiled."""

    packed: bool = False
    last_layer: bool = False
    compiled: bool = False


def _earlier(trainer: PaftTrainer) -> _Earlier | None:
    """How the run that goes on was begun; None where it begins here."""
    if not trainer.goes_on:
        return None
    try:
        found = read_json(trainer.run_folder / ENVIRONMENT)["packing"]
        return _Earlier(bool(found["used"]), bool(found.get("last_layer")), bool(found.get("compiled")))
    except (PaftError, KeyError, TypeError):
        return _Earlier()


def _try_packing(trainer: PaftTrainer, leave_out: bool) -> Packing:
    obstacle = _obstacle(trainer)
    if obstacle:
        return Packing(reason=obstacle)
    base = _base(trainer.model)
    found = Packing(reason=f"{type(base).__name__} does not use transformers' attention interface")
    names = candidates(base, trainer.args.device, trainer.args.bf16 or trainer.args.fp16)
    last = find_last_layer(trainer.model) if leave_out else None
    ways = [(name, layer) for name in names for layer in ((last, None) if last is not None else (None,))]
    for name, layer in ways:
        found = _compare(trainer, Packing(name, last_layer=layer))
        if _on_all(trainer, found.attention is not None):
            return found
        if found.attention:
            found = Packing(reason="packed and padded rows differ on another process", check=found.check)
    return found


def _try_compiling(trainer: PaftTrainer, way: Packing) -> Packing:
    """The same way with its layers compiled, where that gives the same figures."""
    options = {"mode": trainer.args.torch_compile_mode, "backend": trainer.args.torch_compile_backend}
    try:
        layers = compile_layers(trainer.model, int(way.last_layer is not None), **options)
    except (RuntimeError, ValueError, ImportError) as bad:
        return replace(way, not_compiled=_first_line(bad))
    if layers is None:
        return replace(way, not_compiled=f"{type(_base(trainer.model)).__name__} has no row of layers to compile")
    compiled = replace(way, compiled=layers)
    if _is_sharded(trainer):  # nothing can be compared yet
        return compiled
    found = _compare(trainer, compiled)
    if _on_all(trainer, found.compiled is not None):
        return found
    return replace(way, not_compiled=found.reason or "it does not work on another process")


def _on_all(trainer: PaftTrainer, passed: bool) -> bool:
    mine = torch.tensor([int(passed)], device=trainer.args.device)
    return bool(int(trainer.accelerator.gather(mine).min()))


def _is_sharded(trainer: PaftTrainer) -> bool:
    return trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _obstacle(trainer: PaftTrainer) -> str | None:
    """What speaks against packing before anything is computed."""
    args, model = trainer.args, trainer.model
    windows = [getattr(c, "sliding_window", None) for c in (model.config, model.config.get_text_config())]
    used = getattr(model.config, "use_sliding_window", True)
    if _is_sharded(trainer):
        return "under FSDP and DeepSpeed the two cannot be compared before the model is sharded"
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "the adapter puts tokens of its own before each row"
    if args.neftune_noise_alpha is not None:
        return "NEFTune's noise depends on the length of the padded rows"
    if "position_ids" not in trainer.accepted:
        return f"{type(_base(model)).__name__} takes no position_ids"
    if used and any(w is not None and w < args.max_length for w in windows):
        return f"the model attends to {min(w for w in windows if w)} tokens, fewer than --max-length {args.max_length}"
    return None


def _compare(trainer: PaftTrainer, way: Packing) -> Packing:
    """Losses and gradients of a few rows, in this way and plainly padded, with dropout off.

    The tolerance is 1e-4 of the loss and of the gradient's norm. Lower precision is held to three times what
    padding alone changes (the same rows together and one at a time), and to 0.1 at most.

    Returns the way with its check, or why it will not do.
    """
    items = _few_rows(trainer)
    if not items:
        return Packing(reason=f"none of the first {SAMPLED} rows fits")
    pad_id, packed = trainer.data_collator.pad_id, way.attention is not None
    padded = _figures(trainer, [pad(items, pad_id)], Packing())
    alone = _figures(trainer, [pad([item], pad_id) for item in items], Packing())
    run_on, pair = "packed rows", "packed and padded rows"
    if way.compiled:
        run_on, pair = "compiled layers", "compiled and plain layers"
    micros = [pack(items) if packed else pad(items, pad_id)]
    try:
        other = _figures(trainer, micros, way)
        if way.compiled:  # steps run other code than this check: it has to compile too
            with torch.random.fork_rng():
                _figures(trainer, micros, way, as_in_steps=True)
    except (PaftError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ImportError) as bad:
        return Packing(reason=f"the model cannot run on {run_on}: {_first_line(bad)}")
    noise, found = _differences(padded, alone), _differences(padded, other)
    tolerance = TOLERANCE if _full_precision(trainer) else max(TOLERANCE, min(3 * max(noise), 0.1))
    check = {"loss": found[0], "gradient": found[1], "tolerance": tolerance}
    if not all(map(math.isfinite, check.values())):
        return Packing(reason="the losses or gradients of the first rows are not numbers")
    if max(found) <= tolerance:
        return replace(way, check=check)
    reason = f"{pair} differ by {found[0]:.1e} in loss and {found[1]:.1e} in gradient"
    return Packing(reason=f"{reason}, more than {tolerance:.1e}", check=check)


def _first_line(bad: Exception) -> str:
    return (str(bad).splitlines() or [repr(bad)])[0]


def _full_precision(trainer: PaftTrainer) -> bool:
    args, weights = trainer.args, {p.dtype for p in trainer.model.parameters()}
    return weights == {torch.float32} and not (args.bf16 or args.fp16 or args.tf32)


def _few_rows(trainer: PaftTrainer) -> list[Item]:
    """Some of the first rows: the longest, the shortest, and others, as many as fit ``batch_tokens``."""
    rows = list(islice(known_rows(trainer), SAMPLED))
    items = [item for item in trainer.train_dataset.encode(rows) if item.encoding is not None]
    items.sort(key=_tokens)
    order = [items[0], items[-1], *items[len(items) // 2 :], *items] if items else []
    kept: list[Item] = []
    for item in order:
        rest = trainer.args.batch_tokens - sum(_tokens(i) for i in kept)
        if len(kept) < CHECKED and _tokens(item) <= rest:
            kept.append(item)
    return sorted(kept, key=lambda item: -_tokens(item))


def _tokens(item: Item) -> int:
    return len(item.encoding.input_ids) if item.encoding else 0


Figures = tuple[torch.Tensor, list[torch.Tensor]]


def _figures(
    trainer: PaftTrainer, micros: Sequence[dict[str, Any]], way: Packing, as_in_steps: bool = False
) -> Figures:
    """Each row's loss, and the gradients of their mean; with dropout only ``as_in_steps``."""
    model = trainer.model
    trained = [p for p in model.parameters() if p.requires_grad]
    was_training, rows = model.training, sum(len(micro["positions"]) for micro in micros)
    losses = []
    model.train(as_in_steps)
    try:
        for micro in map(trainer._prepare_inputs, micros):
            with way.forward(model, micro):
                with trainer.accelerator.autocast():
                    loss_ba = answer_losses(model, micro, trainer.accepted, attention=way.attention)
                (loss_ba.sum() / rows).backward()
            losses.append(loss_ba.detach().sum(1))
        return torch.cat(losses).float(), [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)


def _differences(one: Figures, other: Figures) -> tuple[float, float]:
    """Relative: the largest of a row's loss, to the mean loss; the gradient's, by norms."""
    loss = (one[0] - other[0]).abs().max() / one[0].mean().clamp(min=1e-12)
    apart = torch.stack([(a - b).float().norm() for a, b in zip(one[1], other[1], strict=True)]).norm()
    size = torch.stack([a.float().norm() for a in one[1]]).norm()
    return float(loss), float(apart / size.clamp(min=1e-12))
