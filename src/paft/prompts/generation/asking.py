"""The request: what a model is told about the task, and what it is asked for."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paft.prompts.prompt_set import PromptSet
from paft.tasks.base import Task

Strategy = Literal["zero-shot", "few-shot"]
STRATEGIES: tuple[Strategy, ...] = ("zero-shot", "few-shot")
EXAMPLES = 5
SHOWN_REFUSED, SHOWN_KEPT = 5, 8

_ROLE = (
    "You write prompt templates. A template is a text with named slots in braces; each slot is replaced by a row of "
    "data, and a language model then writes its answer directly after the template's last character."
)
_RULES = """Rules for every template:
- use each slot named above exactly once, written exactly as above, and no other slot
- make clear what is asked and what form the answer has, and end where the answer begins: with a cue or a question
- hold no answer, no slot for an answer and no worked example
- favour no answer over another
- write {{ and }} for a brace that is not part of a slot

Make the templates differ from one another as much as you can: in wording and tone, in length (one short line to \
several sentences), in whether the instruction stands first, last or not at all, in the order of the slots, in line \
breaks and separators, in how options are marked, and in the closing cue."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A template that was not taken, and why."""

    text: str
    reason: str
    message: str


def pick_examples(seeds: PromptSet | None, seed: int, chain: str) -> list[str]:
    """The templates shown to one model under few-shot: up to five, a seeded choice that is its own."""
    texts = [prompt.text for prompt in seeds or () if isinstance(prompt.text, str)]
    return random.Random(f"{seed} {chain}").sample(texts, min(EXAMPLES, len(texts)))


def request_messages(
    task: Task,
    count: int,
    examples: Sequence[str] = (),
    language: str = "English",
    refused: Sequence[Refused] = (),
    kept: Sequence[str] = (),
) -> list[dict[str, str]]:
    """The chat messages that ask for ``count`` templates.

    Args:
        examples: templates to learn the manner from (few-shot); none for zero-shot.
        refused: what was wrong with templates the model sent before.
        kept: templates of the model that were taken: it is asked for others.
    """
    parts = [describe(task), _RULES]
    if language.casefold() != "english":
        parts.append(f"Write the templates in {language}; slots and answers keep their names and words.")
    if examples:
        shown = "\n".join(json.dumps(text, ensure_ascii=False) for text in examples)
        parts.append(f"Templates that work for this task, one JSON string a line:\n{shown}\nWrite new ones, not these.")
    if kept:
        shown = "\n".join(f"- {_short(text)}" for text in kept[-SHOWN_KEPT:])
        parts.append(f"{len(kept)} of your templates were taken already; be unlike them. Among them:\n{shown}")
    if refused:
        shown = "\n".join(f"- {_short(each.text)}: {each.reason}, {each.message}" for each in refused[:SHOWN_REFUSED])
        parts.append(f"{len(refused)} of your last templates could not be used. For example:\n{shown}")
    many = f"{count} templates" if count > 1 else "one template"
    parts.append(f'Write {many}. Reply with JSON alone: {{"templates": ["...", "..."]}}')
    return [{"role": "system", "content": _ROLE}, {"role": "user", "content": "\n\n".join(parts)}]


def describe(task: Task) -> str:
    """The task for someone who has never seen it: what is asked, its slots, its answers."""
    lines = [f"Task: {task.description or task.name}", "Slots:"]
    lines += [f"- {{{name}}}: {about}" for name, about in task.slots.items()]
    return "\n".join([*lines, _answer_form(task)])


def _answer_form(task: Task) -> str:
    if task.type == "choice":
        tied = ", ".join(f"{letter} for {{{slot}}}" for letter, slot in zip(task.answers, task.choices, strict=True))
        return f"Answer: one letter, {tied}. Every template must tie each of these slots to its letter."
    if task.type == "label":
        return f"Answer: exactly one of these words: {', '.join(task.answers)}. A template may list them or not."
    return "Answer: a short text of its own, not chosen from a list."


def _short(text: str, most: int = 160) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def estimate_tokens(messages: Sequence[dict[str, str]]) -> int:
    """About how many tokens messages take: one for every three and a half characters, and four a message."""
    return sum(len(message["content"]) for message in messages) * 2 // 7 + 4 * len(messages)
