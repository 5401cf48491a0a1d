"""A conversation as a tokenizer's chat template writes it, and where in it the answer stands.

Nothing about a template is assumed. The conversation is rendered with an answer of the assistant, and what stands
before that answer, right before it and behind it is read off. ``add_generation_prompt`` is not relied on: there some
templates write another header than they write before an answer, open a block of thoughts, or write nothing.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment
from jinja2.exceptions import TemplateError as JinjaError
from transformers import PreTrainedTokenizerBase

from paft.errors import EncodingError, InputError
from paft.models.chat_date import CLOCK, another, pinned, read_day
from paft.models.chat_form import Form, Turn, forms

logger = logging.getLogger(__name__)

Rendered = str | Sequence[Mapping[str, str]]
BLANKS = " \t"
STAND_INS = ("zqanswer1kx", "Jx 47 kqz")  # two answers that no template holds
SHAPES = (("user",), ("system", "user"))  # conversations to learn from; a template need not know the second
# what a template of a stranger may do beside raising an error of Jinja's
FAILURES = (JinjaError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_QUOTED = re.compile(r"""['"]text['"]: ?['"]""")  # a list of parts that is written out rather than read
_OPENING = re.compile(r"([<\[])([^<>\[\]/\s]+[>\]])")


class _UnfitError(Exception):
    """Why a conversation cannot be had in some form; completes the sentence 'its chat template ...'."""


class _Place(NamedTuple):
    """A rendered conversation, parted at the answer."""

    before: str
    after: str


class ChatTemplate:
    """The chat template of a tokenizer.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        day: what the template takes for today, such as ``2025-03-01``.

    Attributes:
        gap: what stands between the prompt and an answer: a space, or nothing.
        end_ids: what ends an answer, up to and with the template's mark; empty where it has none.
        date: the day, where the template depends on it; else None.

    Raises:
        InputError: no answer can be told apart in what the template writes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, day: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.name = str(tokenizer.name_or_path or "this tokenizer")
        self._forms: dict[tuple[str, ...], Form] = {}
        self._keeps_blanks = False
        today = read_day(day)
        try:
            own = str(tokenizer.get_chat_template())
        except ValueError as bad:  # several, and none of them is called default
            raise InputError(f"the chat template of {self.name}: {_line(bad)}\n{self._advice}") from None
        self._source = pinned(own, today)
        try:
            roles, turns = self._first_shape()
        except EncodingError as bad:
            raise InputError(str(bad)) from None
        place = self._place(turns, self._forms[roles], STAND_INS[0])
        self.gap = self._settled_gap(place)
        self.end_ids = self._find_end(place)
        written = "\0".join([place.before, place.after])
        self._marks = _marks(tokenizer, own, written)
        self.date = today.isoformat() if CLOCK in own and self._depends_on(own, today) else None
        self._compare(turns, self._forms[roles], place)

    def prompt(self, rendered: Rendered) -> str:
        """Everything before an answer, but for the gap.

        Raises:
            EncodingError: the template refuses the conversation, alters a message or leaves it out, or a message holds
                one of the template's marks.
        """
        messages = [{"role": "user", "content": rendered}] if isinstance(rendered, str) else rendered
        turns = [{"role": m["role"], "content": m["content"].rstrip(BLANKS)} for m in messages]
        for turn in turns:
            self.refuse_marks(turn["content"], f"the text of a {turn['role']} message")
        form = self._form(tuple(turn["role"] for turn in turns))
        answer = STAND_INS[0]
        while any(answer in turn["content"] for turn in turns):
            answer += "x"
        try:
            prompt, gap = self._parted(self._place(turns, form, answer).before)
        except _UnfitError as bad:
            raise EncodingError(f"the chat template of {self.name} {bad}\n{self._advice}") from None
        if gap != self.gap:
            raise EncodingError(
                f"the chat template of {self.name} writes {gap!r} before an answer here and {self.gap!r} elsewhere\n"
                f"{self._advice}"
            )
        return prompt

    def refuse_marks(self, text: str, where: str) -> None:
        """Refuse a text that forges the template's own marks."""
        found = self._marks.search(text)
        if found is not None:
            raise EncodingError(
                f"{where} holds {found.group()!r}, a special token of this model or a mark of its chat template; "
                "remove it from the data or the template"
            )

    @property
    def _advice(self) -> str:
        return "use --chat off, or mend the template"

    # how a conversation is passed

    def _form(self, roles: tuple[str, ...]) -> Form:
        if roles not in self._forms:
            self._forms[roles] = self._derive(roles)
        return self._forms[roles]

    def _first_shape(self) -> tuple[tuple[str, ...], list[Turn]]:
        """The simplest conversation that the template takes; raises what is wrong with the very simplest."""
        first: EncodingError | None = None
        for roles in SHAPES:
            try:
                self._form(roles)
                return roles, _probe(roles)
            except EncodingError as bad:
                first = first or bad
        assert first is not None
        raise first

    def _derive(self, roles: tuple[str, ...]) -> Form:
        """The first form of such a conversation in which no message is lost and the answer stands as it is."""
        turns, first = _probe(roles), ""
        for form in forms(roles):
            try:
                self._try(turns, form)
            except _UnfitError as bad:
                first = first or str(bad)
                continue
            if form.merges:
                _say(
                    f"the chat template of {self.name} {first}: in a conversation of {', '.join(roles)}, "
                    f"{form.told(roles)}"
                )
            return form
        raise EncodingError(f"the chat template of {self.name} {first}\n{self._advice}")

    def _try(self, turns: Sequence[Turn], form: Form) -> None:
        """Render with two answers: all else must be the same."""
        one, two = (self._place(turns, form, answer) for answer in STAND_INS)
        if one != two:
            raise _UnfitError("writes other things around one answer than around another")
        if form.parts and _QUOTED.search(one.before):
            raise _UnfitError("writes a list of parts as it is")
        header = one.before.rpartition(turns[-1]["content"])[2]
        for start, rest in _OPENING.findall(header):
            closing = f"{start}/{rest}"
            if closing in self._source and closing not in header.rpartition(start + rest)[2]:
                raise _UnfitError(f"leaves {start + rest} open before an answer")

    def _place(self, turns: Sequence[Turn], form: Form, answer: str) -> _Place:
        text = self._render([*form.messages(turns), form.message("assistant", answer)])
        times = text.count(answer)
        if times != 1:
            what = "does not write an assistant's answer as it is" if not times else f"writes an answer {times} times"
            raise _UnfitError(what)
        before, _, after = text.partition(answer)
        for turn in turns:
            if turn["content"].strip() not in before:
                raise _UnfitError(f"does not write the {turn['role']} message as it is")
        return _Place(before, after)

    def _render(self, messages: list[dict[str, Any]], source: str | None = None, **options: Any) -> str:
        options |= {"chat_template": source or self._source, "tokenize": False, "enable_thinking": False}
        try:
            return str(self.tokenizer.apply_chat_template(messages, **options))
        except FAILURES as bad:
            raise _UnfitError(f"refuses the conversation: {_line(bad)}") from None

    # what is read off

    def _parted(self, before: str) -> tuple[str, str]:
        """The prompt, and the blanks at its end that go with the answer."""
        prompt = before if self._keeps_blanks else before.rstrip(BLANKS)
        return prompt, before[len(prompt) :]

    def _settled_gap(self, place: _Place) -> str:
        """The gap; it stays with the prompt where the mark before it takes the blanks that follow into its token."""
        prompt, gap = self._parted(place.before)
        if gap and not self._starts(place.before + STAND_INS[0], len(prompt)):
            self._keeps_blanks = True
            return ""
        return gap

    def _starts(self, text: str, char: int) -> bool:
        """Whether a token starts at a character."""
        return any(start == char for start, stop in self._read(text).offsets if stop > start)

    def _read(self, text: str) -> Any:
        return self.tokenizer(text, add_special_tokens=False, verbose=False).encodings[0]

    def _find_end(self, place: _Place) -> list[int]:
        """The tokens behind an answer up to the first mark; none where text stands before it."""
        text = f"{place.before}{STAND_INS[0]}{place.after}"
        stop = len(text) - len(place.after)
        read, out = self._read(text), []
        for token, (start, end) in zip(read.ids, read.offsets, strict=True):
            if end <= stop or start < stop:
                continue
            blank = not text[start:end].strip()
            if not blank and token not in self.tokenizer.added_tokens_decoder:
                _say(
                    f"the chat template of {self.name} ends an answer with {place.after!r}, which is no token of the "
                    "tokenizer; its end token ends an answer"
                )
                return []
            out.append(int(token))
            if not blank:
                return out
        return []

    def _depends_on(self, own: str, today: dt.date) -> bool:
        """Whether another day gives another text in any conversation that is looked at."""
        other = pinned(own, another(today))
        for roles in SHAPES:
            for form in forms(roles):
                try:
                    messages = form.messages(_probe(roles))
                    if self._render(messages) != self._render(messages, other):
                        return True
                except _UnfitError:
                    continue
        return False

    def _compare(self, turns: Sequence[Turn], form: Form, place: _Place) -> None:
        """Say where the template asks for an answer with other words than it writes before one."""
        try:
            asked = self._render(form.messages(turns), add_generation_prompt=True)
        except _UnfitError:
            return
        if asked.rstrip(BLANKS) != place.before.rstrip(BLANKS):
            last = turns[-1]["content"]
            _say(
                f"the chat template of {self.name} asks for an answer with {asked.rpartition(last)[2]!r} and writes "
                f"{place.before.rpartition(last)[2]!r} before one; the latter is used"
            )


