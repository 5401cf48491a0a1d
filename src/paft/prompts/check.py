"""Check a prompt set against a task: every problem by prompt id and position."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from paft.errors import DataError, InputError, TemplateError
from paft.files import read_jsonl
from paft.prompts.overlap import overlap
from paft.prompts.prompt import Prompt, check_fields, default_id
from paft.prompts.rules import findings
from paft.prompts.similarity import collapse, comparable, similar_pairs
from paft.prompts.template import Template
from paft.tasks.base import Task

if TYPE_CHECKING:
    from paft.prompts.prompt_set import PromptSet

ERRORS = ("missing-slot", "unknown-slot", "bad-syntax", "empty", "leftover", "answer-leak")
WARNINGS = ("repeated-slot", "no-cue", "literal-newline", "too-long", "duplicate", "near-duplicate")
MAX_NEAR = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one prompt.

    Attributes:
        prompt_id: the prompt.
        position: its place in the set, from 1; a place inside the text stands in the message.
        code: one of ``ERRORS`` or ``WARNINGS``.
        severity: ``error`` or ``warning``.
        message: what was found and what to do.
        other_id: for duplicates and near-duplicates, the earlier prompt it repeats.
    """

    prompt_id: str
    position: int
    code: str
    severity: Literal["error", "warning"]
    message: str
    other_id: str | None = None


@dataclass(frozen=True)
class CheckReport:
    """All problems of a set of ``size`` prompts, by position."""

    size: int
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        """What must be mended before the set is used."""
        return [p for p in self.problems if p.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """What is worth a look."""
        return [p for p in self.problems if p.severity == "warning"]

    def rows(self) -> list[dict[str, Any]]:
        """The problems as JSON objects."""
        return [asdict(problem) for problem in self.problems]

    def raise_if_bad(self) -> None:
        """Raise InputError naming the first errors, if there are any."""
        errors = self.errors
        if not errors:
            return
        bad = len({p.position for p in errors})
        first = "; ".join(f"prompt {p.position} ({p.prompt_id}): {p.code}, {p.message}" for p in errors[:2])
        more = f"; and {len(errors) - 2} more" if len(errors) > 2 else ""
        raise InputError(
            f"{bad} of {self.size} prompts cannot be used: {first}{more}\nrun paft prompts check to see them all"
        )


class _Row(NamedTuple):
    """A prompt as it is checked: the template, or why there is none."""

    id: str
    template: Template | TemplateError


def check(prompts: Iterable[Prompt], task: Task, threshold: float = 0.9) -> CheckReport:
    """Check loaded prompts.

    Args:
        threshold: similarity from which two prompts are near-duplicates, above 0 and at most 1.
    """
    return _report([_Row(prompt.id, prompt.template) for prompt in prompts], task, threshold)


def check_against(prompts: PromptSet, other: PromptSet, threshold: float = 0.9) -> list[Problem]:
    """Wordings of ``prompts`` that stand in ``other`` too, as warnings: each prompt with the one most like it."""
    place = {prompt_id: number for number, prompt_id in enumerate(prompts.ids, start=1)}
    found: dict[str, Problem] = {}
    for other_id, prompt_id, alike, kind in overlap(other, prompts, threshold):
        code = "duplicate" if kind == "duplicate" else "near-duplicate"
        says = {
            "duplicate": "stands in the other set too",
            "punctuation": f"stands in the other set but for punctuation, {alike:.3f} similar",
            "near": f"{alike:.3f} similar to a prompt of the other set",
        }[kind]
        found.setdefault(prompt_id, Problem(prompt_id, place[prompt_id], code, "warning", says, other_id))
    return sorted(found.values(), key=lambda problem: problem.position)


def check_file(path: str | os.PathLike[str], task: Task, threshold: float = 0.9) -> CheckReport:
    """Check a prompt file; templates that cannot be parsed are reported with everything else.

    Rows with the same text and no id of their own would share their default id: each later one is a
    ``duplicate`` of severity ``error``.

    Raises:
        MissingFileError, DataError: no such file, no prompts, a malformed row, or a repeated id.
    """
    rows: list[_Row] = []
    repeated: list[Problem] = []
    lines: dict[str, int] = {}
    for line, fields in read_jsonl(path):
        try:
            check_fields(fields)
        except DataError as bad:
            raise DataError(f"{path}, line {line}: {bad}") from None
        row = _Row(fields.get("id") or default_id(fields["text"]), _parse(fields["text"]))
        if row.id in lines and fields.get("id"):
            raise DataError(
                f"{path}, line {line}: id {row.id!r} already stands in line {lines[row.id]}; ids must be distinct"
            )
        if row.id in lines:
            message = f"same text as line {lines[row.id]}, and no id of its own; remove it (paft prompts import does)"
            repeated.append(Problem(row.id, len(rows) + 1, "duplicate", "error", message, row.id))
        lines.setdefault(row.id, line)
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no prompts in it; expected one JSON object with a 'text' per line")
    return _report(rows, task, threshold, repeated)


def _parse(text: str | list[Any]) -> Template | TemplateError:
    try:
        return Template.parse(text)
    except TemplateError as bad:
        return bad


def _report(rows: Sequence[_Row], task: Task, threshold: float, known: Sequence[Problem] = ()) -> CheckReport:
    problems = list(known)
    for position, row in enumerate(rows, start=1):
        problems += _problems(row, position, task)
    problems += _copies(rows, threshold, {p.position for p in known})
    order = {code: at for at, code in enumerate(ERRORS + WARNINGS)}
    return CheckReport(len(rows), sorted(problems, key=lambda p: (p.position, order[p.code])))


def _problems(row: _Row, position: int, task: Task) -> Iterator[Problem]:
    if isinstance(row.template, TemplateError):
        code = "empty" if row.template.code == "empty" else "bad-syntax"
        yield Problem(row.id, position, code, "error", str(row.template))
        return
    for finding in findings(row.template, task):
        yield Problem(row.id, position, finding.code, "error" if finding.code in ERRORS else "warning", finding.message)


def _copies(rows: Sequence[_Row], threshold: float, skip: set[int]) -> Iterator[Problem]:
    """Duplicates (the same but for case and spaces) and near-duplicates, each told of the later prompt."""
    first: dict[str, int] = {}
    singles: list[tuple[int, str]] = []
    for index, row in enumerate(rows):
        if isinstance(row.template, TemplateError) or index + 1 in skip:
            continue
        text = collapse(row.template.plain)
        if text in first:
            other = first[text]
            message = f"the same as prompt {other + 1} but for case and spaces"
            yield Problem(row.id, index + 1, "duplicate", "warning", message, rows[other].id)
            continue
        first[text] = index
        singles.append((index, comparable(row.template)))
    near: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for left, right, score in similar_pairs([text for _, text in singles], threshold):
        near[singles[right][0]].append((-score, singles[left][0]))
    for index, others in near.items():
        for score, other in sorted(others)[:MAX_NEAR]:
            message = f"{-score:.3f} similar to prompt {other + 1}"
            if len(others) > MAX_NEAR:
                message += f", one of {len(others)} earlier prompts this near ({MAX_NEAR} are listed)"
            yield Problem(rows[index].id, index + 1, "near-duplicate", "warning", message, rows[other].id)
