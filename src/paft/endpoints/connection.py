"""Asking one endpoint: the ``openai`` client for the protocol, our own patience, and bodies as they came.

The client library's own retries are off: a retry is a new request for a budget's sake, and what a cut connection
had brought by then is kept.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

from paft.endpoints.providers import Provider
from paft.errors import InputError

RETRIES = 5
LONGEST_WAIT = 120.0
LARGEST_BODY = 2**20
Api = Literal["chat", "completions"]
T = TypeVar("T")
_AGAIN = {408, 409, 425, 429}
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_balance")


class ProviderEnded(Exception):
    """This provider cannot be asked any more: a bad key, an unknown model, no money.

    Attributes:
        status: the HTTP status that said so, or None.
        said: the endpoint's own words.
        code: its error code, or "".
    """

    def __init__(self, message: str, status: int | None = None, said: str = "", code: str = "") -> None:
        super().__init__(message)
        self.status, self.said, self.code = status, said, code


class RequestFailed(Exception):
    """One request brought nothing, although it was sent again."""


class Unreadable(Exception):
    """A reply that is not what was asked for; it is asked again."""


class _Again(Exception):
    """Worth sending again, after ``wait`` seconds where the endpoint said so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass
class Received:
    """What has come of a reply: the body as far as it came, without the key should it stand there."""

    raw: bytearray = field(default_factory=bytearray)
    body: str = ""
    request_id: str | None = None
    cut: bool = False
    seconds: float = 0.0


class Connection:
    """One provider's endpoint.

    Args:
        provider: whom to ask.
        retry_wait: seconds before the first retry; doubled with each, with jitter.
        largest_body: bytes after which a reply is cut.
        wait_for_start: whether an endpoint that has never been reached is asked again.

    Raises:
        InputError: the ``openai`` package is not installed.
    """

    def __init__(
        self,
        provider: Provider,
        retry_wait: float = 1.0,
        largest_body: int = LARGEST_BODY,
        wait_for_start: bool = True,
    ) -> None:
        openai = _openai()
        self.provider = provider
        self.retry_wait = retry_wait
        self.largest_body = largest_body
        self._reached = wait_for_start
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
        self._halted = asyncio.Event()
        self._next_turn = 0.0
        self._limit_name = "max_tokens"

    async def close(self) -> None:
        await self._client.close()

    def halt(self) -> None:
        """Send nothing more: requests that wait for another try fail now, open ones are waited for."""
        self._halted.set()

    async def send(
        self,
        api: Api,
        fields: Mapping[str, Any],
        max_tokens: int,
        read: Callable[[Received], T],
        retries: int = RETRIES,
    ) -> T:
        """Send one request, again where that may help, and return what ``read`` makes of the reply.

        Args:
            fields: the request but for the model, the limit of tokens and the provider's own settings.
            read: raises Unreadable where the reply is to be asked for again.

        Raises:
            ProviderEnded: asking this provider again is of no use.
            RequestFailed: nothing came after all retries.
        """
        async with self._open:
            for attempt in range(retries + 1):
                await self._turn()
                if self._halted.is_set():
                    raise RequestFailed("stopped")
                try:
                    return read(await self._once(api, fields, max_tokens))
                except (_Again, Unreadable) as bad:
                    if attempt == retries:
                        raise RequestFailed(f"{bad}, {retries + 1} times" if retries else str(bad)) from None
                    asked = bad.wait if isinstance(bad, _Again) else None
                    if asked is not None and asked > LONGEST_WAIT:
                        raise ProviderEnded(f"{bad}; it asks to wait {asked:.0f} s: run again later") from None
                    backoff = self.retry_wait * 2**attempt * random.uniform(0.75, 1.25)
                    await self._pause(asked if asked is not None else min(backoff, LONGEST_WAIT))
        raise AssertionError("unreachable")

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._halted.wait(), seconds)
        except TimeoutError:
            return

    async def _turn(self) -> None:
        """Wait until the limit of requests per minute lets another one go."""
        if self.provider.requests_per_minute is None:
            return
        now = time.monotonic()
        self._next_turn = max(self._next_turn, now)
        wait, self._next_turn = self._next_turn - now, self._next_turn + 60 / self.provider.requests_per_minute
        await self._pause(wait)

    async def _once(self, api: Api, fields: Mapping[str, Any], max_tokens: int) -> Received:
        openai = _openai()
        got = Received()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.provider.timeout):
                await self._receive(api, fields, max_tokens, got)
        except openai.APIStatusError as bad:
            self._reached = True
            raise self._judge(bad) from None
        except (openai.APITimeoutError, TimeoutError):
            got.cut = True
            if not got.raw.strip():
                raise _Again(f"no reply within {self.provider.timeout:g} s") from None
        except openai.APIConnectionError as bad:
            why = self.hide(str(bad.__cause__ or bad)).splitlines() or [""]
            told = f"no connection to {self.provider.base_url} ({why[0][:120]})"
            raise (_Again(told) if self._reached else ProviderEnded(told)) from None
        self._reached = True
        got.seconds = round(time.perf_counter() - started, 3)
        got.body = self.hide(got.raw.decode("utf-8", "replace"))
        return got

    async def _receive(self, api: Api, fields: Mapping[str, Any], max_tokens: int, got: Received) -> None:
        """Take the body as it comes, so that what came before a cut is there."""
        parts = self._client.chat.completions if api == "chat" else self._client.completions
        create: Any = parts.with_streaming_response.create
        async with create(**self._settings(api, fields, max_tokens)) as response:
            got.request_id = response.headers.get("x-request-id")
            try:
                async for piece in response.iter_bytes():
                    got.raw += piece
                    if len(got.raw) > self.largest_body:
                        del got.raw[self.largest_body :]
                        got.cut = True
                        return
            except Exception as bad:  # whatever the connection died of
                if not got.raw.strip():
                    raise _Again(f"the connection was cut ({type(bad).__name__})") from None
                got.cut = True

    def _settings(self, api: Api, fields: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
        provider = self.provider
        limit = self._limit_name if api == "chat" else "max_tokens"
        settings: dict[str, Any] = {**fields, "model": provider.model, limit: max_tokens}
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
        status, body = bad.status_code, bad.body if isinstance(bad.body, dict) else {}
        told = body.get("message") or body.get("detail")
        said = " ".join(self.hide(str(told or bad.message)).removeprefix(f"Error code: {bad.status_code} - ").split())
        said = said[:200]
        unknown = "max_completion_tokens" in said and "too large" not in said
        if status == 400 and unknown and self._limit_name == "max_tokens":
            self._limit_name = "max_completion_tokens"  # newer models of OpenAI know the limit by this name alone
            return _Again(f"HTTP 400: {said}", 0.0)
        if status == 429 and (str(bad.code) in _NO_MONEY or any(word in said for word in _NO_MONEY)):
            return ProviderEnded(f"HTTP 429: {said}", status, said)
        if status in _AGAIN or status >= 500:
            return _Again(f"HTTP {status}{f': {said}' if said else ''}", _retry_after(bad.response.headers))
        hint = {401: f"check the key in ${self.provider.api_key_env}", 404: "check model and base_url"}.get(status)
        if self.provider.api_key_env is None and status == 401:
            hint = "it wants a key: name its environment variable as api_key_env"
        code = str(body.get("code") or body.get("type") or "")
        return ProviderEnded(f"HTTP {status}: {said}{f'; {hint}' if hint else ''}", status, said, code)

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
            "asking a server needs the openai package: pip install 'paft[generate]'\n"
            "prompts can be generated without: --providers grammar"
        ) from None
    return openai
