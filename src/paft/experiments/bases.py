"""The models that a comparison goes out from, as they were when its first cell was run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from paft.errors import OutputError
from paft.experiments.grid import Grid
from paft.models import load_tokenizer, resolve_model
from paft.models.identity import folder_digest, template_digest, tokenizer_digest

Bases = Mapping[str, Mapping[str, Any]]


def settle_bases(grids: Iterable[Grid], known: Bases, place: Path) -> dict[str, Mapping[str, Any]]:
    """Digests of each grid's model: tokenizer, chat template where it is used, weights where it is a folder.

    Args:
        known: those that the comparison was begun with.
        place: the comparison's folder, for errors.

    Raises:
        ModelError: no such model.
        OutputError: a model is not what it was then, so that its cells do not go together.
    """
    found = dict(known)
    for grid in grids:
        mine = _digests(grid)
        changed = [name for name in mine if name in found.get(grid.model, {}) and found[grid.model][name] != mine[name]]
        if changed:
            raise OutputError(
                f"{place} is of other work: the {changed[0]} of {grid.model} changed since its first cell\n"
                "give another --output, or the model as it was"
            )
        found[grid.model] = {**found.get(grid.model, {}), **mine}
    return found


def _digests(grid: Grid) -> dict[str, Any]:
    source = resolve_model(grid.model)
    tokenizer = load_tokenizer(source, bool(grid.train.get("trust_remote_code", False)))
    found = {"tokenizer": tokenizer_digest(tokenizer)}
    if not grid.train.get("chat") == grid.sweep.get("chat") == "off":
        found["chat template"] = template_digest(tokenizer)
    if Path(source.base).is_dir():
        found["weights"] = folder_digest(Path(source.base))
    return found
