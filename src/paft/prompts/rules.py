"""What can be wrong with one template for one task: rules that look at its slots and its wording.

Every rule yields ``Finding(code, message)``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rapidfuzz import process

from paft.prompts.residue import residue
from paft.prompts.similarity import MASK
from paft.prompts.template import Template
from paft.tasks.base import Task

MAX_WORDS = 200
MAX_CHARACTERS = 1500
LEAK_SLOTS = {"answer", "label", "gold", "target", "correct", "correct_answer", "correct_option", "answer_key", "truth"}

_CUE_NOUN = (
    r"(?:answer|label|category|choice|option|sentiment|type|class|response|output|solution|verdict|result|reply)"
)
_CUE = rf"\b{_CUE_NOUN}\W{{0,3}}(?:\bis\b)?\s*(?::|=|->|→|(?<=\bis)(?=\W))"
_INSTRUCTION = re.compile(
    r"\b(?:answer|choose|pick|select|reply|respond|write|give|name|say|tell|state|label|classify|decide|determine|"
    r"identify|indicate|mark|output|return|predict|provide|report|print|judge|assign|complete|fill|guess|use|"
    r"option|choice|verdict|category|solution|conclusion)\b",
    re.IGNORECASE,
)
_FULL_STOP = re.compile(r"(?<![.…])(?<!\. )[.!。！]$")  # but not dots that lead on, as in a form
_CONDITION = re.compile(r"\b(?:if|when|whenever|where|whether|unless|otherwise|example|suppose|say|like|e\.g)\b", re.I)


class Finding(NamedTuple):
    """One thing that a rule found."""

    code: str
    message: str


def findings(template: Template, task: Task) -> Iterator[Finding]:
    """Everything the rules find in one template."""
    for rule in RULES:
        yield from rule(template, task)


def slots(template: Template, task: Task) -> Iterator[Finding]:
    """Slots the task needs and the template lacks, slots the task lacks, slots used twice."""
    used = Counter(task.aliases.get(name, name) for pieces in template.parsed for name in pieces.slots)
    for name in task.slots:
        if not used[name]:
            others = [alias for alias, slot in task.aliases.items() if slot == name]
            also = f" (or {' or '.join('{' + a + '}' for a in others)})" if others else ""
            yield Finding("missing-slot", f"slot {{{name}}}{also} is not used; task {task.name} needs it")
        elif used[name] > 1:
            yield Finding("repeated-slot", f"slot {{{name}}} is used {used[name]} times")
    known = [*task.slots, *task.aliases]
    for name in template.slots:
        if name not in known:
            near = process.extractOne(name, known, score_cutoff=60)
            hint = f"; did you mean {{{near[0]}}}?" if near else f"; expected {', '.join(task.slots)}"
            yield Finding("unknown-slot", f"task {task.name} has no slot {{{name}}}{hint}")


def leftover(template: Template, task: Task) -> Iterator[Finding]:
    """What an LLM or another placeholder style left behind."""
    for at, what, why in residue(template, (*task.slots, *task.aliases), task.answers):
        yield Finding("leftover", f"character {at}: {_short(what)!r} looks like {why}")


def answer_leak(template: Template, task: Task) -> Iterator[Finding]:
    """A slot that would hold the answer, or one given answer after the text; naming all labels is no leak."""
    for name in template.slots:
        if name.casefold() in LEAK_SLOTS and name not in task.slots and name not in task.aliases:
            yield Finding("answer-leak", f"slot {{{name}}} would put the answer into the prompt; remove it")
    if not task.answers:
        return
    tail = template.mask(MASK).rpartition(MASK)[2]
    answers = "|".join(map(re.escape, sorted(task.answers, key=len, reverse=True)))
    answer = rf"[\"'“(\[*`]*({answers})[\"'”)\]*`]*"
    given = _given(rf"{_CUE}\s*{answer}(?!\w)", tail)
    if given and not tail[given.end() :].strip(" .!\n"):
        yield Finding("answer-leak", f"it ends with an answer, {_short(given.group())!r}; end at the cue")
    elif told := _given(rf"\b(?:correct|right|true) {_CUE_NOUN} is {answer}(?=\s*(?:[.!\n]|$))", tail):
        yield Finding("answer-leak", f"it gives the answer away: {_short(told.group())!r}; remove that")


def _given(pattern: str, tail: str) -> re.Match[str] | None:
    """The last match, where all matches give the same answer and none is said under a condition."""
    matches = list(re.finditer(pattern, tail, re.IGNORECASE))
    sentences = [re.split(r"[.!?;\n]", tail[: match.start()])[-1] for match in matches]
    if len({match[1].casefold() for match in matches}) != 1 or any(map(_CONDITION.search, sentences)):
        return None
    return matches[-1]


def no_cue(template: Template, task: Task) -> Iterator[Finding]:
    """A template that does not end by asking for the answer.

    It asks where the text after its last slot holds a question or an instruction ("choose one"), ends in a
    colon or the like, or breaks off in words where the answer would go on ("The topic is"). So what is found
    is a template that ends with a slot, or with a finished statement. In a chat template the instruction may
    stand in any message.
    """
    text = template.mask(MASK)
    tail = text if template.is_chat else text.rpartition(MASK)[2]
    asks = _INSTRUCTION.search(tail) or re.search(r"[?？؟]|(?:[:=→：]|->)\W*$", tail)
    end = tail.rstrip().rstrip("\"'“”‘’`*_)]")
    breaks_off = re.search(r"\w", tail) and not _FULL_STOP.search(end)
    if not (asks or breaks_off):
        shown = _short(template.plain.rstrip()[-30:])
        yield Finding("no-cue", f"it ends with {shown!r}; end with a cue such as 'Answer:'")


def literal_newline(template: Template, task: Task) -> Iterator[Finding]:
    r"""The two characters ``\n`` where a line break was meant."""
    at = template.plain.find("\\n")
    if at >= 0:
        yield Finding(
            "literal-newline", rf"character {at}: a two-character '\n'; paft prompts import turns it into a line break"
        )


def too_long(template: Template, task: Task) -> Iterator[Finding]:
    """A wording so long that it crowds out the example."""
    text = template.mask("")
    words = len(text.split())
    if words > MAX_WORDS or len(text) > MAX_CHARACTERS:
        yield Finding(
            "too-long",
            f"{words} words, {len(text)} characters besides the slots; "
            f"expected at most {MAX_WORDS} and {MAX_CHARACTERS}",
        )


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


RULES: tuple[Callable[[Template, Task], Iterator[Finding]], ...] = (
    slots, leftover, answer_leak, no_cue, literal_newline, too_long,
)  # fmt: skip
