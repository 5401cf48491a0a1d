"""What BATprompt's writer is told: the wording of every request, ours throughout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from paft.prompts import Prompt
from paft.prompts.generation.asking import Refused, describe
from paft.tasks import Task

Messages = list[dict[str, str]]
LONGEST = 1500
UNTOLD = "typing errors, stray characters and odd wording"
_REWRITING = {
    "synonyms": "with about a fifth of the words replaced by words that mean the same, all other words left in place",
    "paraphrase": "in other words, with the same meaning and about the same length",
    "syntax": "with another sentence structure (active or passive, order of clauses, statement or question) and, as "
    "far as can be, the same words",
}
_ROLE = (
    "You improve prompt templates for a language model. A template is a text with named slots in braces; each slot is "
    "replaced by a row of data, and the model writes its answer directly after the template's last character."
)
_RULES = """Rules for every template:
- use each slot exactly once, written exactly as above, and no other slot
- make clear what is asked and what form the answer has, and end where the answer begins: with a cue or a question
- hold no answer, no worked example and no slot for an answer; favour no answer over another
- write {{ and }} for a brace that is not part of a slot"""


def rewriting(task: Task, kind: str, slot: str, text: str, count: int) -> Messages:
    """Asks for ``count`` versions of the text of one slot."""
    many = f"{count} versions" if count > 1 else "one version"
    return _messages(
        "You rewrite texts for tests of a language model.",
        f"The text is one part of a question: {task.slots[slot]}. Write {many} of it {_REWRITING[kind]}. The right "
        "answer to the question must stay the same: keep names, numbers, negations and marks such as a blank.",
        f"Text, as a JSON string: {_quoted(text, None)}",
        'Reply with JSON alone: {"texts": ["..."]}',
    )


def differences(pairs: Sequence[tuple[str, str]]) -> Messages:
    """Asks what was done to texts, shown before and after."""
    shown = "\n".join(f"before: {_quoted(before)}\nafter: {_quoted(after)}" for before, after in pairs)
    return _messages(
        "You compare texts.",
        f"Each text stands here before and after it was altered, as JSON strings.\n{shown}",
        "Say in one to three sentences in what way the later texts differ from the earlier ones. Speak of the kind of "
        "change, not of what the texts are about. Reply with these sentences alone.",
    )


def summary(notes: Mapping[str, str]) -> Messages:
    """Asks for one description in place of several."""
    shown = "\n".join(f"- {_quoted(note)}" for note in notes.values())
    return _messages(
        "You summarise notes.",
        f"Notes on how inputs of a language model were altered:\n{shown}",
        "Bring them together in one paragraph of at most five sentences that leaves no kind of change out. Reply with "
        "the paragraph alone.",
    )


def improving(
    task: Task, prompt: Prompt, altered: str, count: int, refused: Sequence[Refused] = (), kept: Sequence[str] = ()
) -> Messages:
    """Asks for templates under which altered inputs are still answered well."""
    return _messages(
        _ROLE,
        describe(task),
        f"The template in use, as JSON: {_quoted(prompt.text, None)}",
        f"Under it the model answers wrongly where the text of the slots was altered in these ways:\n{altered}",
        f"Write {_templates(count)} for the same task that help the model to see past such changes and to answer the "
        "question that was meant. Each may go about it in its own way.",
        *_so_far(refused, kept),
        _RULES,
        'Reply with JSON alone: {"templates": ["..."]}',
    )


def paraphrasing(
    task: Task, texts: Sequence[str], count: int, refused: Sequence[Refused] = (), kept: Sequence[str] = ()
) -> Messages:
    """Asks for some of these templates in other words."""
    shown = "\n".join(_quoted(text, None) for text in texts)
    return _messages(
        _ROLE,
        describe(task),
        f"Templates for it, one JSON string a line:\n{shown}",
        f"Write {_templates(count)}: each says what one of these says, all its instructions included, in other words.",
        *_so_far(refused, kept),
        _RULES,
        'Reply with JSON alone: {"templates": ["..."]}',
    )


def _messages(role: str, *parts: str) -> Messages:
    return [{"role": "system", "content": role}, {"role": "user", "content": "\n\n".join(parts)}]


def _templates(count: int) -> str:
    return f"{count} new templates" if count > 1 else "one new template"


def _so_far(refused: Sequence[Refused], kept: Sequence[str]) -> list[str]:
    parts = []
    if kept:
        parts.append("These were taken already; write others:\n" + "\n".join(_quoted(text) for text in kept))
    if refused:
        shown = "\n".join(f"- {_quoted(each.text)}: {each.reason}, {each.message}" for each in refused)
        parts.append(f"These could not be used:\n{shown}")
    return parts


def _quoted(value: object, most: int | None = LONGEST) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if most is None or len(shown) <= most else shown[: most - 1] + "…"
