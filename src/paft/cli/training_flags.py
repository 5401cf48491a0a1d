"""The flags of ``paft train`` that are fields of ``PaftConfig``, kept in the user's cache.

To read the fields takes torch, transformers and peft, many seconds of imports; what is kept takes none of them. It is
kept by the versions and the sources that the fields come from, and is written again where it is missing or damaged.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import os
import sys
import types
import typing
from contextlib import suppress
from functools import reduce
from importlib.metadata import version
from importlib.util import find_spec
from operator import or_
from pathlib import Path
from typing import Any, Literal, Union

from paft.cli.options import Option, options_of
from paft.cli.parser import Group
from paft.errors import PaftError
from paft.files import read_json, write_json

FORMAT = 1
# fields of TrainingArguments that nearly every run sets: they are listed with paft's own
COMMON = (
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "eval_strategy",
    "eval_steps",
    "load_best_model_at_end",
)
# output_dir, method and max_examples are --output, --method and --limit; the last is no value to write down
TAKEN = ("output_dir", "method", "max_examples", "parallelism_config")
_PLAIN: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "dict": dict, "null": type(None)}


def training_groups() -> list[Group]:
    """The fields of ``PaftConfig``: paft's own and the common ones, then every other one."""
    place = _place()
    found = _kept(place)
    if found is not None:
        return found
    made = [_as_json(group) for group in _from_classes()]
    if place is not None:
        with suppress(PaftError, OSError, TypeError, ValueError):  # no room, or no JSON: the next call is slow too
            write_json(place, made)
    return [_from_json(group) for group in made]


def _from_classes() -> list[Group]:
    from transformers import TrainingArguments

    from paft.training import PaftConfig

    inherited = {f.name for f in dataclasses.fields(TrainingArguments)}
    named = inspect.get_annotations(PaftConfig)
    first: list[Option] = []
    rest: list[Option] = []
    for item in options_of(PaftConfig):
        if item.name in TAKEN:
            continue
        own = item.name in COMMON or item.name not in inherited or item.name in named
        (first if own else rest).append(item)
    return [
        Group("how to train", sorted(first, key=lambda o: o.name in inherited)),
        Group("every other field of transformers.TrainingArguments", rest),
    ]


def _place() -> Path | None:
    """Where the fields are kept; None where there is no such place, or a package is missing."""
    try:
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        folder = (given if given.is_absolute() else Path.home() / ".cache") / "paft"
        return folder / f"training-flags-{_fingerprint()}.json"
    except (ImportError, OSError, RuntimeError):  # no package, an unreadable source, no home folder
        return None


def _fingerprint() -> str:
    """Changes with every version or source that the fields, their defaults or their words come from."""
    found = find_spec("transformers")  # a package at the top: it is not imported
    if found is None or found.origin is None:
        raise ImportError("transformers")
    here, theirs = Path(__file__), Path(found.origin)
    sources = (here, here.with_name("options.py"), here.parents[1] / "training" / "config.py")
    text = [FORMAT, sys.version, *(version(name) for name in ("paft", "transformers", "torch", "accelerate"))]
    digest = hashlib.sha256(repr(text).encode())
    for path in (*sources, theirs.with_name("training_args.py"), theirs.with_name("trainer_utils.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _kept(place: Path | None) -> list[Group] | None:
    """What was kept; None where nothing is, or it cannot be used."""
    if place is None:
        return None
    try:
        groups = [_from_json(group) for group in read_json(place)]
    except (PaftError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return None
    return groups if len(groups) == 2 and all(group.options for group in groups) else None


def _as_json(group: Group) -> dict[str, Any]:
    rows = []
    for item in group.options:
        default = item.default.value if isinstance(item.default, enum.Enum) else item.default
        rows.append(vars(item) | {"hint": hint_as_json(item.hint), "default": default})
    return {"title": group.title, "options": rows}


def _from_json(group: dict[str, Any]) -> Group:
    items = [
        Option(**(row | {"hint": hint_from_json(row["hint"]), "words": tuple(row["words"])}))
        for row in group["options"]
    ]
    return Group(group["title"], items)


def hint_as_json(hint: Any) -> Any:
    """What ``Option`` reads off a type, as plain values: kinds by name, members of a union, words of a choice."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return {"any": [hint_as_json(member) for member in inside]}
    if origin in (list, tuple):
        return {origin.__name__: hint_as_json(inside[0])}
    if origin is Literal:
        return {"choice": [str(word) for word in inside]}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"choice": [str(member.value) for member in hint]}
    return next((name for name, kind in _PLAIN.items() if kind is (origin or hint)), "other")


def hint_from_json(value: Any) -> Any:
    """The type that ``hint_as_json`` described, an enum as a choice of its words."""
    if isinstance(value, str):
        return _PLAIN.get(value, object)
    [(kind, inside)] = value.items()
    if kind == "any":
        return reduce(or_, map(hint_from_json, inside))
    if kind == "choice":
        return Literal[tuple(inside)]
    member = hint_from_json(inside)
    return tuple[member, ...] if kind == "tuple" else list[member]  # type: ignore[valid-type]  # made while running
