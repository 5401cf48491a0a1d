"""The layout of a template: the order of its slots, where the options are, where the instruction stands.

Options are the slots of a counted family, ``{A} {B} {C}`` or ``{sol1} {sol2}``; for a label task they are the label
words instead, where a template names at least two of them. A stretch of wording is an instruction if it has four
words or more: what is shorter is the name of a field or an answer cue.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from paft.prompts.similarity import MASK
from paft.prompts.template import Template
from paft.tasks.base import Task

INSTRUCTION_WORDS = 4
_COUNTED = re.compile(r"(?P<stem>.*?)_?(?P<number>\d+)|(?P<letters>.+_)?(?P<letter>[A-Za-z])")
_OPTIONS = {
    "none": "no options",
    "before": "options first",
    "after": "options last",
    "among": "options among the other slots",
    "alone": "options alone",
}


class Layout(NamedTuple):
    """How a template is laid out.

    Attributes:
        slots: the slots in reading order, each as often as it is used; aliases by the name they stand for.
        options: where the options are to the other slots: ``before``, ``after``, ``among``, ``alone`` or ``none``.
        form: ``lines`` where a line break parts every two options, ``inline``, or "" without options.
        instruction: ``before`` the first slot, ``after`` the last, ``around`` (both), ``between`` or ``none``.
    """

    slots: tuple[str, ...]
    options: str
    form: str
    instruction: str

    def __str__(self) -> str:
        form = {"lines": ", one a line", "inline": ", inline", "": ""}[self.form]
        told = "no instruction" if self.instruction == "none" else f"instruction {self.instruction}"
        return f"{' '.join(self.slots) or 'no slots'}; {_OPTIONS[self.options]}{form}; {told}"

    def row(self) -> dict[str, Any]:
        """The layout as a JSON object."""
        return {**self._asdict(), "slots": list(self.slots)}


def layout(template: Template, task: Task | None = None) -> Layout:
    """The layout of ``template``; ``task`` tells label words and aliases."""
    text = template.mask(MASK)
    aliases = task.aliases if task is not None else {}
    slots = [aliases.get(name, name) for pieces in template.parsed for name in pieces.slots]
    places = [place for place, character in enumerate(text) if character == MASK]
    if task is not None and task.type == "label":
        optional, others = _label_places(text, task.answers), places
    else:
        family = _family(slots)
        optional = [place for place, name in zip(places, slots, strict=True) if name in family]
        others = [place for place, name in zip(places, slots, strict=True) if name not in family]
    return Layout(tuple(slots), _where(optional, others), _form(text, optional), _instruction(text, places))


def _family(slots: Sequence[str]) -> set[str]:
    """The slots whose names count something: two or more of the same stem with a number or a single letter."""
    stems: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for name in slots:
        if match := _COUNTED.fullmatch(name):
            numbered = match["number"] is not None
            stems[(match["stem"] if numbered else match["letters"]) or "", numbered].add(name)
    return {name for names in stems.values() if len(names) > 1 for name in names}


def _label_places(text: str, answers: Sequence[str]) -> list[int]:
    """Where each label word is named first; nothing unless two or more of them are."""
    found = [re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE) for answer in answers]
    places = sorted(match.start() for match in found if match)
    return places if len(places) > 1 else []


def _where(options: Sequence[int], others: Sequence[int]) -> str:
    if not options:
        return "none"
    if not others:
        return "alone"
    if max(options) < min(others):
        return "before"
    return "after" if min(options) > max(others) else "among"


def _form(text: str, options: Sequence[int]) -> str:
    if not options:
        return ""
    parted = ["\n" in text[one:other] for one, other in pairwise(options)]
    return "lines" if parted and all(parted) else "inline"


def _instruction(text: str, places: Sequence[int]) -> str:
    if not places:
        return "before" if _instructs(text) else "none"
    before, after = _instructs(text[: places[0]]), _instructs(text[places[-1] + 1 :])
    if before or after:
        return "around" if before and after else "before" if before else "after"
    return "between" if any(_instructs(text[one:other]) for one, other in pairwise(places)) else "none"


def _instructs(text: str) -> bool:
    return len(re.findall(r"\w+(?:['’]\w+)*", text)) >= INSTRUCTION_WORDS
