"""What was asked for, got and paid: one row a model and strategy, as in Table 7 of the paper."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paft.endpoints.journal import Entry
from paft.endpoints.providers import Price
from paft.endpoints.replies import read_body
from paft.files import write_json


@dataclass
class UsageRow:
    """One model under one strategy.

    Attributes:
        requests: replies received, those of earlier runs of the same work included.
        asked, received, kept: templates.
        refused: reason -> templates.
        prompt_tokens, completion_tokens: as the endpoint counted them.
        estimated: whether some of them had to be estimated.
        cost: dollars; None where the price is not known.
        seconds: the sum over requests.
        ended: why it stopped before it had all, in one line; "" where it has all.
    """

    provider: str
    model: str
    strategy: str
    requests: int = 0
    asked: int = 0
    received: int = 0
    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cost: float | None = 0.0
    seconds: float = 0.0
    ended: str = ""

    def count(self, entry: Entry, price: Price | None) -> tuple[int, float]:
        """Add what a reply took, estimated where the endpoint did not say; its tokens and its dollars, 0 unpriced."""
        reply = read_body(entry.body)
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        self.estimated |= prompt is None or completion is None
        prompt = entry.prompt_estimate if prompt is None else prompt
        completion = len(reply.text) * 2 // 7 if completion is None else completion
        self.requests += 1
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.seconds += entry.seconds
        cost = price.cost(prompt, completion) if price else None
        self.cost = None if cost is None or self.cost is None else self.cost + cost
        return prompt + completion, cost or 0.0

    def as_dict(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {**vars(self), "refused": dict(self.refused.most_common()), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Usage:
    """All rows."""

    rows: Sequence[UsageRow]

    @property
    def total(self) -> UsageRow:
        """The sum of the rows; its cost is None where one's is."""
        total = UsageRow("all", "", "")
        for row in self.rows:
            for name in ("requests", "asked", "received", "kept", "prompt_tokens", "completion_tokens", "seconds"):
                setattr(total, name, getattr(total, name) + getattr(row, name))
            total.refused += row.refused
            total.estimated |= row.estimated
            total.cost = None if total.cost is None or row.cost is None else total.cost + row.cost
        return total

    def save(self, path: str | os.PathLike[str], **facts: Any) -> None:
        """Write the rows and their sum as JSON, with further ``facts``."""
        rows = [row.as_dict() for row in self.rows]
        write_json(Path(path), {"format_version": 1, **facts, "rows": rows, "total": self.total.as_dict()})
