"""How rows are laid out: at the start of a run a few are computed one by one, and only the same figures let it pack or
pad them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from paft.errors import InputError, PaftError
from paft.files import read_json
from paft.models.last_layer import LastLayer, find_last_layer
from paft.models.memory import is_out_of_memory
from paft.training.packing.attention import attention, candidates
from paft.training.packing.compiling import CompiledLayers, compile_layers
from paft.training.packing.figures import SAMPLED, FewRows
from paft.training.packing.micro import PADDINGS, Padding, pack, padded
from paft.training.records import ENVIRONMENT

if TYPE_CHECKING:
    from paft.training.trainer import PaftTrainer

logger = logging.getLogger(__name__)


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


def choose_packing(trainer: PaftTrainer) -> Packing:
    """Settle how the rows of this run are laid out, the same on all processes.

    A run that goes on packs as it did before, so that it ends with the same bits; layers are compiled as asked for now.

    Raises:
        InputError: ``packing`` is ``on`` and the rows cannot be packed; says why.
        ModelError: the model sees tokens that come later.
    """
    wanted = trainer.args.packing
    earlier = _earlier(trainer)
    rows = FewRows(trainer)
    plain = Packing() if _is_sharded(trainer) or not rows.items else _choose_padding(trainer, rows, earlier)
    if wanted == "off":
        found = replace(plain, reason="--packing off")
    elif wanted == "auto" and earlier is not None and not earlier.packed:
        found = replace(plain, reason="the run was begun without packing")
    else:
        found = _try_packing(trainer, rows, plain, earlier is None or earlier.last_layer)
        if wanted == "on" and found.attention is None:
            raise InputError(f"--packing on: {found.reason}; leave it out to train on padded rows")
        if wanted == "auto" and found.attention is None and trainer.is_world_process_zero():
            logger.warning("rows are padded, not packed: %s", found.reason)
    if trainer.args.torch_compile:
        found = _try_compiling(trainer, rows, found)
        if found.not_compiled and trainer.is_world_process_zero():
            logger.warning("layers are not compiled: %s", found.not_compiled)
    if earlier is not None and trainer.is_world_process_zero():
        _warn_of_changes("rows", ("padded", "packed"), earlier.packed, found.attention is not None)
        _warn_of_changes("layers", ("plain", "compiled"), earlier.compiled, found.compiled is not None)
    return found


def _choose_padding(trainer: PaftTrainer, rows: FewRows, earlier: _Earlier | None) -> Packing:
    """How rows are padded: on the left, so that answers stand in the last columns; on the right, where a model does not
    mask what stands before a row; or one by one, which needs no proof."""
    rows.refuse_not_causal()
    ways = PADDINGS[PADDINGS.index(earlier.padding) if earlier else 0 :]
    reason = None
    for padding in ways:
        found = _compare(rows, Packing(padding=padding))
        if _on_all(trainer, found.reason is None) or padding == "single":
            break
        reason = reason or found.reason
    if reason and trainer.is_world_process_zero():
        how = "one by one" if padding == "single" else f"padded on the {padding}"
        logger.warning("rows that are not packed are run %s: %s", how, reason)
    return Packing(padding=padding, check=found.check)


def _warn_of_changes(what: str, names: tuple[str, str], before: bool, now: bool) -> None:
    if before != now:
        said = f"{what} were {names[before]} before and are {names[now]} now"
        logger.warning("%s: the last bits of the result may differ", said)


class _Earlier(NamedTuple):
    """How a run was begun: whether its rows were packed, parts of its last layer left out, its layers compiled, and how
    rows are padded where they are."""

    packed: bool = False
    last_layer: bool = False
    compiled: bool = False
    padding: Padding = "left"


def _earlier(trainer: PaftTrainer) -> _Earlier | None:
    """How the run that goes on was begun; None where it begins here."""
    if not trainer.goes_on:
        return None
    try:
        found = read_json(trainer.run_folder / ENVIRONMENT)["packing"]
        padding: Padding = next((p for p in PADDINGS if p == found.get("padding")), "left")
        return _Earlier(bool(found["used"]), bool(found.get("last_layer")), bool(found.get("compiled")), padding)
    except (PaftError, KeyError, TypeError):
        return _Earlier()


def _try_packing(trainer: PaftTrainer, rows: FewRows, plain: Packing, leave_out: bool) -> Packing:
    obstacle = _obstacle(trainer)
    if obstacle or not rows.items:
        return replace(plain, reason=obstacle or f"none of the first {SAMPLED} rows fits")
    base = _base(trainer.model)
    found = replace(plain, reason=f"{type(base).__name__} does not use transformers' attention interface")
    names = candidates(base, trainer.args.device, trainer.args.bf16 or trainer.args.fp16)
    last = find_last_layer(trainer.model) if leave_out else None
    ways = [(name, layer) for name in names for layer in ((last, None) if last is not None else (None,))]
    for name, layer in ways:
        found = _compare(rows, replace(plain, attention=name, last_layer=layer))
        if _on_all(trainer, found.attention is not None):
            return found
        if found.attention:
            found = replace(plain, reason="packed rows differ on another process", check=found.check)
    return found


def _try_compiling(trainer: PaftTrainer, rows: FewRows, way: Packing) -> Packing:
    """The same way with its layers compiled, where that gives the same figures."""
    options = {"mode": trainer.args.torch_compile_mode, "backend": trainer.args.torch_compile_backend}
    try:
        layers = compile_layers(trainer.model, int(way.last_layer is not None), **options)
    except (RuntimeError, ValueError, ImportError) as bad:
        return replace(way, not_compiled=_first_line(bad))
    if layers is None:
        return replace(way, not_compiled=f"{type(_base(trainer.model)).__name__} has no row of layers to compile")
    compiled = replace(way, compiled=layers)
    if _is_sharded(trainer) or not rows.items:  # nothing can be compared
        return compiled
    found = _compare(rows, compiled)
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
    if used and any(w is not None and w < trainer.longest for w in windows):
        return f"the model attends to {min(w for w in windows if w)} tokens, and the longest row has {trainer.longest}"
    return None


def _compare(rows: FewRows, way: Packing) -> Packing:
    """The same way with its check, or why it will not do: losses and gradients beside those of the plainest way."""
    packed = way.attention is not None
    run_on, pair = "packed rows", "packed rows and rows one by one"
    if way.compiled:
        run_on, pair = "compiled layers", "compiled and plain layers"
    elif not packed:
        run_on, pair = f"rows padded on the {way.padding}", f"rows padded on the {way.padding} and rows one by one"
    micros = [pack(rows.items) if packed else padded(rows.items, rows.pad_id, way.padding)]
    if way.padding == "single" and not packed:
        micros = [padded([item], rows.pad_id, way.padding) for item in rows.items]
    try:
        other = rows.figures(micros, way)
        if way.compiled:  # steps run other code than this check: it has to compile too
            with torch.random.fork_rng():
                rows.figures(micros, way, as_in_steps=True)
    except (PaftError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ImportError) as bad:
        if is_out_of_memory(bad):
            raise
        return Packing(padding=way.padding, reason=f"the model cannot run on {run_on}: {_first_line(bad)}")
    found = rows.apart(other)
    tolerance = rows.tolerance(max(found))
    check = {"loss": found.loss, "gradient": found.gradient, "tolerance": tolerance}
    if not all(map(math.isfinite, check.values())):
        return Packing(padding=way.padding, reason="the losses or gradients of the first rows are not numbers")
    if max(found) <= tolerance:
        return replace(way, check=check)
    reason = f"{pair} differ by {found.loss:.1e} in loss and {found.gradient:.1e} in gradient"
    return Packing(padding=way.padding, reason=f"{reason}, more than {tolerance:.1e}", check=check)


def _first_line(bad: Exception) -> str:
    return (str(bad).splitlines() or [repr(bad)])[0]
