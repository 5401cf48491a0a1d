"""The day that the chat template of a comparison's model takes for today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paft.evaluation import settled_date
from paft.experiments.folder import ABOUT, Folder
from paft.experiments.grid import Grid
from paft.models import Encoder, load_tokenizer, resolve_model


def date_grids(grids: Sequence[Grid], folder: Folder, asked: str | None) -> tuple[list[Grid], str | None]:
    """The grids with a day for all cells, and that day; as they are, and None, where no template depends on one.

    Raises:
        InputError: no such day, or a chat template that cannot be used.
        OutputError: ``folder`` was begun with another day than the one asked for.
    """
    day = settled_date(asked, None, folder.root, ABOUT, "comparison")
    out = [_dated(grid, day) if _depends(grid, day) else grid for grid in grids]
    return out, day if out != list(grids) else None


def _depends(grid: Grid, day: str) -> bool:
    options = {**grid.train, **grid.sweep}
    tokenizer = load_tokenizer(resolve_model(grid.model), bool(options.get("trust_remote_code")))
    chats = {str(group.get("chat", "auto")) for group in (grid.train, grid.sweep)}
    return any(Encoder(tokenizer, chat=chat, date=day).date for chat in sorted(chats))


def _dated(grid: Grid, day: str) -> Grid:
    train, sweep = ({**group, "date": str(group.get("date", day))} for group in (grid.train, grid.sweep))
    return replace(grid, train=train, sweep=sweep)
