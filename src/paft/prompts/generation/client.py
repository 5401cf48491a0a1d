"""Asking one endpoint: the ``openai`` client for the protocol, our own patience, and every reply into the journal.

The client library's own retries are off: a retry is a new request for the budget's sake, and what a cut connection
had brought by then is kept.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from paft.errors import InputError
from paft.prompts.generation.journal import Entry
from paft.prompts.generation.providers import Provider

RETRIES = 5
LONGEST_WAIT = 120.0
LARGEST_BODY = 2**20
_AGAIN = {408, 409, 425, 429}
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_balance")


class ProviderEnded(Exception):
    """This provider cannot be asked any more: a bad key, an unknown model, no money."""


class RequestFailed(Exception):
    """One request brought nothing, although it was sent again."""


class _Again(Exception):
    """Worth sending again, after ``wait`` seconds where the endpoint said so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass
class _Received:
    """What has come of a reply so far."""

    body: bytearray = field(default_factory=bytearray)
    request_id: str | None = None
    cut: bool = False


class Client:
    """One provider's endpoint.

    Args:
        provider: whom to ask.
        retry_wait: seconds before the first retry; doubled with each, with jitter.

    Raises:
        InputError: the ``openai`` package is not installed.
    """

    def __init__(self, provider: Provider, retry_wait: float = 1.0) -> None:
        openai = _openai()
        self.provider = provider
        self.retry_wait = retry_wait
        self._key = provider.key
        # given in full: the library would otherwise send another account's names from its own variables
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            organization="",
            project="",
            base_url=provider.base_url,
            max_retries=0,
            timeout=openai.Timeout(provider.timeout, connect=min(15.0, provider.timeout)),
            default_headers={"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()},
        )
        self._open = asyncio.Semaphore(provider.concurrency)
        self._next_turn = 0.0
        self._limit_name = "max_tokens"

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, messages: Sequence[Mapping[str, str]], max_tokens: int, asked: int, estimate: int) -> Entry:
        """Send one request, again where that may help, and return what came.

        Raises:
            ProviderEnded: asking this provider again is of no use.
            RequestFailed: nothing came after all retries.
        """
        async with self._open:
            for attempt in range(RETRIES + 1):
                await self._turn()
                try:
                    return await self._once(messages, max_tokens, asked, estimate)
                except _Again as bad:
                    if attempt == RETRIES:
                        raise RequestFailed(f"{bad}, {RETRIES + 1} times") from None
                    if bad.wait is not None and bad.wait > LONGEST_WAIT:
                        raise ProviderEnded(f"{bad}; it asks to wait {bad.wait:.0f} s: run again later") from None
                    backoff = self.retry_wait * 2**attempt * random.uniform(0.75, 1.25)
                    await asyncio.sleep(bad.wait if bad.wait is not None else min(backoff, LONGEST_WAIT))
        raise AssertionError("unreachable")

    async def _turn(self) -> None:
        """Wait until the limit of requests per minute lets another one go."""
        if self.provider.requests_per_minute is None:
            return
        now = time.monotonic()
        self._next_turn = max(self._next_turn, now)
        wait, self._next_turn = self._next_turn - now, self._next_turn + 60 / self.provider.requests_per_minute
        await asyncio.sleep(wait)

    async def _once(self, messages: Sequence[Mapping[str, str]], max_tokens: int, asked: int, estimate: int) -> Entry:
        openai = _openai()
        got = _Received()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.provider.timeout):
                await self._receive(messages, max_tokens, got)
        except openai.APIStatusError as bad:
            raise self._judge(bad) from None
        except (openai.APITimeoutError, TimeoutError):
            got.cut = True
            if not got.body.strip():
                raise _Again(f"no reply within {self.provider.timeout:g} s") from None
        except openai.APIConnectionError as bad:
            why = self.hide(str(bad.__cause__ or bad)).splitlines() or [""]
            raise _Again(f"no connection to {self.provider.base_url} ({why[0][:120]})") from None
        seconds, now = time.perf_counter() - started, datetime.now(UTC).isoformat(timespec="seconds")
        body = self.hide(got.body.decode("utf-8", "replace"))
        return Entry(asked, body, got.cut, got.request_id, round(seconds, 3), now, estimate)

    async def _receive(self, messages: Sequence[Mapping[str, str]], max_tokens: int, got: _Received) -> None:
        """Take the body as it comes, so that what came before a cut is there."""
        create = self._client.chat.completions.with_streaming_response.create
        async with create(messages=messages, **self._settings(max_tokens)) as response:
            got.request_id = response.headers.get("x-request-id")
            try:
                async for piece in response.iter_bytes():
                    got.body += piece
                    if len(got.body) > LARGEST_BODY:
                        del got.body[LARGEST_BODY:]
                        got.cut = True
                        return
            except Exception as bad:  # whatever the connection died of
                if not got.body.strip():
                    raise _Again(f"the connection was cut ({type(bad).__name__})") from None
                got.cut = True

    def _settings(self, max_tokens: int) -> dict[str, Any]:
        provider = self.provider
        settings: dict[str, Any] = {"model": provider.model, self._limit_name: max_tokens}
        if provider.temperature is not None:
            settings["temperature"] = provider.temperature
        if provider.json_mode:
            settings["response_format"] = {"type": "json_object"}
        if provider.stream:
            settings |= {"stream": True, "stream_options": {"include_usage": True}}
        if provider.extra_body:
            settings["extra_body"] = dict(provider.extra_body)
        return settings

    def _judge(self, bad: Any) -> Exception:
        """What a status means: another try, or the end of this provider."""
        status, told = bad.status_code, bad.body.get("message") if isinstance(bad.body, dict) else None
        said = " ".join(self.hide(str(told or bad.message)).removeprefix(f"Error code: {bad.status_code} - ").split())
        said = said[:200]
        if status == 400 and "max_completion_tokens" in said and self._limit_name == "max_tokens":
            self._limit_name = "max_completion_tokens"  # newer models of OpenAI know the limit by this name alone
            return _Again(f"HTTP 400: {said}", 0.0)
        if status == 429 and (str(bad.code) in _NO_MONEY or any(word in said for word in _NO_MONEY)):
            return ProviderEnded(f"HTTP 429: {said}")
        if status in _AGAIN or status >= 500:
            return _Again(f"HTTP {status}{f': {said}' if said else ''}", _retry_after(bad.response.headers))
        hint = {401: f"check the key in ${self.provider.api_key_env}", 404: "check model and base_url"}.get(status)
        if self.provider.api_key_env is None and status == 401:
            hint = "it wants a key: name its environment variable as api_key_env"
        return ProviderEnded(f"HTTP {status}: {said}{f'; {hint}' if hint else ''}")

    def hide(self, text: str) -> str:
        """``text`` without the key, should an endpoint have sent it back."""
        return text.replace(self._key, "[key]") if self._key else text


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``Retry-After`` (seconds or a date) or ``retry-after-ms``; None where not said."""
    try:
        if (value := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(value) / 1000)
        if (value := headers.get("retry-after")) is None:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _openai() -> Any:
    try:
        import openai
    except ImportError:
        raise InputError(
            "asking LLMs needs the openai package: pip install 'paft[generate]'; --providers grammar needs none"
        ) from None
    return openai
