"""Brackets that a writing model left for somebody to fill in: ``[Passage]``, ``<the question>``, ``[Option 1]``.

Brackets belong to the wording where they name an answer or list answers, where they are a heading or a tag, where they
hold something else than the name of a thing, as ``[sic]`` does, and where a format is described.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_THING = (
    r"(?:text|passage|article|question|sentence|context|paragraph|review|document|input|statement|message|option|choice|"
    r"answer|response|reply|label|category|class|topic|subject|title|name|date|premise|hypothesis|story|content|"
    r"description|task|query|e-?mail|tweet|comment|snippet|excerpt|example|scenario|situation|instruction|company|"
    r"product|person|organi[sz]ation|city|number|value|word|phrase|solution|output|explanation|reason|letter)s?"
)
_KIND = (
    r"(?:actual|given|correct|chosen|selected|desired|specific|relevant|first|second|third|fourth|next|last|final|user)"
)
_NAME = re.compile(
    rf"(?:(?:the|an?|some)\s+)?(?:{_KIND}\s+)?(?:{_THING}\s+){{0,2}}{_THING}(?:\s*#?\s*(?:\d{{1,2}}|[A-Z]))?",
    re.IGNORECASE,
)
_BRACKET = re.compile(r"(?<![\w\])}\[<])(?:\[([^\[\]<>{}\n]{2,60})\](?![(\]])|<([^<>{}\[\]\n]{2,60})>(?!>))")
_SLOT_NEXT = re.compile(r"[\s:\"'“*_>`=-]*\{(?!\{)")
_TAG_NEXT = re.compile(r"\W{0,3}\s*(?:tag|element|block|field|section|heading)s?\b", re.IGNORECASE)
_FORMAT = re.compile(r"\b(?:format|formatted|in the form)\b[^\n]*$", re.IGNORECASE)


def blanks(text: str, known: Sequence[str]) -> Iterator[tuple[int, str]]:
    """``(place, what stands there)`` of each; ``known`` are the names of slots and answers, which are none."""
    names = {name.casefold() for name in known}
    found = [match for match in _BRACKET.finditer(text) if _NAME.fullmatch(_inside(match).strip())]
    headings = {match.group().casefold() for match in found if _heads(text, match)}
    for match in found:
        inside = _inside(match).strip().casefold()
        if inside in names or inside.rsplit(maxsplit=1)[-1] in names or match.group().casefold() in headings:
            continue
        if not _FORMAT.search(text, 0, match.start()):
            yield match.start(), match.group()


def _inside(match: re.Match[str]) -> str:
    return str(match[1] or match[2])


def _heads(text: str, match: re.Match[str]) -> bool:
    """Whether a bracket is a heading or a tag: before a slot, closed, called one, or at the start of a line.

    At the start of a line it is none where the line above leads up to it, or where the sentence goes on.
    """
    before = text[: match.start()]
    starts = not before.rpartition("\n")[2].strip(" #*_\t")
    slot = _SLOT_NEXT.match(text, match.end())
    if (slot and (starts or "\n" not in slot.group())) or _TAG_NEXT.match(text, match.end()):
        return True
    if match.group().startswith("<") and f"</{_inside(match)}>".casefold() in text.casefold():
        return True
    goes_on = text[match.end() : match.end() + 1] in tuple(",;.!?'’")
    in_tags = match.group().startswith("[") or "</" in text
    return starts and in_tags and not goes_on and not before.rstrip().endswith((":", "：", "="))
