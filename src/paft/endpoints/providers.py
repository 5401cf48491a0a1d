"""Who is asked: the providers file, checked before any money is spent.

The file is a YAML list. Keys never stand in it: ``api_key_env`` names the environment variable that holds one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from paft.errors import InputError
from paft.files import TextLoader
from paft.yamlfile import Document, read_yaml

OPENAI = "https://api.openai.com/v1"
KEYS: tuple[str, ...] = ("name", "model", "base_url", "api_key_env", "price", "requests_per_minute", "concurrency")
KEYS += ("max_tokens", "timeout", "temperature", "stream", "json_mode", "extra_body")


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars for so many tokens."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


@dataclass(frozen=True, slots=True)
class Provider:
    """A model behind an OpenAI-compatible endpoint.

    Attributes:
        name: how it is called in tables and sources.
        model: the model's name as the endpoint knows it.
        base_url: the endpoint, up to and without ``/chat/completions``.
        api_key_env: environment variable that holds the key; None where no key is needed.
        price: what it charges; None where that is not known.
        requests_per_minute: most requests sent in a minute; None for no limit.
        concurrency: most requests open at once.
        max_tokens: most tokens of one reply.
        timeout: seconds to wait for a whole reply.
        temperature: sampling temperature; None leaves it to the endpoint.
        stream: ask for the reply in pieces: what came before a cut is kept.
        json_mode: ask for ``response_format: json_object``.
        extra_body: further fields of the request, such as ``{"reasoning_effort": "low"}``.
    """

    name: str
    model: str
    base_url: str = OPENAI
    api_key_env: str | None = None
    price: Price | None = None
    requests_per_minute: float | None = None
    concurrency: int = 4
    max_tokens: int = 4096
    timeout: float = 180.0
    temperature: float | None = None
    stream: bool = False
    json_mode: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and model, or the name alone where they are the same."""
        return self.name if self.name == self.model else f"{self.name} {self.model}"

    @property
    def key(self) -> str | None:
        """The key from the environment, without the spaces and line ends that pasting adds; None where unset."""
        return (os.environ.get(self.api_key_env, "").strip() or None) if self.api_key_env else None

    @property
    def lacks_key(self) -> bool:
        """Whether it names an environment variable that is not set."""
        return self.api_key_env is not None and self.key is None


def load_providers(path: str | os.PathLike[str]) -> list[Provider]:
    """Read a providers file.

    Raises:
        MissingFileError, DataError: no such file, an unknown key, a value that does not fit; names the line.
    """
    document = read_yaml(path, list_key="providers")
    document.check_keys(document.value, ("providers",))
    rows = document.value.get("providers")
    if not isinstance(rows, list) or not rows:
        raise document.bad("expected a list of providers, each with a name and a model", "providers")
    providers = [_provider(document, place, row) for place, row in enumerate(rows)]
    check_providers(providers)
    return providers


def check_providers(providers: list[Provider]) -> None:
    """Refuse a list with one model twice: its prompts could not be told apart.

    Raises:
        InputError: none, or one name and model twice.
    """
    if not providers:
        raise InputError("no providers are given; name at least one")
    seen: set[tuple[str, str]] = set()
    for provider in providers:
        if (provider.name, provider.model) in seen:
            raise InputError(f"provider {provider.label!r} is listed twice; remove one or give it another name")
        seen.add((provider.name, provider.model))


def _provider(document: Document, place: int, row: Any) -> Provider:
    at = ("providers", place)
    if not isinstance(row, dict):
        raise document.bad(f"expected a provider with name and model, found {row!r}", *at)
    for key in row:
        if key.casefold().replace("-", "_") in ("api_key", "key", "token", "secret"):
            why = "keys do not belong in a file; put it into an environment variable and name that as api_key_env"
            raise document.bad(f"`{key}`: {why}", *at, key)
        if key not in KEYS:
            raise document.bad(f"unknown key {key!r}; expected {', '.join(KEYS)}", *at, key)
    for key in ("name", "model"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise document.bad(f"a provider needs a {key}", *at)
    given: dict[str, Any] = {"name": row["name"], "model": row["model"]}
    for key, read in READERS.items():
        if key in row:
            try:
                given[key] = read(row[key])
            except (ValueError, TypeError) as bad:
                raise document.bad(f"`{key}`: {bad}", *at, key) from None
    return Provider(**given)


def _number(value: Any, least: float, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number < math.inf:
        raise ValueError(f"expected {what}, found {value!r}")
    return number


def _positive(value: Any) -> float:
    return _number(value, 1e-9, "a number above 0")


def _whole(value: Any) -> int:
    number = _number(value, 1, "a whole number from 1")
    if number != int(number):
        raise ValueError(f"expected a whole number from 1, found {value!r}")
    return int(number)


def _switch(value: Any) -> bool:
    if value not in ("true", "false"):
        raise ValueError(f"expected true or false, found {value!r}")
    return value == "true"


def _url(value: Any) -> str:
    parts = urlsplit(str(value))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        found = "" if "@" in str(value) else f", found {value!r}"  # it may hold a password
        raise ValueError(f"expected an address such as {OPENAI}{found}")
    if parts.username or parts.password or parts.query:
        raise ValueError("expected an address without user, password or query; the key comes from api_key_env")
    return str(value).rstrip("/").removesuffix("/chat/completions")


def _variable(value: Any) -> str:
    if not isinstance(value, str) or not value.isidentifier():
        raise ValueError("expected the name of an environment variable, such as OPENAI_API_KEY")  # it may be a key
    return value


def _price(value: Any) -> Price:
    if not isinstance(value, dict) or set(value) != {"prompt", "completion"}:
        raise ValueError("expected dollars per million tokens, {prompt: 0.15, completion: 0.60}")
    return Price(*(_number(value[side], 0, "dollars per million tokens") for side in ("prompt", "completion")))


def _body(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected fields of the request, found {value!r}")
    taken = {"model", "messages", "stream", "stream_options", "max_tokens", "n"} & set(value)
    if taken:
        raise ValueError(f"{', '.join(sorted(taken))} cannot be set here")
    typed: dict[str, Any] = _typed(value)
    return typed


def _typed(value: Any) -> Any:
    """Texts that are numbers, true, false or null, as such."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    try:
        read = yaml.load(value, Loader=TextLoader)
    except yaml.YAMLError:
        return value
    return read if read is None or isinstance(read, bool | int | float) else value


READERS: Mapping[str, Any] = {
    "base_url": _url,
    "api_key_env": _variable,
    "price": _price,
    "requests_per_minute": _positive,
    "concurrency": _whole,
    "max_tokens": _whole,
    "timeout": _positive,
    "temperature": lambda value: _number(value, 0, "a number from 0"),
    "stream": _switch,
    "json_mode": _switch,
    "extra_body": _body,
}
