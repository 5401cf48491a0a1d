"""Prompt templates written by LLMs, or by a grammar where there is none."""

from __future__ import annotations

from paft.endpoints import Price, Provider, Usage, UsageRow, load_providers
from paft.prompts.generation.generate import Generated, Planned, Wanted, few_shot_seeds, generate_prompts, plan_requests

__all__ = [
    "Generated",
    "Planned",
    "Price",
    "Provider",
    "Usage",
    "UsageRow",
    "Wanted",
    "few_shot_seeds",
    "generate_prompts",
    "load_providers",
    "plan_requests",
]
