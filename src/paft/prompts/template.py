"""Templates: text with named slots, read by a strict parser of our own.

A slot is a plain name in single braces, ``{goal}``; ``{{`` and ``}}`` stand for literal braces. Nothing
else that ``str.format`` knows is allowed, so a template can never reach into the values it is given, and a
value is inserted as it is: braces inside it mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paft.errors import InputError, TemplateError

ROLES = ("system", "user", "assistant")
_BRACE = re.compile(r"[{}]")
_HINT = "a slot is a plain name such as {question}; write {{ or }} for a brace that is meant as text"

Rendered = str | list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat template: who speaks and what, with slots."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """A parsed text: literals at even places, slot names at odd ones."""

    pieces: tuple[str, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """Slot names in reading order, each as often as it is used."""
        return self.pieces[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every slot replaced by its value."""
        filled = list(self.pieces)
        try:
            filled[1::2] = [values[name] for name in self.pieces[1::2]]
            return "".join(filled)
        except KeyError as missing:
            known = ", ".join(values) or "none"
            raise TemplateError(
                f"no value for slot {{{missing.args[0]}}}; there are values for: {known}", code="missing-slot"
            ) from None
        except TypeError:
            wrong = next(name for name in self.slots if not isinstance(values[name], str))
            kind = type(values[wrong]).__name__
            raise InputError(f"the value of slot {{{wrong}}} must be text, found {kind}; convert it first") from None

    def mask(self, character: str) -> str:
        """The text with every slot replaced by ``character``."""
        return character.join(self.pieces[::2])


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of a task: a text, or a list of chat messages, with slots. Made by ``Template.parse``.

    Attributes:
        messages: the turns of a chat template; one ``user`` turn for a text template.
        is_chat: whether it renders to a list of messages.
        slots: the distinct slot names, in order of first use over all turns.
    """

    messages: tuple[Message, ...]
    is_chat: bool
    slots: tuple[str, ...] = field(compare=False)
    parsed: tuple[Pieces, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str | Sequence[Mapping[str, Any] | Message]) -> Template:
        """Read a text template, or a chat template given as ``{"role", "content"}`` turns.

        Raises:
            TemplateError: with the character offset and a code, ``bad-syntax`` or ``empty``.
        """
        is_chat = not isinstance(text, str)
        messages = (Message("user", text),) if isinstance(text, str) else tuple(_read_messages(text))
        parsed = []
        for number, message in enumerate(messages, start=1):
            try:
                parsed.append(_parse(message.content))
            except TemplateError as bad:
                where = f"message {number} ({message.role}): " if is_chat else ""
                raise TemplateError(f"{where}{bad}", bad.position, bad.code) from None
        slots = tuple(dict.fromkeys(name for pieces in parsed for name in pieces.slots))
        return cls(messages, is_chat, slots, tuple(parsed))

    @property
    def text(self) -> Rendered:
        """The source form: the text, or the list of role and content dicts."""
        if not self.is_chat:
            return self.messages[0].content
        return [{"role": m.role, "content": m.content} for m in self.messages]

    @property
    def plain(self) -> str:
        """The source as one string; the turns of a chat template stand on lines of their own."""
        return "\n".join(m.content for m in self.messages)

    def render(self, values: Mapping[str, str]) -> Rendered:
        """The template with every slot replaced by its value, which is never parsed.

        Returns a string, or for a chat template a list of ``{"role", "content"}``.

        Raises:
            TemplateError: a slot without a value (code ``missing-slot``).
            InputError: a value that is not text.
        """
        if not self.is_chat:
            return self.parsed[0].fill(values)
        pairs = zip(self.messages, self.parsed, strict=True)
        return [{"role": message.role, "content": pieces.fill(values)} for message, pieces in pairs]

    def mask(self, character: str) -> str:
        """All turns as one string with every slot replaced by ``character`` and literal braces single."""
        return "\n".join(pieces.mask(character) for pieces in self.parsed)


def escape(text: str) -> str:
    """``text`` as a template that renders to it: every brace doubled."""
    return text.replace("{", "{{").replace("}", "}}")


def _parse(text: str) -> Pieces:
    _refuse_unusable(text)
    pieces: list[str] = []
    literal: list[str] = []
    at = 0
    while brace := _BRACE.search(text, at):
        start, mark = brace.start(), brace.group()
        literal.append(text[at:start])
        if text.startswith(mark, start + 1):
            literal.append(mark)
            at = start + 2
            continue
        name = _slot_name(text, start)
        pieces += ["".join(literal), name]
        literal = []
        at = start + len(name) + 2
    literal.append(text[at:])
    pieces.append("".join(literal))
    return Pieces(tuple(pieces))


def _slot_name(text: str, start: int) -> str:
    """The name of the slot that opens at ``start``, or why there is none."""
    if text[start] == "}":
        raise TemplateError(f"character {start}: a '}}' that closes nothing; {_HINT}", start)
    end = text.find("}", start)
    name = text[start + 1 : end]
    if end < 0 or "{" in name:
        raise TemplateError(f"character {start}: a '{{' that is not closed; {_HINT}", start)
    if name.isidentifier():
        return name
    shown = name if len(name) <= 40 else name[:39] + "…"
    raise TemplateError(f"character {start}: {'{' + shown + '}'!r} is not a slot ({_why_not(name)}); {_HINT}", start)


def _why_not(name: str) -> str:
    if not name.strip() or name.strip().isdigit():
        return "slots have names, not positions"
    if name.strip().isidentifier():
        return "no spaces inside the braces"
    for mark, what in ((".", "attribute access"), ("[", "indexing"), ("!", "a conversion"), (":", "a format spec")):
        if mark in name:
            return f"{what} is not allowed"
    return "not a plain name"


def _refuse_unusable(text: str) -> None:
    if not text.strip():
        raise TemplateError("the template is empty; give it some text", code="empty")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as bad:
        raise TemplateError(
            f"character {bad.start}: half of a surrogate pair, which no file can hold; remove it", bad.start
        ) from None


def _read_messages(turns: Sequence[Mapping[str, Any] | Message]) -> Iterator[Message]:
    """The turns of a chat template, each checked; the last must be the user's."""
    if not isinstance(turns, Sequence) or isinstance(turns, bytes):
        raise TemplateError(f"expected text or a list of messages, found {type(turns).__name__}")
    if not turns:
        raise TemplateError("the list of messages is empty; give at least one user message", code="empty")
    for number, turn in enumerate(turns, start=1):
        message = _read_message(turn, number)
        if message.role == "system" and number > 1:
            raise TemplateError(f"message {number}: a system message may only come first")
        if number == len(turns) and message.role != "user":
            raise TemplateError(f"message {number}: the last message must be from the user, found {message.role!r}")
        yield message


def _read_message(turn: Mapping[str, Any] | Message, number: int) -> Message:
    if isinstance(turn, Message):
        turn = {"role": turn.role, "content": turn.content}
    if not isinstance(turn, Mapping) or set(turn) != {"role", "content"}:
        found = ", ".join(map(str, turn)) if isinstance(turn, Mapping) else type(turn).__name__
        raise TemplateError(f"message {number}: expected an object with role and content, found {found or 'nothing'}")
    if turn["role"] not in ROLES:
        raise TemplateError(f"message {number}: unknown role {turn['role']!r}; expected one of {', '.join(ROLES)}")
    if not isinstance(turn["content"], str):
        raise TemplateError(f"message {number}: content must be text, found {type(turn['content']).__name__}")
    return Message(turn["role"], turn["content"])
