"""Prompt templates for any task without an LLM: a seeded grammar of instruction, layout, options and cue.

English only. The words are those of the task (slot names and descriptions, labels, its one-line description) in
frames of our own, so the wordings know less of the task, and differ less from each other, than those of LLMs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rapidfuzz import fuzz, process

from paft.errors import InputError
from paft.prompts.generation.grammar_layout import Design, compose, draw_design
from paft.prompts.generation.grammar_words import View, view
from paft.prompts.rules import findings
from paft.prompts.similarity import MASK, comparable
from paft.prompts.template import Template
from paft.tasks.base import Task

Strategy = Literal["zero-shot", "few-shot"]
MIN_WORDS, MAX_WORDS = 5, 120
LIMITS = (0.54, 0.58, 0.62, 0.66, 0.72, 0.78)
DRAWS = 40
TAKEN = 0.75


def grammar_templates(
    task: Task, seed: int, strategy: Strategy = "zero-shot", examples: Sequence[Template] = ()
) -> Iterator[str]:
    """Distinct templates, the same for the same arguments.

    Each passes ``paft.prompts.check`` without an error or a ``no-cue`` warning, uses every slot once, and has 5 to
    120 words. At first only wordings less than 0.54 similar to all before are let through, then ever nearer ones, up
    to 0.78; the stream ends where 40 draws in a row find none, mostly after many hundreds.

    Args:
        strategy: ``few-shot`` takes the order of slots, the marks of options, the place of the instruction and the
            cue from ``examples`` where it can; without any that fit the task it is another ``zero-shot`` stream.
        examples: templates for the same task.

    Raises:
        InputError: another strategy.
    """
    if strategy not in ("zero-shot", "few-shot"):
        raise InputError(f"unknown strategy {strategy!r}; expected zero-shot or few-shot")
    return _stream(task, random.Random(f"{seed} {strategy} {task.name}"), examples if strategy == "few-shot" else ())


def _stream(task: Task, rng: random.Random, examples: Sequence[Template]) -> Iterator[str]:
    seen = view(task)
    habits = [habit for template in examples if (habit := _habit(template, seen))]
    kept: list[str] = []
    for limit in LIMITS:
        misses = 0
        while misses < DRAWS:
            text = compose(seen, _follow(draw_design(seen, rng), habits, rng), rng)
            template = Template.parse(text)
            form = comparable(template)
            if _apart(form, kept, limit) and _sound(template, task):
                kept.append(form)
                misses = 0
                yield text
            else:
                misses += 1


def _sound(template: Template, task: Task) -> bool:
    text = template.mask(" ")
    sentences = [part for part in re.split(r"[.?!]\s+|\n", text) if len(part.split()) > 2]
    if len(set(sentences)) < len(sentences) or not MIN_WORDS <= len(text.split()) <= MAX_WORDS:
        return False
    return next(findings(template, task), None) is None


def _apart(form: str, kept: Sequence[str], limit: float) -> bool:
    return process.extractOne(form, kept, scorer=fuzz.ratio, score_cutoff=100 * limit) is None


@dataclass(frozen=True)
class _Habit:
    """The layout of an example, as far as it can be told: see ``Design``."""

    place: str
    texts: tuple[str, ...]
    options_first: bool
    mark: str
    cue: str


def _habit(template: Template, seen: View) -> _Habit | None:
    """The layout of an example; None where it does not use each slot of the task once."""
    task = seen.task
    slots = [task.aliases.get(slot, slot) for parsed in template.parsed for slot in parsed.slots]
    if sorted(slots) != sorted(task.slots):
        return None
    literals = template.mask(MASK).split(MASK)
    lengths = [len(literal.split()) for literal in literals]
    before, after, between = lengths[0], lengths[-1], max(lengths[1:-1], default=0)
    places = {"before": before > 5, "after": after > 5, "middle": between > 6}
    long = [place for place, there in places.items() if there]
    place = "around" if {"before", "after"} <= set(long) else long[0] if long else "none"
    texts = tuple(slot for slot in slots if slot in seen.texts)
    first = bool(seen.options and texts) and slots.index(seen.options[0]) < slots.index(texts[0])
    mark = _mark(literals[slots.index(seen.options[0])], seen.letters[0]) if seen.options else ""
    return _Habit(place, texts, first, mark, _cue(literals[-1]))


def _mark(literal: str, letter: str) -> str:
    """How the first option is marked, with ``%`` for the letter; "" where no letter stands before it."""
    found = re.search(rf"(?:^|[\s,;:])([^\w\s%]{{0,3}}){letter}([^\w\s%]{{0,3}} ?)$", literal)
    return f"{found[1]}%{found[2]}".replace("{", "{{").replace("}", "}}") if found else ""


def _cue(tail: str) -> str:
    """The last line of an example where it is a short cue, such as "Answer:"; else ""."""
    last = tail.rstrip(" \t").rpartition("\n")[2]
    fits = re.fullmatch(r"[A-Z][\w ,'-]{0,50} ?(?::|=|->|=>|\?)", last)
    return last if fits else ""


def _follow(design: Design, habits: Sequence[_Habit], rng: random.Random) -> Design:
    """The design with most of its features from examples, each from one of them."""
    for feature in ("place", "texts", "options_first", "mark", "cue"):
        if habits and rng.random() < TAKEN:
            taken = getattr(rng.choice(habits), feature)
            if taken or feature == "options_first":
                design = replace(design, **{feature: taken})
    return design
