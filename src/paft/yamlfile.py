"""YAML with line numbers, where every value is text.

YAML would turn ``yes`` into a boolean, ``0`` into a number and ``2024-01-01`` into a date; a label stored as
``yes`` is the text "yes". Numbers are read from their text where a number is meant.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from paft.errors import DataError
from paft.files import read_text

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A tree of dicts, lists and strings.

    Attributes:
        value: the tree.
        name: what holds it, for errors: a file, or the call it was given to.
        lines: path of keys -> line, from 1; empty where it was not read from a file.
    """

    value: dict[str, Any]
    name: str
    lines: Mapping[Keys, int] = field(default_factory=dict)

    def where(self, *keys: str | int) -> str:
        """The file and the line of ``keys``, or of the nearest key above that has one."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.lines:
                return f"{self.name}, line {self.lines[keys[:length]]}"
        return self.name

    def bad(self, message: str, *keys: str | int) -> DataError:
        """An error at ``where(*keys)``."""
        return DataError(f"{self.where(*keys)}: {message}")

    def check_keys(self, found: Mapping[str, Any], known: Iterable[str], *above: str) -> None:
        """Refuse a key of ``found`` that is not known, with the nearest one that is."""
        known = list(known)
        for key in found:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                place = f" in {'.'.join(above)}" if above else ""
                raise self.bad(f"unknown key {key!r}{place}; {hint}expected {', '.join(known)}", *above, key)


def read_yaml(path: str | os.PathLike[str], list_key: str | None = None) -> Document:
    """The one mapping of a YAML file.

    Args:
        list_key: a bare list is read as if it stood under this key.

    Raises:
        MissingFileError: no such file.
        DataError: not YAML, not a mapping, or a key that stands twice; names the line.
    """
    path = Path(path)
    try:
        node = yaml.compose(read_text(path), Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise DataError(f"{path}{line}: not YAML: {bad.problem or bad.context}") from None
    except yaml.YAMLError as bad:
        raise DataError(f"{path}: not YAML: {str(bad).splitlines()[0]}") from None
    lines: dict[Keys, int] = {}
    if list_key is not None and isinstance(node, yaml.SequenceNode):
        return Document({list_key: _build(path, node, (list_key,), lines)}, str(path), lines)
    if not isinstance(node, yaml.MappingNode):
        raise DataError(f"{path}: expected `key: value` lines, found {'nothing' if node is None else 'something else'}")
    return Document(_build(path, node, (), lines), str(path), lines)


def _build(path: Path, node: Any, keys: Keys, lines: dict[Keys, int]) -> Any:
    lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_build(path, child, (*keys, place), lines) for place, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    built: dict[str, Any] = {}
    for key_node, child in node.value:
        line, key = key_node.start_mark.line + 1, key_node.value
        if not isinstance(key, str):
            raise DataError(f"{path}, line {line}: expected a plain key, found a {key_node.id}")
        if key in built:
            raise DataError(f"{path}, line {line}: the key {key!r} stands twice; remove one")
        lines[(*keys, key)] = line
        built[key] = _build(path, child, (*keys, key), lines)
    return built


def as_document(value: Mapping[str, Any], name: str) -> Document:
    """A document from Python values, numbers and booleans as the text YAML would hold."""
    return Document(_texts(value), name)


def _texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_texts(key): _texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
