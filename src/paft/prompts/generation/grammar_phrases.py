"""The rules of the prompt grammar, and how one is expanded.

A rule is a list of alternatives, read from ``resources/grammar.yaml``. ``[name]`` in an alternative stands for
another rule, or for one of the words that the task gives (its slots, options, labels, description). A word with no
form, such as ``[desc]`` where the task has no description, rules out the alternatives that need it; one whose only
form is "" is a condition. ``[^name]`` is the same with a capital.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import yaml

from paft.tasks.base import TaskType

Words = Mapping[str, Sequence[str]]
Rules = Mapping[str, Sequence[str]]
_SYMBOL = re.compile(r"\[(\^?)([a-z_]+)\]")


def expand(rule: str, known: Rules, words: Words, rng: random.Random, used: set[str] | None = None) -> str:
    """One sentence of ``rule``; the task's words are put in as they are and never read as rules.

    A word that has come once takes its forms from ``NAME_again``, where there are such.
    """
    used = set() if used is None else used
    usable = [a for a in known[rule] if all(words.get(name, ("",)) for _, name in _SYMBOL.findall(a))]

    def fill(symbol: re.Match[str]) -> str:
        capital, name = symbol.groups()
        again = f"{name}_again" if name in used and f"{name}_again" in words else name
        used.add(name)
        text = rng.choice(words[again]) if again in words else expand(name, known, words, rng, used)
        return text[:1].upper() + text[1:] if capital else text

    return _SYMBOL.sub(fill, rng.choice(usable))


@cache
def rules(kind: TaskType) -> Rules:
    """The rules for a type of task: those for all types and its own."""
    text = (files("paft") / "resources" / "grammar.yaml").read_text(encoding="utf-8")
    tables = yaml.safe_load(text)
    return {name: table.splitlines() for name, table in {**tables["common"], **tables[kind]}.items()}


ADJECTIVES = {
    "choice": ("right", "correct", "best", "most fitting"),
    "label": ("right", "correct", "best", "most fitting"),
    "free": ("right", "correct", "expected"),
}
KINDS = (("label", "labels"), ("category", "categories"), ("class", "classes"), ("tag", "tags"))
MARKS = (":", ":", ":", ":", ":", ":", " =", " ->", " =>", "...", " -")
