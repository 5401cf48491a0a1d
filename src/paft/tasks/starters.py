"""A first set of prompt templates for any task, from its type and slots alone.

They differ in layout, order, tone and cue, and are a place to start: words that know the task do better.
"""

from __future__ import annotations

from collections.abc import Sequence

from paft.tasks.base import LETTERS, TaskType

_CHOICE = (
    ("plain", "{body}\n{dotted}\nAnswer:"),
    ("instruction first", "Choose the correct option and reply with its letter.\n\n{body}\n\n{dotted}\n\nAnswer:"),
    ("brackets", "{body}\nOptions:\n{bracketed}\nWhich letter is right? Letter:"),
    ("options first", "These are the options:\n{dotted}\n\nThey belong to this:\n{body}\n\nThe right option is:"),
    ("one line", "{inline} Pick one: {listed}. Your choice:"),
    ("formal", "Consider the following item with care and determine the best option.\n{body}\n{bracketed}\nResponse:"),
    ("chatty", "Hey, can you help me with this one?\n{body}\nHere is what I could pick:\n{dotted}\nI should pick:"),
    ("exam", "EXAM\n{body}\n{bracketed}\nWrite one letter ({letters}) on the line.\nAnswer:"),
    ("dashes", "{body}\n---\n{dotted}\n---\nJust the letter, please:"),
    ("sections", "### Task\nSelect one option.\n\n### Input\n{body}\n\n### Options\n{dotted}\n\n### Answer\nLetter:"),
    ("quiz", "Quiz time! {inline}\n{bracketed}\nAnd the answer is:"),
    ("reasons", "Only one option below fits. Rule out the others and name it.\n{body}\n{dotted}\nThe one that fits:"),
    ("terse", "{body}\n{bracketed}\n{letters}?"),
    ("careful", "Read everything before you answer.\n\n{dotted}\n\n{body}\n\nWhich of {letters} do you choose?"),
)
_LABEL = (
    ("plain", "{body}\nLabel:"),
    ("instruction first", "Classify what follows as one of: {labels}.\n\n{body}\n\nAnswer:"),
    ("question last", "{body}\n\nWhich one fits best: {labels}?\nAnswer:"),
    ("list", "Possible labels:\n{label_lines}\n\n{body}\n\nThe right label is:"),
    ("one line", "{inline} This is best described as ({labels}):"),
    ("formal", "Assign exactly one category to the item below. The categories are {labels}.\n{body}\nCategory:"),
    ("chatty", "Could you sort this for me?\n{body}\nI have these bins: {labels}. It goes into:"),
    ("sections", "### Input\n{body}\n\n### Labels\n{labels}\n\n### Decision\nLabel:"),
    ("terse", "{inline}\n{labels}?"),
    ("shouting", "TASK: LABEL THE ITEM.\n{body}\nONE OF: {labels}\nOUTPUT:"),
    ("annotator", "You are an annotator. Your guidelines allow {labels}, and nothing else.\n\n{body}\n\nYour verdict:"),
    ("options first", "{labels}: one of these words belongs to the item.\n---\n{body}\n---\nThe word:"),
    ("careful", "Read the whole item, then decide.\n{body}\nWithout explaining, choose from {labels}:"),
    ("form", "FORM 1\n{body}\nTick one [{labels}]:"),
)
_FREE = (
    ("plain", "{body}\nAnswer:"),
    ("instruction first", "Give a short answer to what follows.\n\n{body}\n\nAnswer:"),
    ("formal", "Kindly provide the response that this input calls for.\n{body}\nResponse:"),
    ("chatty", "Hi! Could you help me out here?\n{body}\nWhat should I write?"),
    ("sections", "### Input\n{body}\n\n### Output\n"),
    ("one line", "{inline} The answer is:"),
    ("terse", "{inline} ->"),
    ("exam", "EXAM\n{body}\nWrite nothing but the result on the line.\nResult:"),
    ("expert", "You are an expert who answers briefly and correctly.\n\n{body}\n\nYour reply:"),
    ("dashes", "---\n{body}\n---\nFill in the answer:"),
    ("careful", "Work through this slowly, then state only where you end up.\n{body}\nFinal answer:"),
    ("quiz", "Quiz time! {inline}\nAnd the solution is:"),
    ("request", "I need the answer to this, with no explanation:\n{body}\nHere it is:"),
)


def starters(
    kind: TaskType, slots: Sequence[str], choices: Sequence[str], words: Sequence[str]
) -> list[tuple[str, str]]:
    """``(style, template text)`` pairs for a task with these slots; ``words`` are its label words."""
    texts = [slot for slot in slots if slot not in choices]
    letters = LETTERS[: len(choices)]
    named = [f"{slot.replace('_', ' ').capitalize()}: {{{slot}}}" for slot in texts]
    escaped = [word.replace("{", "{{").replace("}", "}}") for word in words]
    parts = {
        "body": "\n".join(named) if named else "Which of these is right?",
        "inline": " ".join(f"{{{slot}}}" for slot in texts) if texts else "Which is right?",
        "dotted": "\n".join(f"{letter}. {{{slot}}}" for letter, slot in zip(letters, choices, strict=True)),
        "bracketed": "\n".join(f"({letter}) {{{slot}}}" for letter, slot in zip(letters, choices, strict=True)),
        "listed": "; ".join(f"{letter}) {{{slot}}}" for letter, slot in zip(letters, choices, strict=True)),
        "letters": ", ".join(letters[:-1]) + f" or {letters[-1:]}",
        "labels": ", ".join(escaped[:-1]) + f" or {escaped[-1]}" if escaped else "",
        "label_lines": "\n".join(f"- {word}" for word in escaped),
    }
    layouts = {"choice": _CHOICE, "label": _LABEL, "free": _FREE}[kind]
    return [(style, layout.format_map(parts)) for style, layout in layouts]
