"""How answers were read, in a few lines of plain text: what was taken off, what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paft.report.sheet import percent

MANY = 0.05  # share of answers that could not be read from which that is a warning


def reading_lines(summary: Mapping[str, Any]) -> list[str]:
    """What ``summary.json`` tells of how answers were read; nothing where there is nothing to tell."""
    lines = []
    if summary.get("answer_end"):
        lines.append(f"one answer begins another: each is scored with the token that ends it, {summary['answer_end']}")
    if summary.get("reasoning"):
        lines.append(f"reasoning was taken off {percent(summary['reasoning'])} % of the answers before they were read")
    if summary.get("reasoning_cut"):
        lines.append(f"{percent(summary['reasoning_cut'])} % of them were cut within it: give more --max-new-tokens")
    lost = summary.get("unreadable")
    if lost is not None:
        many = lost > MANY
        lines.append(
            ("warning: " if many else "")
            + f"{percent(lost)} % of the answers could not be read"
            + (", and count as wrong; look at their text in cells/" if many else "")
        )
    return lines
