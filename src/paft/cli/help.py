"""The text of ``--help``: one line on the verb, an example call, then every flag with its default."""

from __future__ import annotations

import enum
import shutil
import textwrap

from paft.cli.options import MISSING, Option
from paft.cli.parser import CONFIG, Group

LEFT = 30
NOTE = "Flags may be spelled with - or _; each is also a key of the --config file. Flags win over the file."


def verb_help(verb: str, summary: str, example: str, groups: list[Group], width: int | None = None) -> str:
    """The help of one verb."""
    width = width or columns()
    positionals = [o for g in groups for o in g.options if o.positional]
    required = [o for g in groups for o in g.options if o.default is MISSING and not o.positional]
    call = " ".join([f"paft {verb}", *map(_left, positionals), *(f"{o.flag} {_metavar(o)}" for o in required), "[...]"])
    lines = [summary, "", *_wrap(f"usage: {call}", width, "       "), "", "example:"]
    lines += [f"  {line}" for line in example.strip().splitlines()]
    shown: set[str] = set()
    for group in groups:
        fresh = [o for o in group.options if o.name not in shown]
        shown |= {o.name for o in fresh}
        fresh.sort(key=lambda o: not o.positional)
        lines += ["", f"{group.title}:", *(line for o in fresh for line in _entry(_left(o), _right(o), width))]
    lines += ["", "always:"]
    lines += _entry(f"--{CONFIG} FILE.yaml", "read flags from a YAML file", width)
    lines += _entry("--help, -h", "show this text", width)
    return "\n".join([*lines, "", *textwrap.wrap(NOTE, width)]) + "\n"


def contents_help(title: str, verbs: dict[str, str], prefix: str, footer: str) -> str:
    """The help of ``paft`` itself or of a family of verbs: a list of verbs with their first lines."""
    width = columns()
    lines = [title, "", f"usage: {prefix} VERB [...]", ""]
    for name, summary in verbs.items():
        lines += _entry(name, summary, width, column=14)
    return "\n".join([*lines, "", footer]) + "\n"


def columns() -> int:
    """Columns to write in: those of the terminal, at most 110; 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, 110)


def default_text(item: Option) -> str:
    """The default in words, "" where there is none to show."""
    if item.shown is not None:
        return item.shown
    value = item.default.value if isinstance(item.default, enum.Enum) else item.default
    if value is MISSING or value is None or value in ("", [], ()):
        return ""
    if isinstance(value, bool):
        return f"on; --no-{item.flag[2:]} turns it off" if value else "off"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)


def _metavar(item: Option) -> str:
    if item.metavar is not None:
        return item.metavar
    if item.choices:
        return "|".join(item.choices) if sum(map(len, item.choices)) < 40 else item.name.upper()
    kinds = {int: "N", float: "X"}
    return next((kinds[m] for m in item.members if m in kinds), item.name.upper())


def _left(item: Option) -> str:
    if item.positional:
        return f"{_metavar(item)}{' ...' if item.is_list else ''}"
    if item.is_switch:
        return item.flag
    return f"{item.flag} {_metavar(item)}{' ...' if item.is_list else ''}"


def _right(item: Option) -> str:
    notes = []
    if item.alias is not None:
        notes.append(f"also --{item.alias.replace('_', '-')}")
    if item.default is MISSING:
        notes.append("required")
    elif default_text(item):
        notes.append(f"default: {default_text(item)}")
    return f"{item.help} ({'; '.join(notes)})" if notes else item.help


def _entry(left: str, right: str, width: int, column: int = LEFT) -> list[str]:
    """A flag and what it does, in two columns; the second starts a line of its own where the first is long."""
    body = textwrap.wrap(right, max(width - column, 30), break_on_hyphens=False, break_long_words=False) or [""]
    if len(left) + 4 > column:
        return [f"  {left}", *(" " * column + line for line in body)]
    return [f"  {left}".ljust(column) + body[0], *(" " * column + line for line in body[1:])]


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
