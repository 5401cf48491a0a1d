"""What a stored answer of a choice task means: the ways there are to name an option."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from paft.tasks.base import LETTERS

WAYS = ("text", "letter", "column", "index0", "index1")
PLAIN = WAYS[:3]  # those that need no word of the user where they agree
SAYS = {
    "text": "the options' own texts",
    "letter": "letters",
    "column": "names of options",
    "index0": "places counted from 0",
    "index1": "places counted from 1",
}
_PLACE = re.compile(r"(\d{1,2})(?:\.0+)?")


def meant(stored: str, ways: Iterable[str], options: Sequence[str], names: Sequence[tuple[str, ...]]) -> set[int]:
    """The options that ``stored`` means by any of ``ways``.

    Args:
        options: the options' texts.
        names: what each option is called: its slot, its column.
    """
    stored, found = stored.strip(), set[int]()
    for way in ways:
        if way == "text":
            found |= {place for place, option in enumerate(options) if stored and option.strip() == stored}
        elif way == "column":
            found |= {place for place, called in enumerate(names) if stored in called}
        elif way == "letter":
            letters = LETTERS[: len(options)]
            found |= {letters.index(stored.upper())} if len(stored) == 1 and stored.upper() in letters else set()
        elif match := _PLACE.fullmatch(stored):
            found |= {int(match[1]) - int(way == "index1")} & set(range(len(options)))
    return found
