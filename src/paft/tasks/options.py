"""The options of a table of a user's own: which columns they are, and how the answers name them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from paft.errors import InputError
from paft.tasks.base import LETTERS, TaskType
from paft.tasks.meaning import SAYS, WAYS, meant

Table = Mapping[str, Sequence[str]]

_OPTION_STEMS = ("", "option", "opt", "op", "choice", "sol", "solution", "ending", "answer", "candidate", "alternative")
_OPTION = re.compile(r"(?P<stem>.*?)[ _.-]?(?P<mark>[A-Za-z]|\d)")


def option_columns(names: Sequence[str]) -> list[str]:
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


def way_of(table: Table, options: Sequence[str], answer: str, kind: TaskType | None, given: str | None) -> str | None:
    """The one way in which every answer names an option; None where it is no choice task.

    Answers are counted only among columns that are called options, since sentence1 and sentence2 with a label 0 or 1
    are a pair to be judged.

    Args:
        options: the columns that are the options; may be empty.
        kind, given: the task's type and the way, where the user says them.

    Raises:
        InputError: two ways fit every row, or one nearly does; names the flag.
    """
    if kind not in (None, "choice"):
        if given:
            raise InputError(f"--answer-is is for choice tasks, and --type is {kind}")
        return None
    if not options:
        if given or kind:
            raise InputError(
                "a choice task needs a column for each option, called alike but for a letter or number (A, B, C or "
                f"option1, option2); found {', '.join(table)}"
            )
        return None
    if given:
        return given
    stem = _OPTION.fullmatch(options[0].strip())
    is_counted = stem is not None and stem["stem"].lower().rstrip("s") in _OPTION_STEMS
    ways: tuple[str, ...] = WAYS if is_counted or kind else WAYS[:3]
    readings = {way: _golds(table, options, answer, way) for way in ways}
    fits = {way: golds for way, golds in readings.items() if None not in golds}
    different = {tuple(golds): way for way, golds in reversed(fits.items())}
    nearly = [way for way in ("text", "letter") if way not in fits and _nearly(readings.get(way, []))]
    if nearly and not (fits.keys() & {"text", "letter"}):
        row = readings[nearly[0]].index(None)
        raise InputError(
            f"most answers in column {answer!r} are {SAYS[nearly[0]]}, but {table[answer][row]!r} in row {row + 1} is "
            f"none; mend it, or say what is meant with --answer-is {'|'.join(WAYS)} or --type"
        )
    if len(different) > 1:
        several = [way for way in WAYS if way in different.values()]
        raise InputError(
            f"the answers in column {answer!r} may be {' or '.join(SAYS[way] for way in several)}: every row fits; "
            f"say which with --answer-is {' or --answer-is '.join(several)}"
        )
    if kind and not fits:
        raise InputError(f"the answers in column {answer!r} name no options in any way; say how with --answer-is")
    return next(iter(fits), None)


def _golds(table: Table, options: Sequence[str], answer: str, way: str) -> list[int | None]:
    """The option that each row's answer means by ``way``; None where it means none or several."""
    names = [(name,) for name in options]
    rows = zip(*(table[name] for name in options), strict=True)
    found = (meant(value, (way,), texts, names) for value, texts in zip(table[answer], rows, strict=True))
    return [next(iter(places)) if len(places) == 1 else None for places in found]


def _nearly(golds: Sequence[int | None]) -> bool:
    return sum(gold is not None for gold in golds) > 0.8 * len(golds)


def counted(values: Sequence[str], way: str, options: int) -> dict[str, str]:
    """Stored value -> letter for answers that are places; empty for others."""
    if not way.startswith("index"):
        return {}
    places = {value.strip(): meant(value, (way,), [""] * options, ()) for value in values}
    places |= {str(place + int(way == "index1")): {place} for place in range(options)}
    return {value: LETTERS[place] for value, found in sorted(places.items()) for place in found}
