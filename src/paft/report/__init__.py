"""Tables and pictures from saved records; never needs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paft.report.reporting import Report, report

__all__ = ["Report", "report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from paft.report import reporting

        return getattr(reporting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
