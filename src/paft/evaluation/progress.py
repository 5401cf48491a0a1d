"""A progress bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total: int, done: int = 0, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Gives what to call with the number of cells that are new; nothing is shown where stderr is no terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("cells"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        job = progress.add_task(title, total=total, completed=done)
        yield lambda count: progress.advance(job, count)
