"""Templates as Jinja text that renders to the same characters, and the YAML that such texts are kept in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from paft.errors import InputError
from paft.prompts.prompt_set import PromptSet
from paft.prompts.template import Pieces

RENDERED = "paft_rendered"  # the name under which a text is put together before its end is stripped
_TAKEN = {"True", "False", "None", "true", "false", "none", "not", "self", RENDERED}
# Jinja would read {{ {% {# as marks of its own, also across a slot's start, and turn a carriage return into \n
_MARK = re.compile(r"\{(?=[{%#\r]|\Z)|\r")
_BREAKS = re.compile("[\x85\u2028\u2029]")  # YAML folds these as it does line breaks


def text_of(pieces: Pieces) -> str:
    """The Jinja text of a parsed template: slots as ``{{slot}}``, literal Jinja marks escaped."""
    parts = list(pieces.pieces)
    parts[::2] = [literal(text) for text in pieces.pieces[::2]]
    parts[1::2] = ["{{" + name + "}}" for name in pieces.slots]
    return "".join(parts)


def literal(text: str) -> str:
    """``text`` as Jinja that renders to it, wherever it stands but at the very end with one line break."""
    return _MARK.sub(lambda mark: '{{ "{" }}' if mark.group() == "{" else '{{ "\\r" }}', text)


def refuse_chat(prompts: PromptSet, format: str) -> None:
    """Refuse a chat template, which is no text; the InputError names the prompt."""
    for prompt in prompts:
        if prompt.template.is_chat:
            raise InputError(
                f"prompt {prompt.id} is a list of chat messages, which {format} cannot hold; use --format jsonl"
            )


def refuse_unwritable(prompts: PromptSet, format: str) -> None:
    """Refuse what Jinja text cannot hold.

    Raises:
        InputError: a chat template, or a slot whose name means something else to Jinja; names the prompt.
    """
    refuse_chat(prompts, format)
    for prompt in prompts:
        for slot in prompt.template.slots:
            if slot in _TAKEN:
                raise InputError(f"prompt {prompt.id}: slot {{{slot}}} means something else in Jinja; rename the slot")


@dataclass(frozen=True)
class Tagged:
    """A mapping under a YAML tag such as ``!Template``."""

    tag: str
    value: Mapping[str, Any]


class _Dumper(yaml.SafeDumper):
    """Texts of several lines stand as blocks after ``|``."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = '"' if _BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Tagged, lambda dumper, tagged: dumper.represent_mapping(tagged.tag, tagged.value))


def to_yaml(value: Mapping[str, Any]) -> bytes:
    """``value`` as YAML, keys in their order."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text.encode()
