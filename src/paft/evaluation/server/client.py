"""Asking a server from beside: an event loop in a thread of its own, what was spent, and errors in one clear line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from paft.endpoints import Api, Budget, BudgetReached, Connection, ProviderEnded, Received, RequestFailed, Unreadable
from paft.errors import EncodingError, ModelError, RunError
from paft.evaluation.server.model import DEFAULT_KEY, ServerModel
from paft.evaluation.server.replies import (
    Listed,
    Scored,
    Straddled,
    Usage,
    Written,
    read_echo,
    read_listed,
    read_written,
)

LARGEST_BODY = 2**26  # an echo names every token of a prompt
Sent = str | Sequence[Mapping[str, str]]
T = TypeVar("T", Written, Scored, Listed)
R = TypeVar("R")
_TOO_LONG = re.compile(
    r"context.{0,20}(length|size|window)|context_length_exceeded|exceed_context"
    r"|(model|input|sequence|prompt).{0,12} length|too long|longer than the max|too many (input )?tokens",
    re.IGNORECASE,
)


class PromptTooLong(Exception):
    """The server has no room for this prompt; the text is what it said."""


class Unsupported(Exception):
    """The reply does not hold what was asked for; the text says what is missing."""


class Asker:
    """One server, asked from any thread. Use it in a ``with`` block, or call ``close``.

    Attributes:
        spent: what all replies took, those of earlier runs of the same work included.

    Raises:
        InputError: the ``openai`` package is not installed.
    """

    def __init__(self, model: ServerModel, api: Api) -> None:
        self.model, self.api = model, api
        self.spent = Usage(0, 0, False, 0)
        self._budget = Budget(None, model.max_cost)
        self._connection = Connection(model.provider(), model.retry_wait, LARGEST_BODY, wait_for_start=False)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True, name="paft-server")
        self._thread.start()

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Begin a piece of work on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Do a piece of work on the loop and wait for it."""
        return self.start(work).result()

    def close(self) -> None:
        """Cancel what is open, and end the thread."""
        if self._loop.is_closed():
            return
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._connection.close()

    def halt(self) -> None:
        """Ask nothing more; open requests are waited for."""
        self._connection.halt()

    def count(self, usage: Usage) -> None:
        """Add what replies took."""
        spent, price = self.spent, self.model.price
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        self.spent = Usage(
            spent.prompt_tokens + prompt,
            spent.completion_tokens + completion,
            spent.estimated or usage.estimated,
            spent.requests + usage.requests,
        )
        self._budget.spend(prompt + completion, price.cost(prompt, completion) if price else 0.0)

    def facts(self) -> dict[str, Any]:
        """What was spent; the cost is in dollars, None where there is no price."""
        spent = self.spent
        tokens = {"prompt": spent.prompt_tokens, "completion": spent.completion_tokens, "estimated": spent.estimated}
        cost = round(self._budget.cost, 6) if self.model.price else None
        return {"requests": spent.requests, "tokens": tokens, "cost": cost}

    async def write(self, sent: Sent, max_tokens: int) -> Written:
        """What the model writes after ``sent``, always the likeliest token."""
        size = _chars(sent)
        fields = {**self._asking(sent), "temperature": 0}
        return await self._ask(fields, max_tokens, size, lambda got: read_written(got, size))

    async def echo(self, prompt: str, answer: str, extra_tokens: int, trying: bool = False) -> Scored:
        """The log-likelihood of ``answer`` after ``prompt``.

        Args:
            extra_tokens: tokens to be generated behind it, 0 or 1; they are left out of account.
            trying: raise Unsupported where the reply does not hold it, rather than ask again.
        """
        text = prompt + answer
        fields = {"prompt": text, "echo": True, "logprobs": 1, "temperature": 1, "top_p": 1}
        return await self._ask(fields, extra_tokens, len(text), lambda got: read_echo(got, text, answer), trying)

    async def listed(self, sent: Sent, top: int, trying: bool = False) -> Listed:
        """The likeliest ``top`` tokens after ``sent``; temperature 1, since some servers list what they sample from."""
        size = _chars(sent)
        wanted = {"logprobs": True, "top_logprobs": top} if self.api == "chat" else {"logprobs": top}
        fields = {**self._asking(sent), **wanted, "temperature": 1, "top_p": 1}
        return await self._ask(fields, 1, size, lambda got: read_listed(got, size), trying)

    def _asking(self, sent: Sent) -> dict[str, Any]:
        if self.api == "completions":
            return {"prompt": sent}
        return {"messages": [{"role": "user", "content": sent}] if isinstance(sent, str) else list(sent)}

    async def _ask(
        self,
        fields: Mapping[str, Any],
        max_tokens: int,
        chars: int,
        read: Callable[[Received], T],
        trying: bool = False,
    ) -> T:
        """One request.

        Raises:
            PromptTooLong: the server has no room for it.
            ModelError: a wrong key, address or model.
            RunError: nothing usable came after all retries, or the budget is spent.
        """

        def reading(got: Received) -> T:
            try:
                return read(got)
            except Unreadable as bad:
                if trying:
                    raise Unsupported(str(bad)) from None
                raise

        try:
            hold = await self._budget.hold(chars * 2 // 7, max_tokens, self.model.price, whole=True)
        except BudgetReached as bad:
            raise RunError(f"{bad}; give a larger --max-cost to go on") from None
        try:
            reply = await self._connection.send(self.api, fields, max_tokens, reading)
            self.count(reply.usage)
            return reply
        except ProviderEnded as bad:
            raise self._ended(bad) from None
        except RequestFailed as bad:
            raise RunError(str(bad)) from None
        except Straddled:
            raise EncodingError(
                "one token covers the end of the prompt and the start of the answer\n"
                "end the template differently, for example with 'Answer:'"
            ) from None
        finally:
            await self._budget.release(hold)

    def _ended(self, bad: ProviderEnded) -> Exception:
        """What a refusal means for the sweep."""
        model = self.model
        if bad.status in (400, 413, 422) and _TOO_LONG.search(f"{bad.said} {bad.code}"):
            return PromptTooLong(bad.said)
        if bad.status in (401, 403):
            key = model.api_key_env or DEFAULT_KEY
            has = "check the key in" if model.provider().key else "no key was sent: put it into"
            other = "" if model.api_key_env else ", or name another variable with --api-key-env"
            return ModelError(f"{model.base_url} refuses: HTTP {bad.status}: {bad.said}\n{has} ${key}{other}")
        if bad.status == 404:
            path = "chat/completions" if self.api == "chat" else "completions"
            other = "completions" if self.api == "chat" else "chat"
            return ModelError(
                f"{model.base_url}/{path} does not answer for model {model.name!r}: HTTP 404: {bad.said}\n"
                f"check --model and --base-url, or ask the other way with --api {other}"
            )
        if bad.status is None:
            return ModelError(f"{bad}\nstart the server, or check --base-url")
        return RunError(str(bad))


def _chars(sent: Sent) -> int:
    return len(sent) if isinstance(sent, str) else sum(len(message["content"]) for message in sent)
