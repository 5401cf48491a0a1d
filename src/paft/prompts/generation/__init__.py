"""Prompt templates written by LLMs, or by a grammar where there is none."""

from __future__ import annotations

from paft.prompts.generation.generate import Generated, Planned, Wanted, few_shot_seeds, generate_prompts, plan_requests
from paft.prompts.generation.providers import Price, Provider, load_providers
from paft.prompts.generation.usage import Usage, UsageRow

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