def _probe(roles: Sequence[str]) -> list[Turn]:
    """A conversation of such roles, every message another."""
    return [{"role": role, "content": f"zq{number} {role}kx{number} zq"} for number, role in enumerate(roles)]


def _marks(tokenizer: PreTrainedTokenizerBase, template: str, written: str) -> re.Pattern[str]:
    """What no message may hold: special tokens, and every other added token that the template uses.

    White space and plain words that somebody has added to a vocabulary are text, wherever they stand.
    """
    used = "\0".join([written, *_literals(template)])
    named = set(getattr(tokenizer, "chat_control_tokens", None) or ())
    marks = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or token.content in named or (token.content in used and _is_mark(token.content))
    ]
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or "(?!)")


def _is_mark(text: str) -> bool:
    return bool(text.strip()) and not text.strip().isalnum()


def _literals(template: str) -> Iterator[str]:
    """The texts in a template; it is read, not run."""
    for _, kind, value in Environment(trim_blocks=True, lstrip_blocks=True).lex(template):
        if kind in ("data", "string"):
            yield value


def _line(bad: Exception) -> str:
    """The first line of what an error says."""
    return (str(bad).strip().splitlines() or [type(bad).__name__])[0][:200]


@functools.cache
def _say(text: str) -> None:
    """Warn, once in this process."""
    logger.warning("%s", text)
