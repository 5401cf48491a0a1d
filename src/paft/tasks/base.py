"""Task and example: what is asked and how an answer is judged. No wording lives here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from paft.errors import InputError
from paft.tasks.normalizing import normalize
from paft.tasks.reasoning import without_reasoning
from paft.tasks.sampling import sample

TaskType = Literal["choice", "label", "free"]
SPLITS = ("train", "validation", "test")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_OPENERS = r"""(?:[\s"'`*_(\[{<“‘]|[-–—#>]\s)*"""
_CUE = r"(?:(?:the\s+)?(?:(?:correct|best|right|final)\s+)?(?:answer|option|choice)\b[\s*_]*(?:is\b)?[\s*_]*:?)"
_OPENING = re.compile(_OPENERS)
_OPENING_AND_CUE = re.compile(rf"{_OPENERS}{_CUE}?{_OPENERS}", re.IGNORECASE)
_FINAL = re.compile(r"####[ \t]*(\S.*)")  # of a worked solution: the line that gives the final answer
_LETTER = re.compile(r"""([A-Z])(?=[ \t]*(?:$|[\r\n])|[):\]}>;*`"”]|[.'’_](?!\w))""")


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a task.

    Attributes:
        id: unique within the split.
        slots: slot name -> text, for every slot and alias of the task; inserted into a template as it is.
        answer: the text the model should write, without a leading space ("A", "person", "42").
        gold: index of ``answer`` among ``Task.answers``; -1 for free answers.
        options: the full texts of the choices, in letter order; empty unless the task is ``choice``. An option
            without text is none: the example has fewer than others.
    """

    id: str
    slots: Mapping[str, str]
    answer: str
    gold: int = -1
    options: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Task:
    """Named slots, examples and how an answer is judged. Two tasks are equal only where they are the same object.

    Attributes:
        name: catalogue name, or the name a task YAML gives.
        type: ``choice`` (the answer is a letter), ``label`` (a label word) or ``free``.
        slots: slot name -> what it holds, in reading order. A template must use every one of them.
        choices: the slots that hold the options, in letter order; empty unless the task is ``choice``.
        aliases: other slot name -> the slot of ``slots`` it may stand for (WinoGrande: sentence -> prompt).
        answers: the candidate answers, in order: letters or label words; empty for ``free``.
        match: how a free answer is compared, ``exact`` or ``normalized``.
        top_threshold: accuracy from which a prompt counts as a top prompt.
        user_prompt: the default single prompt, or "".
        description: one line on what is asked.
        source: where the data comes from, for records; no secret.
        read: split name -> its examples, in file order; kept once read.
        read_questions: file -> the examples of rows whose answers are not known.
    """

    name: str
    type: TaskType
    slots: Mapping[str, str]
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    match: Literal["exact", "normalized"] = "exact"
    top_threshold: float = 0.85
    user_prompt: str = ""
    description: str = ""
    source: str = ""
    read: Callable[[str], Sequence[Example]] | None = None
    read_questions: Callable[[str | Path], Sequence[Example]] | None = None

    def examples(self, split: str, limit: int | None = None) -> Sequence[Example]:
        """The examples of ``split``; with ``limit``, a uniform sample of that many in file order.

        The sample's seed is fixed, so that every model and method meets the same examples.

        Raises:
            InputError: an unknown split, no data given, or no examples in it.
        """
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
        if self.read is None:
            raise InputError(f"task {self.name!r} has no data; give --data a hub id, a file or a folder")
        rows = self.read(split)
        if not rows:
            raise InputError(f"task {self.name!r}: the {split} split of {self.source} holds no examples")
        return sample(rows, limit)

    def questions(self, path: str | Path) -> Sequence[Example]:
        """The rows of a file as examples whose answer is not known: ``answer`` is "", ``gold`` is -1.

        The file has the columns of the task's rows, the answer's aside; ids are ``row:N`` unless the task names
        an id column.

        Raises:
            MissingFileError, DataError: no such file, or a row that does not fit.
        """
        if self.read_questions is None:
            raise InputError(f"task {self.name!r} cannot read rows without answers")
        return self.read_questions(path)

    def offered(self, example: Example) -> tuple[int, ...]:
        """Indices into ``answers`` of those that the example has: of a choice, the options with a text."""
        if self.type != "choice" or not example.options:
            return tuple(range(len(self.answers)))
        return tuple(index for index, option in enumerate(example.options) if option.strip())

    def parse(self, text: str) -> int:
        """Index into ``answers`` of the answer that a generated ``text`` opens with; -1 if none.

        The text is read from its start, past reasoning, spaces, quotes, brackets and asterisks, and past an opening
        such as "Answer:", "The answer is" or "Option".

        A letter must be upper-case and stand alone on its line or before one of ``. ) : ] } > ; *`` or a closing
        quote: "A", "A.", "(A) text", "**A**" are A, "A dog", "As", "A/B" and "a" are nothing. That holds for
        every letter, so that no option is easier to say than another.

        A label word counts in any case where no letter or digit follows it. Where several fit, the longest wins.
        """
        text = without_reasoning(text).text
        if self.type == "choice":
            match = _LETTER.match(text, _after(_OPENING_AND_CUE, text))
            return self.answers.index(match[1]) if match and match[1] in self.answers else -1
        return next((best for head in _heads(text) if (best := self._longest_label(head)) >= 0), -1)

    def settled(self, text: str) -> bool:
        """Whether ``parse`` finds an answer in these lines that nothing written after them can change.

        Of labels that begin alike, such as "new" and "new york", the longer one may still follow.
        """
        text, _, still_open = without_reasoning(text)
        if still_open or self.parse(text) < 0:
            return False
        heads, labels = _heads(text), self._labels()
        return self.type == "choice" or not any(w.startswith(h) and w != h for w in labels for h in heads)

    def _longest_label(self, head: str) -> int:
        words = self._labels()
        fits = [i for i, word in enumerate(words) if re.match(re.escape(word) + r"(?!\w)", head)]
        return max(fits, key=lambda i: len(words[i]), default=-1)

    def _labels(self) -> list[str]:
        return [" ".join(answer.split()).casefold() for answer in self.answers]

    def complete(self, example: Example, text: str) -> bool:
        """Whether the lines written so far hold the whole answer; a free answer that is not known has no last line."""
        if self.type != "free":
            return self.settled(text)
        said, _, still_open = without_reasoning(text)
        if still_open or not example.answer:
            return False
        wanted, final = self._wanted(example)
        if final:
            return any(match.end() < len(said) for match in _FINAL.finditer(said))
        return said.lstrip().count("\n") > wanted.count("\n")

    def judge(self, example: Example, text: str) -> tuple[int, bool]:
        """``(prediction, correct)`` for a generated text; the prediction is -1 for free answers.

        Of a free answer as many lines are compared as the right one has, of a worked solution (``is_worked``) that is
        compared ``normalized`` what follows the last ``####``. A letter that the example does not offer is none.
        """
        if self.type != "free":
            prediction = self.parse(text)
            prediction = prediction if prediction in self.offered(example) else -1
            return prediction, prediction == example.gold
        wanted, final = self._wanted(example)
        said = without_reasoning(text).text.strip()
        said = (_FINAL.findall(said) or [said])[-1] if final else said
        found = "\n".join(said.split("\n")[: wanted.count("\n") + 1]).strip()
        if self.match == "normalized" and normalize(wanted):
            return -1, normalize(found) == normalize(wanted)
        return -1, found == wanted

    def _wanted(self, example: Example) -> tuple[str, bool]:
        """The right free answer as it is compared, and whether it is the final one of a worked solution."""
        wanted = (without_reasoning(example.answer).text.strip() or example.answer).strip()
        if self.match == "normalized" and is_worked(wanted):
            return _FINAL.findall(wanted)[-1].strip(), True
        return wanted, False

    @classmethod
    def from_yaml(cls, path: str | Path, data: str | Path | None = None) -> Task:
        """The task of a task YAML; ``data`` takes the place of the folder that its files are relative to."""
        from paft.tasks.custom import task_from_yaml

        return task_from_yaml(path, data)

    @classmethod
    def from_jsonl(
        cls,
        path: str | Path | Mapping[str, str | Path],
        *,
        slots: Sequence[str] | Mapping[str, str],
        answer: str,
        type: TaskType = "free",
        name: str = "",
        **settings: Any,
    ) -> Task:
        """A task from JSON lines: one file (the training split), or split name -> file.

        Args:
            slots: slot names that are keys of the rows too, or slot name -> key.
            answer: the key of the answer.
            type: ``choice`` needs ``choices``, ``label`` needs ``labels``.
            settings: any other key of a task YAML: ``id``, ``choices``, ``labels``, ``match``, ``split`` and so on.
        """
        from paft.tasks.custom import task_from_files

        files = path if isinstance(path, Mapping) else {"train": path}
        columns: dict[str, Any] = {"slots": slots, "answer": answer}
        if "id" in settings:
            columns["id"] = settings.pop("id")
        stem = Path(next(iter(files.values()), "task")).stem
        given = {"name": name or stem, "type": type, "files": files, "format": "jsonl", "columns": columns}
        return task_from_files({**given, **settings})


def is_worked(answer: str) -> bool:
    """Whether a right answer is a worked solution: its last line is ``#### `` and the final answer."""
    return _FINAL.fullmatch(answer.strip().rpartition("\n")[2].strip()) is not None


def _heads(text: str) -> list[str]:
    """What a label may stand at the start of: the text, and what follows its opening; spaces and case levelled."""
    starts = (0, _after(_OPENING, text), _after(_OPENING_AND_CUE, text))
    return [" ".join(text[start:].split()).casefold() for start in starts]


def _after(pattern: re.Pattern[str], text: str) -> int:
    """Where what ``pattern`` takes from the start of ``text`` ends; 0 where it takes nothing."""
    match = pattern.match(text)
    return match.end() if match else 0
