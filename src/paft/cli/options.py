"""A verb's options as a dataclass: what its fields say about flags, and text turned into typed values."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union

MISSING = dataclasses.MISSING
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}


def option(
    help: str, default: Any = MISSING, *, positional: bool = False, metavar: str | None = None, alias: str | None = None
) -> Any:
    """A dataclass field that is a flag. Without a default the flag must be given."""
    about = {"help": help, "positional": positional, "metavar": metavar, "alias": alias}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class Option:
    """One flag: ``--some-flag``, ``--some_flag``, and the key ``some_flag`` of a ``--config`` file."""

    name: str
    hint: Any
    default: Any
    help: str
    positional: bool = False
    metavar: str | None = None
    alias: str | None = None
    words: tuple[str, ...] = ()
    shown: str | None = None  # the default in words, where it depends on the machine

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def spellings(self) -> list[str]:
        """Every way to write the flag on the command line."""
        names = [self.name] if self.alias is None else [self.name, self.alias]
        return list(dict.fromkeys(f"--{text}" for name in names for text in (name.replace("_", "-"), name)))

    @property
    def members(self) -> tuple[Any, ...]:
        """The types of a union; the type itself otherwise."""
        if typing.get_origin(self.hint) in (Union, types.UnionType):
            return typing.get_args(self.hint)
        return (self.hint,)

    @property
    def is_switch(self) -> bool:
        return bool in self.members

    @property
    def is_list(self) -> bool:
        return any(_origin(m) in (list, tuple) for m in self.members)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words the value may be; empty where it is not a choice."""
        if self.words:
            return self.words
        for member in self.members:
            if typing.get_origin(member) is Literal:
                return tuple(str(a) for a in typing.get_args(member))
            if isinstance(member, type) and issubclass(member, enum.Enum):
                return tuple(str(m.value) for m in member)
        return ()

    def convert(self, value: Any) -> Any:
        """``value`` as the field's type: text, a list of texts, and from YAML also a mapping or None.

        Raises:
            ValueError: says what was expected and found, without naming the flag.
        """
        if isinstance(value, list):
            return self._convert_list(value)
        if isinstance(value, dict):
            if any(_origin(m) is dict for m in self.members):
                return value
            raise ValueError(f"expected {self.expected}, found a mapping")
        if value is None or (str not in self.members and str(value).casefold() in ("", "none", "null")):
            if type(None) in self.members:
                return None
            raise ValueError(f"expected {self.expected}, found nothing")
        number = self._number(str(value))
        if number is not None:
            return number
        if self.choices:
            return self._choose(str(value))
        if self.is_list and str not in self.members:
            return self._convert_list([value])
        if value == "" and self.default != "":
            raise ValueError("expected text, found nothing; leave it out, or see whether a variable is empty")
        if str in self.members or any(_origin(m) is dict for m in self.members):
            return str(value)
        raise ValueError(f"expected {self.expected}, found {str(value)!r}")

    @property
    def expected(self) -> str:
        """What the value must be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.is_list:
            return "a list"
        return " or ".join(_EXPECTED[_origin(m)] for m in self.members if _origin(m) in _EXPECTED) or "text"

    def _number(self, text: str) -> Any:
        """``text`` as a bool, int or float, where the value may be one and it is one."""
        found = (_number(kind, text) for kind in (bool, int, float) if kind in self.members)
        return next((number for number in found if number is not None), None)

    def _choose(self, value: str) -> str:
        if value not in self.choices:
            raise ValueError(f"expected {self.expected}, found {value!r}")
        return value

    def _convert_list(self, values: list[Any]) -> Any:
        if not self.is_list:
            if len(values) == 1:
                return self.convert(values[0])
            raise ValueError(f"expected {self.expected}, found a list")
        if len(values) == 1 and str in self.members:
            return str(values[0])
        if type(None) in self.members and [str(v).casefold() for v in values] in (["none"], ["null"]):
            return None
        kind = next(typing.get_args(m)[0] for m in self.members if _origin(m) in (list, tuple))
        items = [Option(self.name, kind, MISSING, "").convert(v) for v in values]
        return tuple(items) if any(_origin(m) is tuple for m in self.members) else items


def _origin(member: Any) -> Any:
    return typing.get_origin(member) or member


def _number(kind: type, text: str) -> Any:
    """``text`` as a bool, int or float; None where it is not one."""
    if kind is bool:
        return True if text.casefold() in _TRUE else False if text.casefold() in _FALSE else None
    try:
        number = kind(text)
    except ValueError:
        return None
    return None if number != number else number  # nan is no setting


def options_of(cls: type) -> list[Option]:
    """The options of a dataclass: those of its mixins in the order they are named, then its own."""
    hints = typing.get_type_hints(cls)
    by_name = {f.name: f for f in dataclasses.fields(cls) if f.init}
    return [_option(by_name[name], hints[name]) for name in _reading_order(cls) if name in by_name]


def _reading_order(cls: type) -> Iterator[str]:
    seen: set[str] = set()
    for base in (*cls.__mro__[1:], cls):
        for name in inspect.get_annotations(base):
            if name not in seen:
                seen.add(name)
                yield name


def _option(f: dataclasses.Field, hint: Any) -> Option:
    about = f.metadata
    default = f.default if f.default_factory is MISSING else None if about.get("shown") else f.default_factory()
    help_text = " ".join(str(about.get("help") or "").split())
    return Option(
        f.name,
        hint,
        default,
        help_text,
        about.get("positional", False),
        about.get("metavar"),
        about.get("alias"),
        tuple(about.get("choices") or ()),
        about.get("shown"),
    )
