"""Budgets under many open requests."""

from __future__ import annotations

import asyncio
import random

import pytest

from paft.endpoints.budget import LEAST_REPLY, Budget, BudgetReached
from paft.endpoints.providers import Price


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("tokens", "cost"), [(20_000, None), (None, 0.05), (30_000, 0.02)])
def test_never_passed_where_the_estimates_hold(seed: int, tokens: int | None, cost: float | None) -> None:
    rng, price = random.Random(seed), Price(1.0, 4.0)

    async def one(budget: Budget) -> bool:
        prompt = rng.randint(100, 900)
        try:
            hold = await budget.hold(prompt, 2000, price)
        except BudgetReached:
            return False
        assert LEAST_REPLY <= hold.max_tokens <= 2000
        await asyncio.sleep(rng.random() / 200)
        reply = rng.randint(1, hold.max_tokens)
        budget.spend(prompt + reply, price.cost(prompt, reply))
        await budget.release(hold)
        return True

    async def go() -> tuple[Budget, list[bool]]:
        budget = Budget(tokens, cost)
        return budget, await asyncio.gather(*(one(budget) for _ in range(80)))

    budget, sent = asyncio.run(go())
    assert tokens is None or budget.tokens <= tokens
    assert cost is None or budget.cost <= cost + 1e-12
    assert not all(sent)
    left = [
        (tokens - budget.tokens) / 1156 if tokens else 9,
        (cost - budget.cost) / price.cost(900, 256) if cost else 9,
    ]
    assert min(left) < 1  # it stops only where a request would not fit


def test_without_a_budget_nothing_waits() -> None:
    async def go() -> int:
        budget = Budget()
        return (await budget.hold(10**6, 4096, None)).max_tokens

    assert asyncio.run(go()) == 4096


def test_what_is_said() -> None:
    async def go() -> None:
        budget = Budget(1000, 1.0)
        budget.spend(900, 0.25)
        await budget.hold(50, 4096, None)

    with pytest.raises(BudgetReached, match=r"budget reached: 900 of 1,000 tokens and \$0.2500 of \$1.0000 spent"):
        asyncio.run(go())
