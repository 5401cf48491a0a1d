"""Guessing what a table of a user's own holds: which column is the answer, which are options, which are text.

Every guess is said in words, so that a person can see it and mend it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Literal

from paft.errors import InputError
from paft.tasks.base import TaskType
from paft.tasks.meaning import SAYS
from paft.tasks.options import Table, counted, option_columns, way_of

ANSWER_NAMES: tuple[str, ...] = ("answer", "label", "labels", "target", "class", "category", "sentiment", "gold")
ANSWER_NAMES += ("correct", "correct_answer", "answer_key", "answerkey", "intent", "topic")
ANSWER_NAMES += ("output", "response", "completion", "y")
ID_NAMES = ("id", "idx", "index", "uid", "guid", "uuid", "qid", "row", "row_id", "example_id", "question_id")
MAX_LABELS = 30


@dataclass
class Guess:
    """What a table was taken for.

    Attributes:
        slots: slot name -> column, in column order.
        choices: the slots that are the options, in order.
        answer_is: how the answers of a choice task name an option, of ``meaning.WAYS``.
        labels: stored value -> label word, or -> letter for choices that are counted.
        said: every guess in words.
    """

    type: TaskType = "free"
    answer: str = ""
    id: str | None = None
    slots: dict[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    answer_is: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Hints:
    """What the user says of the columns; None is guessed.

    Attributes:
        answer: the answer's column.
        slots: the columns that are slots; the others are left out.
        type: the task's type.
        answer_is: how the answers of a choice task name an option.
        alike: whether labels that differ in case alone, or as one number does that is written twice, are one.
    """

    answer: str | None = None
    slots: Sequence[str] | None = None
    type: TaskType | None = None
    answer_is: Literal["text", "letter", "column", "index0", "index1"] | None = None
    alike: Literal["one", "apart"] | None = None


def guess(table: Table, hints: Hints = Hints()) -> Guess:
    """Take a table apart.

    Args:
        table: column -> its values as text; columns of one length, at least one row.

    Raises:
        InputError: no column can be the answer, none is left to be a slot, or two readings fit; names the flag.
    """
    found = Guess()
    found.answer = _answer(table, hints.answer, found.said)
    rest = _rest(table, hints, found)
    options = option_columns(rest)
    way = way_of(table, options, found.answer, hints.type, hints.answer_is)
    if way is None:
        options = []
    texts = [name for name in rest if name not in options]
    if hints.slots is None:
        texts = _texts(table, texts, found.said)
    if not texts and not options:
        raise InputError(f"no column is left to be the text; the columns are {', '.join(table)}")
    found.slots = _slot_names([name for name in table if name in texts or name in options])
    slot_of = {column: slot for slot, column in found.slots.items()}
    if way is not None:
        found.type, found.choices, found.answer_is = "choice", tuple(slot_of[name] for name in options), way
        found.labels = counted(table[found.answer], way, len(options))
        found.said.append(f"type: choice, the options are {', '.join(options)}; answers are {SAYS[way]}")
    else:
        found.type, found.labels = _label_words(table[found.answer], found.answer, hints, found.said)
    slots = ", ".join(s if s == c else f"{s} (column {c!r})" for s, c in found.slots.items())
    found.said.append(f"slots that every prompt must use: {slots}")
    return found


def _rest(table: Table, hints: Hints, found: Guess) -> list[str]:
    """The columns that may be slots; the id is found on the way."""
    rest = [name for name in table if name != found.answer]
    found.id = _id(table, [name for name in rest if name not in (hints.slots or ())], found.said)
    if hints.slots is None:
        return [name for name in rest if name != found.id]
    for name in hints.slots:
        if name not in rest:
            there = "is the answer" if name == found.answer else "is not there"
            raise InputError(f"column {name!r} cannot be a slot, it {there}; the columns are {', '.join(table)}")
    left = [name for name in rest if name not in (*hints.slots, found.id)]
    found.said.append("slots: as you said" + (f"; left out: {', '.join(left)}" if left else ""))
    return list(hints.slots)


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


def _label_words(values: Sequence[str], column: str, hints: Hints, said: list[str]) -> tuple[TaskType, dict[str, str]]:
    if hints.type == "free" or (hints.type is None and not _is_label(values)):
        said.append("type: free, the answer is any text; compared exactly, `match: normalized` is milder")
        return "free", {}
    labels = {value: re.sub(r"[_\s]+", " ", value).strip() or value for value in sorted({v.strip() for v in values})}
    labels = _one_spelling(labels, column, hints)
    if len({word.casefold() for word in labels.values()}) < len(set(labels.values())):
        labels = {value: value for value in labels}
    said.append(f"type: label, {len(set(labels.values()))} labels: {', '.join(dict.fromkeys(labels.values()))}")
    if all(not re.search(r"[^\W\d_]", word) for word in labels.values()):
        said.append("the labels are numbers; give each a word under `labels`, models answer in words better")
    return "label", labels


def _one_spelling(labels: dict[str, str], column: str, hints: Hints) -> dict[str, str]:
    """``labels`` where those that are one number, or one word but for case, have one word, if the user says so."""
    groups: dict[str | Decimal, list[str]] = {}
    for value in labels:
        groups.setdefault(_as_number(value), []).append(value)
    several = [group for group in groups.values() if len(group) > 1]
    if not several or hints.alike == "apart":
        return labels
    if hints.alike is None:
        shown = ", ".join(map(repr, several[0]))
        raise InputError(
            f"column {column!r} holds {shown}, which may be one label written in several ways; say --alike one to "
            "take such labels as one, or --alike apart to keep them as they are"
        )
    first = {value: min(group, key=len) for group in several for value in group}
    return {value: labels[first.get(value, value)] for value in labels}


def _as_number(value: str) -> str | Decimal:
    """The number that a value is in ASCII digits, else the value without its case."""
    try:
        return Decimal(value) if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", value, re.ASCII) else value.casefold()
    except InvalidOperation:
        return value.casefold()
