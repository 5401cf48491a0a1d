"""The task YAML, checked: what a user's own task is made of.

Beyond a fixed set of keys: ``header`` (column names of a csv or tsv file without a header line), ``delimiter``,
``quote`` (what stands around a quoted field, or none), ``format: lines`` with ``pattern`` (one row a line, columns are
the named groups), and ``split``, which parts the training file: ``split: {validation: 0.1, test: 0.1, seed: 0}``;
``answer_is``, the one way in which the answers of a choice task name an option; and ``slots``, which says what a slot
holds to the models that write prompts: ``slots: {text: a customer's message}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from paft.tasks.base import LETTERS, SPLITS, TaskType
from paft.tasks.meaning import PLAIN, WAYS
from paft.tasks.rows import FORMATS, Format
from paft.yamlfile import Document

KEYS: tuple[str, ...] = ("name", "type", "files", "format", "encoding", "header", "delimiter", "pattern", "columns")
KEYS += ("choices", "labels", "match", "top_threshold", "user_prompt", "description", "slots", "split")
KEYS += ("quote", "answer_is")
_SLOT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Division:
    """The shares of the training file that become other splits, and the seed that picks their rows."""

    shares: Mapping[str, float]
    seed: int = 0


@dataclass(frozen=True)
class Spec:
    """A checked task YAML.

    Attributes:
        slots: slot name -> column.
        notes: slot name -> what it holds, where that is said.
        answer, id: their columns; ``id`` is None for ``split:row``.
        answers: candidate answers in order: letters, or label words.
        stored: stored answer -> index into ``answers``, as ``labels`` gives it.
        choices: the slots that are the options, in letter order.
        ways: how a stored answer may name an option, of ``meaning.WAYS``.
        document: where it was read from, for errors.
    """

    name: str
    type: TaskType
    files: Mapping[str, str]
    how: Format
    slots: Mapping[str, str]
    notes: Mapping[str, str]
    answer: str
    id: str | None
    answers: tuple[str, ...]
    stored: Mapping[str, int]
    choices: tuple[str, ...]
    ways: tuple[str, ...]
    match: Literal["exact", "normalized"]
    top_threshold: float
    user_prompt: str
    description: str
    division: Division | None
    document: Document = field(repr=False)


def parse_spec(document: Document) -> Spec:
    """Check a task YAML.

    Raises:
        DataError: an unknown key, a missing one, or a value that does not fit; names the line.
    """
    document.check_keys(document.value, KEYS)
    kind = cast(TaskType, _one_of(document, ("choice", "label", "free"), "type"))
    owned = {"choices": ("choice",), "answer_is": ("choice",), "labels": ("choice", "label"), "match": ("free",)}
    for key, owners in owned.items():
        if key in document.value and kind not in owners:
            raise document.bad(f"`{key}` belongs to {' and '.join(owners)} tasks; this one is {kind}", key)
    columns = _mapping(document, "columns")
    document.check_keys(columns, ("id", "slots", "answer"), "columns")
    slots = _slots(document)
    choices = _choices(document, slots) if kind == "choice" else ()
    answers, stored = _answers(document, kind, len(choices))
    match = _one_of(document, ("exact", "normalized"), "match", default="exact")
    return Spec(
        name=_text(document, "name"),
        type=kind,
        files=_files(document),
        how=_format(document),
        slots=slots,
        notes=_notes(document, slots),
        answer=_text(document, "columns", "answer"),
        id=_text(document, "columns", "id") if "id" in columns else None,
        answers=answers,
        stored=stored,
        choices=choices,
        ways=_ways(document),
        match=cast(Literal["exact", "normalized"], match),
        top_threshold=_number(document, 0.85, "top_threshold"),
        user_prompt=_text(document, "user_prompt", default=""),
        description=_text(document, "description", default=""),
        division=_division(document),
        document=document,
    )


def _get(document: Document, keys: tuple[str, ...]) -> Any:
    value: Any = document.value
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(document: Document, *keys: str, default: str | None = None) -> str:
    value = _get(document, keys)
    name = ".".join(keys)
    if value is None:
        if default is None:
            raise document.bad(f"no `{name}`; add it", *keys)
        return default
    if not isinstance(value, str) or (default is None and not value.strip()):
        found = "nothing" if isinstance(value, str) else f"a {type(value).__name__}"
        raise document.bad(f"expected text for `{name}`, found {found}", *keys)
    return value


def _one_of(document: Document, known: tuple[str, ...], key: str, default: str | None = None) -> str:
    value = _text(document, key, default=default)
    if value not in known:
        raise document.bad(f"`{key}` is {value!r}; expected one of {', '.join(known)}", key)
    return value


def _number(document: Document, default: float, *keys: str) -> float:
    """A number between 0 and 1."""
    text = _text(document, *keys, default=str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise document.bad(f"`{'.'.join(keys)}` is {text!r}; expected a number from 0 to 1", *keys)
    return value


def _mapping(document: Document, *keys: str) -> dict[str, Any]:
    value = _get(document, keys)
    if value is None:
        raise document.bad(f"no `{'.'.join(keys)}`; add it", *keys)
    if not isinstance(value, dict):
        raise document.bad(f"expected `key: value` pairs under `{'.'.join(keys)}`, found {value!r}", *keys)
    return value


def _names(document: Document, *keys: str) -> list[str]:
    value = _get(document, keys)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise document.bad(f"expected a list of names under `{'.'.join(keys)}`, found {value!r}", *keys)
    if len(set(value)) < len(value):
        raise document.bad(f"`{'.'.join(keys)}` names one thing twice: {', '.join(value)}", *keys)
    return value


def _files(document: Document) -> dict[str, str]:
    if "files" not in document.value:
        return {}
    files = _mapping(document, "files")
    document.check_keys(files, SPLITS, "files")
    return {split: _text(document, "files", split) for split in files}


def _format(document: Document) -> Format:
    value = document.value
    kind = _one_of(document, FORMATS, "format") if "format" in value else None
    header = tuple(_names(document, "header")) if "header" in value else None
    delimiter = _text(document, "delimiter", default="") or None
    pattern = _text(document, "pattern") if "pattern" in value else None
    if (kind == "lines") != (pattern is not None):
        raise document.bad("`format: lines` and `pattern` go together; one of them is absent", "format")
    if pattern is not None:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as bad:
            raise document.bad(f"`pattern` is not a regular expression: {bad}", "pattern") from None
        if not groups:
            raise document.bad("`pattern` has no named group such as (?P<text>.*), one a column", "pattern")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise document.bad(f"`delimiter` is {delimiter!r}; expected one character", "delimiter")
    quote = _text(document, "quote") if "quote" in value else None
    if quote not in (None, "none") and (len(str(quote)) != 1 or quote in ("\r", "\n", delimiter)):
        raise document.bad(f"`quote` is {quote!r}; expected one character, or none", "quote")
    for key in ("header", "delimiter", "quote"):
        if key in value and kind not in (None, "csv", "tsv"):
            raise document.bad(f"`{key}` belongs to csv and tsv files; the format is {kind}", key)
    return Format(kind, _text(document, "encoding", default="utf-8"), header, delimiter, pattern, quote)


def _slots(document: Document) -> dict[str, str]:
    value = _get(document, ("columns", "slots"))
    if isinstance(value, list):
        slots = {name: name for name in _names(document, "columns", "slots")}
    else:
        slots = {slot: _text(document, "columns", "slots", slot) for slot in _mapping(document, "columns", "slots")}
    if not slots:
        raise document.bad("`columns.slots` is empty; name at least one", "columns", "slots")
    for slot in slots:
        if not _SLOT.fullmatch(slot):
            raise document.bad(
                f"slot {slot!r} is not a plain name (letters, digits, _); write `name: {slot}` under `columns.slots`",
                "columns",
                "slots",
                slot,
            )
    return slots


def _notes(document: Document, slots: Mapping[str, str]) -> dict[str, str]:
    if "slots" not in document.value:
        return {}
    document.check_keys(_mapping(document, "slots"), slots, "slots")
    return {slot: _text(document, "slots", slot) for slot in document.value["slots"]}


def _choices(document: Document, slots: Mapping[str, str]) -> tuple[str, ...]:
    if "choices" not in document.value:
        raise document.bad("a choice task needs `choices`: the slots that are the options, in order", "type")
    choices = _names(document, "choices")
    for place, slot in enumerate(choices):
        if slot not in slots:
            raise document.bad(f"choice {slot!r} is not a slot; the slots are {', '.join(slots)}", "choices", place)
    if not 2 <= len(choices) <= len(LETTERS):
        raise document.bad(f"expected 2 to {len(LETTERS)} choices, found {len(choices)}", "choices")
    return tuple(choices)


def _ways(document: Document) -> tuple[str, ...]:
    if "answer_is" not in document.value:
        return PLAIN
    if "labels" in document.value:
        raise document.bad("`answer_is` and `labels` both say what a stored answer means; keep one", "answer_is")
    return (_one_of(document, WAYS, "answer_is"),)


def _answers(document: Document, kind: str, choices: int) -> tuple[tuple[str, ...], dict[str, int]]:
    """Candidate answers, and stored value -> its index among them."""
    letters = tuple(LETTERS[:choices])
    given = document.value.get("labels")
    if given is None:
        if kind == "label":
            raise document.bad("a label task needs `labels`: stored value -> the word the model writes", "type")
        return letters, {}
    if isinstance(given, list):
        words = {name.strip(): name.strip() for name in _names(document, "labels")}
    else:
        words = {k.strip(): _text(document, "labels", k).strip() for k in _mapping(document, "labels")}
    if kind == "choice":
        for value, letter in words.items():
            if letter not in letters:
                raise document.bad(
                    f"`labels` gives {letter!r} for {value!r}; expected one of {', '.join(letters)}", "labels"
                )
        return letters, {value: letters.index(letter) for value, letter in words.items()}
    answers = tuple(dict.fromkeys(words.values()))
    if len(answers) < 2:
        raise document.bad(f"expected at least two label words, found {len(answers)}", "labels")
    if len({answer.casefold() for answer in answers}) < len(answers):
        raise document.bad("two label words differ in case alone; give one of them another word", "labels")
    return answers, {value: answers.index(word) for value, word in words.items()}


def _division(document: Document) -> Division | None:
    if "split" not in document.value:
        return None
    given = _mapping(document, "split")
    document.check_keys(given, ("validation", "test", "seed"), "split")
    files = document.value.get("files") or {"train": ""}
    shares = {split: _number(document, 0.0, "split", split) for split in SPLITS[1:] if split in given}
    for split in shares:
        if split in files:
            raise document.bad(f"`split` gives a share to {split}, which has a file of its own", "split", split)
    if "train" not in files:
        raise document.bad("`split` parts the train file, and `files` names none", "split")
    if sum(shares.values()) >= 1:
        raise document.bad(f"the shares of `split` add up to {sum(shares.values()):g}; expected less than 1", "split")
    seed = _text(document, "split", "seed", default="0")
    if not re.fullmatch(r"\d{1,18}", seed):
        raise document.bad(f"`split.seed` is {seed!r}; expected a whole number from 0", "split", "seed")
    return Division({split: share for split, share in shares.items() if share}, int(seed))
