"""The cells of a sweep summed up: what ``summary.json`` holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from paft.evaluation.cells import Cell, CellStore
from paft.evaluation.results.quick import Quick, QuickResult, quick_summary
from paft.evaluation.results.result import SweepResult
from paft.prompts import PromptSet
from paft.tasks.base import Example
from paft.tasks.reasoning import without_reasoning

FORMAT_VERSION = 1


def summed_up(
    store: CellStore,
    prompts: PromptSet,
    examples: Sequence[Example],
    dropped: Collection[str],
    record: dict[str, Any],
    top: float,
    part: Quick | None,
) -> SweepResult:
    """The result of all cells, or of those that ``part`` names; examples that were dropped do not count."""
    ids = [e.id for e in examples]
    result: SweepResult
    cells: list[Cell]
    if part is None:
        result = SweepResult.of_cells(store.cells.values(), prompts.ids, [i for i in ids if i not in dropped], {})
        numbers, cells = _numbers(result, top, record["seed"]), [c for row in result.cells_pn for c in row]
    else:
        numbers, cells = quick_summary(part, store.cells, prompts.ids, ids, dropped, top)
        left_out = {"dropped_examples": sorted(dropped)} if dropped else {}
        result = QuickResult({**numbers, **left_out}, prompts.ids, ids, cells)
    per_prompt = numbers.pop("per_prompt")
    result.summary.update(
        format_version=FORMAT_VERSION,
        **numbers,
        prompts=len(prompts),
        examples=len(examples) - len(dropped),
        seconds=store.seconds,
        tokens_generated=sum(c.generated_tokens for c in cells),
        truncated=0,  # nothing is ever cut: too long is an error, or dropped
        dropped=len(dropped),
        **_read(cells, record["scoring"]),
        **record,
        per_prompt=per_prompt,
    )
    return result


def _read(cells: Sequence[Cell], scoring: str) -> dict[str, Any]:
    """Shares of the generated answers; None where candidates were compared.

    ``unreadable``: no answer was found; of free answers: nothing is left but spaces. ``reasoning``: reasoning was taken
    off. ``reasoning_cut``: the text ends within it.
    """
    if scoring != "generate":
        return dict.fromkeys(("unreadable", "reasoning", "reasoning_cut"))
    read = [without_reasoning(cell.text) for cell in cells]
    lost = [c.prediction < 0 if c.gold >= 0 else not r.text.strip() for c, r in zip(cells, read, strict=True)]
    whole = max(1, len(cells))
    return {
        "unreadable": sum(lost) / whole,
        "reasoning": sum(r.reasoned for r in read) / whole,
        "reasoning_cut": sum(r.open for r in read) / whole,
    }


def _numbers(result: SweepResult, top: float, seed: int) -> dict[str, Any]:
    numbers, interval = result.statistics(top), result.interval(seed=seed)
    return {
        "mean": numbers.mean,
        "std": numbers.std,
        "std_corrected": numbers.std_corrected,
        "min": numbers.min,
        "q05": numbers.q05,
        "max": numbers.max,
        "macro_f1": numbers.macro_f1,
        "flip_rate": numbers.flip_rate,
        "top": {"threshold": top, "share": numbers.top_share},
        "mean_interval": {"level": interval.level, "low": interval.low, "high": interval.high},
        "per_prompt": dict(zip(result.prompt_ids, numbers.accuracy_p.tolist(), strict=True)),
    }
