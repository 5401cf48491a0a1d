"""Texts of strangers, made fit to be shown on the page: marks that hide or turn text made visible, long ones cut."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from paft.prompts import Prompt, PromptSet

HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}  # controls, bidi and zero-width marks, lone surrogates, odd separators
KEPT = "\n\t"
PROMPT_LENGTHS = (4000, 1500, 600, 250, 120)
SLOT_LENGTHS = (1500, 700, 400, 250, 150, 80)


def shown(text: object) -> str:
    """``text`` with every mark that cannot be seen spelled out, as in ``⟨U+202E⟩``."""
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(f"⟨U+{ord(c):04X}⟩" if c not in KEPT and unicodedata.category(c) in HIDDEN else c for c in whole)


def cut(text: object, length: int) -> str:
    """``shown(text)`` of at most ``length`` characters, with a note of what is gone."""
    whole = str(text)
    if len(whole) <= length:
        return shown(whole)
    return f"{shown(whole[:length])}… [cut: {length:,} of {len(whole):,} characters]"


def size(value: Any) -> int:
    """Bytes that a value takes on the page, about."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def fitted(make: Callable[[int], Any], lengths: Sequence[int], room: int) -> tuple[Any, int]:
    """What ``make`` returns for the first of ``lengths`` whose value takes no more than ``room`` bytes, or the last."""
    for length in lengths:
        value = make(length)
        if size(value) <= room:
            break
    return value, length


def prompt_parts(prompt: Prompt | None, length: int) -> list[dict[str, Any]] | None:
    """The turns of a prompt as ``{"role", "parts"}``: literals at even places, slot names at odd ones.

    The page fills the slots from this and never parses a template. Of a template whose literals hold more than
    ``length`` characters, each is cut.
    """
    if prompt is None:
        return None
    template = prompt.template
    literals = [part for pieces in template.parsed for part in pieces.pieces[::2]]
    room = length if sum(map(len, literals)) <= length else max(length // len(literals), 40)
    turns = []
    for message, pieces in zip(template.messages, template.parsed, strict=True):
        parts = [cut(p, room) if i % 2 == 0 else shown(p) for i, p in enumerate(pieces.pieces)]
        turns.append({"role": message.role if template.is_chat else None, "parts": parts})
    return turns


def prompt_rows(ids: Iterable[str], prompts: PromptSet | None, length: int) -> list[dict[str, Any]]:
    """Id, turns and origin of each prompt; the turns are None where its text is not known."""
    known = {prompt.id: prompt for prompt in prompts or ()}
    rows = []
    for name in ids:
        prompt = known.get(name)
        source = prompt.source if prompt else {}
        origin = [source[key] for key in ("kind", "model", "strategy", "style") if isinstance(source.get(key), str)]
        rows.append(
            {"id": cut(name, 120), "turns": prompt_parts(prompt, length), "origin": cut(", ".join(origin), 120)}
        )
    return rows


def slot_names(prompts: Iterable[PromptSet], examples: Iterable[Mapping[str, Any]]) -> list[str]:
    """The slots that the prompts use; those of the examples where there are no prompts."""
    used = [name for each in prompts for prompt in each for name in prompt.template.slots]
    if not used:
        used = [name for example in examples for name in example.get("slots") or {}]
    return list(dict.fromkeys(used))


def slot_values(examples: Sequence[Mapping[str, Any] | None], names: Sequence[str], length: int) -> list[Any]:
    """The values of ``names`` for each example, cut to ``length``; None for an example that is not known."""
    rows: list[Any] = []
    for example in examples:
        slots = (example or {}).get("slots")
        rows.append([cut(slots[n], length) if n in slots else None for n in names] if slots else None)
    return rows
