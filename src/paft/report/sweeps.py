"""The records of a task that hold a sweep of some name."""

from __future__ import annotations

from paft.experiments.records import Record, same_cells
from paft.report.comparison import Comparison


def with_sweep(comparison: Comparison, task: str, sweep: str) -> dict[str, list[Record]]:
    """Method -> its records by seed that have the sweep, in the paper's order; methods without any are left out.

    Raises:
        DataError: sweeps of that name over other prompts or examples than the rest.
    """
    found = {name: [r for r in group if sweep in r.sweeps] for name, group in comparison.methods(task).items()}
    same_cells([record for group in found.values() for record in group], sweep)
    return {name: group for name, group in found.items() if group}
