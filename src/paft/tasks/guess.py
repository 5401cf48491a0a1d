"""Guessing what a table of a user's own holds: which column is the answer, which are options, which are text.

Every guess is said in words, so that a person can see it and mend it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paft.errors import InputError
from paft.tasks.base import LETTERS, TaskType

Table = Mapping[str, Sequence[str]]

ANSWER_NAMES: tuple[str, ...] = ("answer", "label", "labels", "target", "class", "category", "sentiment", "gold")
ANSWER_NAMES += ("correct", "correct_answer", "answer_key", "answerkey", "intent", "topic")
ANSWER_NAMES += ("output", "response", "completion", "y")
ID_NAMES = ("id", "idx", "index", "uid", "guid", "uuid", "qid", "row", "row_id", "example_id", "question_id")
MAX_LABELS = 30
_OPTION_STEMS = ("", "option", "opt", "op", "choice", "sol", "solution", "ending", "answer", "candidate", "alternative")
_OPTION = re.compile(r"(?P<stem>.*?)[ _.-]?(?P<mark>[A-Za-z]|\d)")


@dataclass
class Guess:
    """What a table was taken for.

    Attributes:
        slots: slot name -> column, in column order.
        choices: the slots that are the options, in order.
        labels: stored value -> label word, or -> letter for choices; empty where the answers speak for themselves.
        said: every guess in words.
    """

    type: TaskType = "free"
    answer: str = ""
    id: str | None = None
    slots: dict[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def guess(table: Table, answer: str | None = None) -> Guess:
    """Take a table apart.

    Args:
        table: column -> its values as text; columns of one length, at least one row.
        answer: the answer's column, where the user says it.

    Raises:
        InputError: no column can be the answer, or none is left to be a slot.
    """
    found = Guess()
    found.answer = _answer(table, answer, found.said)
    rest = [name for name in table if name != found.answer]
    found.id = _id(table, rest, found.said)
    rest = [name for name in rest if name != found.id]
    options = _options(rest)
    labels = _letters(table, options, found.answer) if options else None
    if labels is None:
        options = []
    texts = _texts(table, [name for name in rest if name not in options], found.said)
    if not texts and not options:
        raise InputError(f"no column is left to be the text; the columns are {', '.join(table)}")
    found.slots = _slot_names([name for name in table if name in texts or name in options])
    slot_of = {column: slot for slot, column in found.slots.items()}
    if labels is not None:
        found.type, found.choices, found.labels = "choice", tuple(slot_of[name] for name in options), labels[0]
        found.said.append(f"type: choice, the options are {', '.join(options)}; {labels[1]}")
    else:
        found.type, found.labels = _label_words(table[found.answer], found.said)
    slots = ", ".join(s if s == c else f"{s} (column {c!r})" for s, c in found.slots.items())
    found.said.append(f"slots that every prompt must use: {slots}")
    return found


def _answer(table: Table, given: str | None, said: list[str]) -> str:
    if given is not None:
        if given not in table:
            raise InputError(f"no column {given!r} to be the answer; the columns are {', '.join(table)}")
        said.append(f"answer: column {given!r}, as you said")
        return given
    if len(table) < 2:
        raise InputError(f"expected a column of text and one of answers, found only {', '.join(table)}")
    by_name = {re.sub(r"[ -]", "_", name.strip().lower()): name for name in reversed(list(table))}
    for name in ANSWER_NAMES:
        if name in by_name:
            said.append(f"answer: column {by_name[name]!r}, by its name")
            return by_name[name]
    few = [name for name, values in table.items() if _is_label(values)]
    if not few:
        raise InputError(
            f"no column looks like the answer; expected one called {', '.join(ANSWER_NAMES[:4])} or with few "
            f"distinct values, found {', '.join(table)}; rename one"
        )
    said.append(f"answer: column {few[-1]!r}, the last with few distinct values; check this")
    return few[-1]


def _is_label(values: Sequence[str]) -> bool:
    distinct = {value.strip() for value in values}
    short = all(value and len(value) <= 40 and "\n" not in value for value in distinct)
    return short and 2 <= len(distinct) <= MAX_LABELS and len(distinct) <= max(2, len(values) // 2) < len(values)


def _id(table: Table, names: Sequence[str], said: list[str]) -> str | None:
    for name in names:
        if name.strip().lower() in ID_NAMES:
            values = [value.strip() for value in table[name]]
            if all(values) and len(set(values)) == len(values):
                said.append(f"ids: column {name!r}")
                return name
            said.append(f"column {name!r} is no id: it repeats or has gaps")
    return None


def _options(names: Sequence[str]) -> list[str]:
    """The largest family of columns that differ in a last letter or number, counted up: A B C, sol1 sol2."""
    families: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        match = _OPTION.fullmatch(name.strip())
        if match:
            families.setdefault(match["stem"].lower(), []).append((match["mark"].upper(), name))
    best: list[str] = []
    for members in families.values():
        for marks in (LETTERS, "0123456789", "123456789"):
            run: list[str] = []
            for mark, name in members:
                if len(run) < len(marks) and mark == marks[len(run)]:
                    run.append(name)
            if len(run) > max(1, len(best)):
                best = run
    return best


def _letters(table: Table, options: Sequence[str], answer: str) -> tuple[dict[str, str], str] | None:
    """How the stored answers mean letters: a mapping (empty where none is needed) and what to say; None if they do not.

    Digits are places, from 0 where a 0 is among them, else from 1; but only of columns that are called options,
    since sentence1 and sentence2 with a label 0 or 1 are a pair to be judged.
    """
    values = [value.strip() for value in table[answer]]
    distinct = set(values)
    letters = LETTERS[: len(options)]
    stem = _OPTION.fullmatch(options[0].strip())
    counted = stem is not None and stem["stem"].lower().rstrip("s") in _OPTION_STEMS
    for first in (0, 1) if counted else ():
        places = [str(place + first) for place in range(len(options))]
        if distinct <= set(places) and (first == 1 or "0" in distinct):
            sure = "" if {"0", places[-1]} & distinct else "; check this, no row settles it"
            return dict(zip(places, letters, strict=True)), f"answers count the options from {first}{sure}"
    if all(len(value) == 1 and value.upper() in letters for value in distinct):
        return {}, "answers are letters"
    if distinct <= set(options):
        return {}, "answers are names of options"
    if all(value in {table[name][row].strip() for name in options} for row, value in enumerate(values)):
        return {}, "answers are the options' own texts"
    return None


def _texts(table: Table, names: Sequence[str], said: list[str]) -> list[str]:
    """The columns that hold text; numbers, constants and short codes are left out where text is there."""
    texts = [name for name in names if _is_text(table[name])]
    if not texts:
        return list(names)
    left = [name for name in names if name not in texts]
    if left:
        said.append(f"left out, no running text: {', '.join(left)}")
    return texts


def _is_text(values: Sequence[str]) -> bool:
    words = sum(len(re.findall(r"[^\W\d_]+", value)) for value in values)
    return words >= 2 * len(values) and (len(set(values)) > 1 or len(values) == 1)


def _slot_names(columns: Sequence[str]) -> dict[str, str]:
    """Column names as plain slot names: other characters become ``_``; a name taken gets a number."""
    slots: dict[str, str] = {}
    for column in columns:
        name = re.sub(r"[^A-Za-z0-9]+", "_", column.strip()).strip("_") or "text"
        name = f"column_{name}" if name[0].isdigit() else name
        name = name if re.fullmatch(r"[A-Z]", name) else name.lower()
        free, number = name, 2
        while free in slots:
            free, number = f"{name}_{number}", number + 1
        slots[free] = column
    if len(slots) == 1 and next(iter(slots)).startswith("column_"):
        return {"text": columns[0]}
    return slots


def _label_words(values: Sequence[str], said: list[str]) -> tuple[TaskType, dict[str, str]]:
    if not _is_label(values):
        said.append("type: free, the answer is any text; compared exactly, `match: normalized` is milder")
        return "free", {}
    labels = {value: re.sub(r"[_\s]+", " ", value).strip() or value for value in sorted({v.strip() for v in values})}
    if len({word.casefold() for word in labels.values()}) < len(labels):
        labels = {value: value for value in labels}
    said.append(f"type: label, {len(labels)} labels: {', '.join(labels.values())}")
    if all(not re.search(r"[^\W\d_]", word) for word in labels.values()):
        said.append("the labels are numbers; give each a word under `labels`, models answer in words better")
    return "label", labels
