"""Flags and a YAML file into the options of one verb; flags win over the file.

argparse finds the flags; values stay text until ``Option.convert``, so that a flag and a key of the file
are read, checked and refused in the same way.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from paft.cli.options import MISSING, Option
from paft.errors import DataError, InputError
from paft.files import read_text

CONFIG = "config"


@dataclass(frozen=True)
class Group:
    """Options under one heading of the help."""

    title: str
    options: Sequence[Option]


class _Arguments(argparse.ArgumentParser):
    """argparse that raises instead of leaving."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


class Parser:
    """The command line of one verb.

    Args:
        verb: as it is called, ``prompts check``.
        groups: the options, by heading; a name that stands in two groups is taken from the first.
    """

    def __init__(self, verb: str, groups: Sequence[Group]) -> None:
        self.verb = verb
        self.groups = groups
        self.by_name: dict[str, Option] = {}
        for group in groups:
            for item in group.options:
                self.by_name.setdefault(item.name, item)
        self.by_key = self.by_name | {o.alias: o for o in self.by_name.values() if o.alias is not None}

    def parse(self, argv: Sequence[str]) -> dict[str, Any]:
        """The values that were given, typed, by field name. Defaults are left to the dataclass.

        Raises:
            InputError: an unknown flag or key, a value of the wrong type, or a required one missing.
            DataError: a ``--config`` file that is not a YAML mapping.
        """
        found, extra = self._argparse().parse_known_args(list(argv))
        flags = vars(found) | self._positionals(extra)
        values = self._read_file(flags.pop(CONFIG)) if CONFIG in flags else {}
        values |= {name: self._convert(name, raw, self._label(name)) for name, raw in flags.items()}
        missing = [self._label(o.name) for o in self.by_name.values() if o.default is MISSING and o.name not in values]
        if missing:
            raise InputError(f"paft {self.verb} needs {' and '.join(missing)}; see paft {self.verb} --help")
        return values

    def _argparse(self) -> _Arguments:
        parser = _Arguments(f"paft {self.verb}", allow_abbrev=False, add_help=False, argument_default=argparse.SUPPRESS)
        parser.add_argument(f"--{CONFIG}")
        for item in self.by_name.values():
            if item.positional:
                continue
            if item.is_switch:
                parser.add_argument(*item.spellings, dest=item.name, nargs="?", const="true")
                negative = [spelling.replace("--", "--no-", 1) for spelling in item.spellings]
                negative += [f"--no_{item.name}"]
                parser.add_argument(*dict.fromkeys(negative), dest=item.name, action="store_const", const="false")
            else:
                parser.add_argument(*item.spellings, dest=item.name, nargs="+" if item.is_list else None)
        return parser

    def _positionals(self, extra: Sequence[str]) -> dict[str, Any]:
        """What argparse left over, by the name of the positional it fills; a list takes all that is left."""
        unknown = next((word for word in extra if word.startswith("-") and word not in ("-", "--")), None)
        if unknown is not None:
            flag = unknown.split("=")[0]
            raise InputError(f"unknown flag {flag} for paft {self.verb}{self._near(flag.lstrip('-'), '--')}")
        words = [word for word in extra if word != "--"]
        places = [item.name for item in self.by_name.values() if item.positional]
        if words and places and self.by_name[places[-1]].is_list:
            before = len(places) - 1
            return dict(zip(places, [*words[:before], words[before:]], strict=False))
        if len(words) > len(places):
            raise InputError(
                f"paft {self.verb} does not know what to do with {words[len(places)]!r}; see paft {self.verb} --help"
            )
        return dict(zip(places, words, strict=False))

    def _read_file(self, path: str) -> dict[str, Any]:
        """The values of a ``--config`` file; a key may be spelled with ``-`` or ``_``."""
        text = read_text(path)
        try:
            plain = yaml.load(text, Loader=yaml.BaseLoader)  # scalars stay text: 8:1 is no number
            typed = yaml.safe_load(text)
            twice = _key_twice(yaml.compose(text, Loader=yaml.BaseLoader))
        except yaml.YAMLError as bad:
            mark = getattr(bad, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark is not None else ""
            raise DataError(f"{path}{where}: not YAML ({getattr(bad, 'problem', None) or bad})") from None
        if twice is not None:
            raise DataError(f"{path}, line {twice[1]}: the key {twice[0]!r} stands twice; remove one")
        if plain in (None, ""):
            return {}
        if not isinstance(plain, dict):
            raise DataError(f"{path}: expected 'flag: value' lines, found {type(typed).__name__}")
        values = {}
        for key, raw in plain.items():
            item = self.by_key.get(str(key).replace("-", "_"))
            if item is None:
                raise InputError(f"{path}: unknown key {key!r} for paft {self.verb}{self._near(str(key))}")
            value = typed[key] if isinstance(raw, dict) or typed.get(key, raw) is None else raw
            values[item.name] = self._convert(item.name, value, f"{path}: {key}")
        return values

    def _convert(self, name: str, raw: Any, label: str) -> Any:
        try:
            return self.by_name[name].convert(raw)
        except ValueError as bad:
            raise InputError(f"{label}: {bad}") from None

    def _label(self, name: str) -> str:
        item = self.by_name[name]
        return (item.metavar or name.upper()) if item.positional else item.flag

    def _near(self, key: str, lead: str = "") -> str:
        """A hint at the flag or key that was meant; where none is near, at the help."""
        known = [*self.by_key, CONFIG] if lead else list(self.by_key)
        close = difflib.get_close_matches(key.replace("-", "_"), known, n=1)
        if not close:
            return f"; see paft {self.verb} --help"
        return f"; did you mean {lead}{close[0].replace('_', '-') if lead else close[0]}?"


def _key_twice(node: Any) -> tuple[str, int] | None:
    """A key that a mapping of the file has already, in either spelling, and its line; YAML would keep the last."""
    children = node.value if isinstance(node, yaml.CollectionNode) else []
    seen: set[str] = set()
    for child in children:
        if isinstance(node, yaml.MappingNode):
            key, child = child
            name = str(key.value).replace("-", "_")
            if name in seen:
                return str(key.value), key.start_mark.line + 1
            seen.add(name)
        found = _key_twice(child)
        if found is not None:
            return found
    return None
