"""How rows are laid out: at the start of a run a few are computed one by one, and only the same figures let it pack or
pad them."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from paft.errors import InputError, PaftError
from paft.files import read_json
from paft.models.last_layer import find_last_layer
from paft.models.memory import is_out_of_memory
from paft.training.packing.attention import candidates
from paft.training.packing.compiling import compile_layers
from paft.training.packing.figures import SAMPLED, CheckInput, FewRows
from paft.training.packing.layout import Packing
from paft.training.packing.micro import PADDINGS, Padding
from paft.training.records import ENVIRONMENT

logger = logging.getLogger(__name__)


def choose_packing(run: CheckInput, earlier: Earlier | None) -> Packing:
    """Settle how the rows of this run are laid out, the same on all processes.

    A run that goes on packs as it did before, so that it ends with the same bits; layers are compiled as asked for now.

    Args:
        earlier: how the run that goes on was begun; None where it begins here.

    Raises:
        InputError: ``packing`` is ``on`` and the rows cannot be packed; says why.
        ModelError: the model sees tokens that come later.
    """
    wanted, main, rows = run.args.packing, run.accelerator.is_main_process, FewRows(run)
    plain = Packing() if run.sharded or not rows.items else _choose_padding(rows, earlier)
    if wanted == "off":
        found = replace(plain, reason="--packing off")
    elif wanted == "auto" and earlier is not None and not earlier.packed:
        found = replace(plain, reason="the run was begun without packing")
    else:
        found = _try_packing(rows, plain, earlier is None or earlier.last_layer)
        if wanted == "on" and found.attention is None:
            raise InputError(f"--packing on: {found.reason}; leave it out to train on padded rows")
        if wanted == "auto" and found.attention is None and main:
            logger.warning("rows are padded, not packed: %s", found.reason)
    if run.args.torch_compile:
        found = _try_compiling(rows, found)
        if found.not_compiled and main:
            logger.warning("layers are not compiled: %s", found.not_compiled)
    if earlier is not None and main:
        _warn_of_changes("rows", ("padded", "packed"), earlier.packed, found.attention is not None)
        _warn_of_changes("layers", ("plain", "compiled"), earlier.compiled, found.compiled is not None)
    return found


def _choose_padding(rows: FewRows, earlier: Earlier | None) -> Packing:
    """How rows are padded: on the left, so that answers stand in the last columns; on the right, where a model does not
    mask what stands before a row; or one by one, which needs no proof."""
    rows.refuse_not_causal()
    ways = PADDINGS[PADDINGS.index(earlier.padding) if earlier else 0 :]
    reason = None
    for padding in ways:
        found = _compare(rows, Packing(padding=padding))
        if _on_all(rows.run, found.reason is None) or padding == "single":
            break
        reason = reason or found.reason
    if reason and rows.run.accelerator.is_main_process:
        how = "one by one" if padding == "single" else f"padded on the {padding}"
        logger.warning("rows that are not packed are run %s: %s", how, reason)
    return Packing(padding=padding, check=found.check)


def _warn_of_changes(what: str, names: tuple[str, str], before: bool, now: bool) -> None:
    if before != now:
        said = f"{what} were {names[before]} before and are {names[now]} now"
        logger.warning("%s: the last bits of the result may differ", said)


class Earlier(NamedTuple):
    """How a run was begun: whether its rows were packed, parts of its last layer left out, its layers compiled, and how
    rows are padded where they are."""

    packed: bool = False
    last_layer: bool = False
    compiled: bool = False
    padding: Padding = "left"


def read_earlier(run: Path) -> Earlier:
    """How the run in a folder was begun, as its environment.json says; padded on the left where it does not."""
    try:
        found = read_json(run / ENVIRONMENT)["packing"]
        padding: Padding = next((p for p in PADDINGS if p == found.get("padding")), "left")
        return Earlier(bool(found["used"]), bool(found.get("last_layer")), bool(found.get("compiled")), padding)
    except (PaftError, KeyError, TypeError):
        return Earlier()


def _try_packing(rows: FewRows, plain: Packing, leave_out: bool) -> Packing:
    run, obstacle = rows.run, _obstacle(rows.run)
    if obstacle or not rows.items:
        return replace(plain, reason=obstacle or f"none of the first {SAMPLED} rows fits")
    base = _base(run.model)
    found = replace(plain, reason=f"{type(base).__name__} does not use transformers' attention interface")
    names = candidates(base, run.args.device, run.args.bf16 or run.args.fp16)
    last = find_last_layer(run.model) if leave_out else None
    ways = [(name, layer) for name in names for layer in ((last, None) if last is not None else (None,))]
    for name, layer in ways:
        found = _compare(rows, replace(plain, attention=name, last_layer=layer))
        if _on_all(rows.run, found.attention is not None):
            return found
        if found.attention:
            found = replace(plain, reason="packed rows differ on another process", check=found.check)
    return found


def _try_compiling(rows: FewRows, way: Packing) -> Packing:
    """The same way with its layers compiled, where that gives the same figures."""
    run = rows.run
    options = {"mode": run.args.torch_compile_mode, "backend": run.args.torch_compile_backend}
    try:
        layers = compile_layers(run.model, int(way.last_layer is not None), **options)
    except (RuntimeError, ValueError, ImportError) as bad:
        return replace(way, not_compiled=_first_line(bad))
    if layers is None:
        return replace(way, not_compiled=f"{type(_base(run.model)).__name__} has no row of layers to compile")
    compiled = replace(way, compiled=layers)
    if run.sharded or not rows.items:  # nothing can be compared
        return compiled
    found = _compare(rows, compiled)
    if _on_all(rows.run, found.compiled is not None):
        return found
    return replace(way, not_compiled=found.reason or "it does not work on another process")


def _on_all(run: CheckInput, passed: bool) -> bool:
    mine = torch.tensor([int(passed)], device=run.args.device)
    return bool(int(run.accelerator.gather(mine).min()))


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _obstacle(run: CheckInput) -> str | None:
    """What speaks against packing before anything is computed."""
    args, model = run.args, run.model
    windows = [getattr(c, "sliding_window", None) for c in (model.config, model.config.get_text_config())]
    used = getattr(model.config, "use_sliding_window", True)
    if run.sharded:
        return "under FSDP and DeepSpeed the two cannot be compared before the model is sharded"
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "the adapter puts tokens of its own before each row"
    if args.neftune_noise_alpha is not None:
        return "NEFTune's noise depends on the length of the padded rows"
    if "position_ids" not in run.accepted:
        return f"{type(_base(model)).__name__} takes no position_ids"
    longest = 0 if run.longest is None else run.longest.tokens
    if used and any(w is not None and w < longest for w in windows):
        return f"the model attends to {min(w for w in windows if w)} tokens, and the longest row has {longest}"
    return None


def _compare(rows: FewRows, way: Packing) -> Packing:
    """The same way with its check, or why it will not do: losses and gradients beside those of the plainest way."""
    packed = way.attention is not None
    run_on, pair = "packed rows", "packed rows and rows one by one"
    if way.compiled:
        run_on, pair = "compiled layers", "compiled and plain layers"
    elif not packed:
        run_on, pair = f"rows padded on the {way.padding}", f"rows padded on the {way.padding} and rows one by one"
    micros = rows.micros(packed, way.padding)
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
