"""The numbers of a quick sweep in a few lines: estimates, said to be such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paft.report.reading_lines import reading_lines
from paft.report.sheet import percent


def quick_lines(summary: Mapping[str, Any]) -> list[str]:
    """What ``sweep_lines`` says of a whole sweep; ``summary`` is what ``summary.json`` holds."""
    quick = summary["quick"]
    spread = _with_range(summary, "std_corrected")
    lines = [
        f"ESTIMATE from {quick['cells']:,} of {quick['of']:,} cells "
        f"({100 * quick['cells'] / quick['of']:.0f} %), not the whole sweep",
        f"accuracy {_with_range(summary, 'mean')} over {summary['prompts']} prompts x "
        f"{summary['examples']} examples ({summary['split']} of {summary['task']}, {summary['scoring']})",
        "std over prompts: not to be told from one prompt"
        if spread is None
        else f"std over prompts without the noise of finitely many examples {spread}",
        f"intervals: {100 * quick['level']:g} %, for what the whole sweep would give; "
        "worst prompt, quantiles, top share and flips are not estimated",
        "the same command without --quick goes on from here to the whole sweep",
    ]
    if summary.get("dropped"):
        lines.append(f"{summary['dropped']} examples were too long and left out for every prompt")
    return lines + reading_lines(summary)


def _with_range(summary: Mapping[str, Any], name: str) -> str | None:
    between = summary["quick"]["intervals"][name]
    if between is None:
        return None
    return f"{percent(summary[name])} % [{percent(between['low'])}, {percent(between['high'])}]"
