"""Budgets of tokens and dollars: what has been spent, what open requests may still take, what is left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from paft.endpoints.providers import Price

LEAST_REPLY = 256


class BudgetReached(Exception):
    """No room for another request."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What an open request may take at most."""

    tokens: int
    cost: float
    max_tokens: int


class Budget:
    """Tokens and dollars that may be spent; None for no limit.

    A request is sent only where what was spent, and the most that open requests and this one may take, stay within
    the budget. Token counts of prompts are estimates until the reply comes, so a budget may be passed by the error
    of the estimates of the open requests, and by no more.
    """

    def __init__(self, max_tokens: int | None = None, max_cost: float | None = None) -> None:
        self.max_tokens, self.max_cost = max_tokens, max_cost
        self.tokens, self.cost = 0, 0.0
        self._held: list[Hold] = []
        self._changed = asyncio.Condition()

    def spend(self, tokens: int, cost: float) -> None:
        """Count what a reply took."""
        self.tokens += tokens
        self.cost += cost

    async def hold(self, prompt_tokens: int, max_tokens: int, price: Price | None, whole: bool = False) -> Hold:
        """Room for one request; its reply may be limited further. Waits for open requests where they take the room.

        Args:
            whole: the reply may not be limited further.

        Raises:
            BudgetReached: no room, and no open request could still give some back.
        """
        async with self._changed:
            while (hold := self._fit(prompt_tokens, max_tokens, price, whole)) is None:
                if not self._held:
                    raise BudgetReached(self._said())
                await self._changed.wait()
            self._held.append(hold)
            return hold

    async def release(self, hold: Hold) -> None:
        """The request is done; what it took has been counted with ``spend``."""
        async with self._changed:
            self._held.remove(hold)
            self._changed.notify_all()

    def _fit(self, prompt_tokens: int, max_tokens: int, price: Price | None, whole: bool) -> Hold | None:
        reply = max_tokens
        if self.max_tokens is not None:
            free = self.max_tokens - self.tokens - sum(hold.tokens for hold in self._held)
            reply = min(reply, free - prompt_tokens)
        if self.max_cost is not None and price is not None:
            money = self.max_cost - self.cost - sum(hold.cost for hold in self._held)
            money -= price.cost(prompt_tokens, 0)
            if money < 0:
                return None
            if price.completion > 0:
                reply = min(reply, int(money / price.completion * 1e6))
        if reply < (max_tokens if whole else min(LEAST_REPLY, max_tokens)):
            return None
        cost = price.cost(prompt_tokens, reply) if price else 0.0
        return Hold(prompt_tokens + reply, cost, reply)

    def _said(self) -> str:
        spent = []
        if self.max_tokens is not None:
            spent.append(f"{self.tokens:,} of {self.max_tokens:,} tokens")
        if self.max_cost is not None:
            spent.append(f"${self.cost:.4f} of ${self.max_cost:.4f}")
        return f"budget reached: {' and '.join(spent)} spent"
