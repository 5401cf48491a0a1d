"""A model behind an OpenAI-compatible server, to be swept where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from paft.endpoints import READERS, Api, Price, Provider
from paft.errors import InputError
from paft.prompts import Prompt

DEFAULT_KEY = "OPENAI_API_KEY"
OURS = ("model", "prompt", "messages", "stream", "n", "best_of", "echo", "logprobs", "top_logprobs", "max_tokens")


@dataclass(frozen=True)
class ServerModel:
    """What ``sweep`` takes in place of a model's folder: vLLM, llama.cpp, a hosted API.

    Attributes:
        name: the model's name as the server knows it.
        base_url: the server's address, up to and without ``/completions``; it holds no user, password or query.
        api: ``completions`` (the prompt is sent as it is), ``chat`` (it is a user's message, and the server puts it
            into the model's chat template), or ``auto``: ``chat`` where prompts are made of messages or ``chat="on"``.
        api_key_env: environment variable that holds the key; None takes ``OPENAI_API_KEY`` where that is set.
        concurrency: most requests open at once.
        price: dollars per million tokens; None where that is not known.
        max_cost: dollars after which nothing more is asked; needs a price.
        requests_per_minute: most requests sent in a minute; None for no limit.
        timeout: seconds to wait for a whole reply.
        extra_body: further fields of every request, such as ``{"reasoning_effort": "low"}``.
        retry_wait: seconds before the first retry; doubled with each, unless the server names a time.

    Raises:
        InputError: a value that cannot be used.
    """

    name: str
    base_url: str
    api: Literal["auto", "completions", "chat"] = "auto"
    api_key_env: str | None = None
    concurrency: int = 8
    price: Price | None = None
    max_cost: float | None = None
    requests_per_minute: float | None = None
    timeout: float = 180.0
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    retry_wait: float = 1.0

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("--model is empty; give the model's name as the server knows it")
        if self.api not in ("auto", "completions", "chat"):
            raise InputError(f"--api must be completions or chat, found {self.api!r}")
        object.__setattr__(self, "base_url", self._read("base_url", self.base_url).removesuffix("/completions"))
        for name in ("concurrency", "timeout", "requests_per_minute"):
            if getattr(self, name) is not None:
                self._read(name, getattr(self, name))
        if self.api_key_env is not None:
            self._read("api_key_env", self.api_key_env)
            if self.provider().key is None:
                raise InputError(f"${self.api_key_env} is not set; put the server's key into it")
        if self.max_cost is not None and not self.max_cost > 0:
            raise InputError(f"--max-cost must be above 0, found {self.max_cost:g}")
        if self.max_cost is not None and self.price is None:
            raise InputError("--max-cost needs --price: dollars per million tokens of prompts and of completions")
        if taken := sorted(set(self.extra_body) & set(OURS)):
            raise InputError(f"--extra-body cannot set {', '.join(taken)}")

    def _read(self, name: str, value: Any) -> Any:
        try:
            return READERS[name](value)
        except (ValueError, TypeError) as bad:
            raise InputError(f"--{name.replace('_', '-')}: {bad}") from None

    def api_for(self, prompts: Iterable[Prompt], chat: str) -> Api:
        """Which API is asked, given the prompts and ``--chat``.

        Raises:
            InputError: ``--chat`` contradicts the API asked for.
        """
        if chat not in ("auto", "on", "off"):
            raise InputError(f"--chat must be auto, on or off, found {chat!r}")
        if self.api == "auto":
            messages = any(not isinstance(prompt.text, str) for prompt in prompts)
            return "chat" if chat == "on" or (chat == "auto" and messages) else "completions"
        if (self.api, chat) in (("completions", "on"), ("chat", "off")):
            raise InputError(f"--api {self.api} and --chat {chat} contradict each other; leave --chat out")
        return self.api

    def provider(self) -> Provider:
        """The server as the client of candidate generation knows it."""
        return Provider(
            name=self.name,
            model=self.name,
            base_url=self.base_url,
            api_key_env=self.api_key_env or DEFAULT_KEY,
            price=self.price,
            requests_per_minute=self.requests_per_minute,
            concurrency=int(self.concurrency),
            timeout=float(self.timeout),
            extra_body=dict(self.extra_body),
        )

    def identity(self, api: Api) -> dict[str, Any]:
        """What decides its answers."""
        return {
            "backend": "server",
            "base_url": self.base_url,
            "model": self.name,
            "api": api,
            "extra_body": dict(self.extra_body),
        }
