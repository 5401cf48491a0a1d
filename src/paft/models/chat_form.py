"""The forms in which a conversation may be passed to a chat template, the plainest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

Turn = Mapping[str, str]


class Form(NamedTuple):
    """How messages are passed.

    Attributes:
        system: the system message opens the user's turn in place of a turn of its own.
        neighbours: neighbouring messages of one role are one turn.
        parts: contents are lists of parts, as templates of models that also see pictures want them.
    """

    system: bool = False
    neighbours: bool = False
    parts: bool = False

    @property
    def merges(self) -> bool:
        """Whether messages lose a turn of their own."""
        return self.system or self.neighbours

    def messages(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        """The turns as the template gets them."""
        merged = _joined(turns) if self.neighbours else [dict(turn) for turn in turns]
        if self.system and merged[0]["role"] == "system":
            rest = merged[1:]
            merged = _joined([{**merged[0], "role": "user"}, *rest[:1]]) + rest[1:]
        return [self.message(turn["role"], turn["content"]) for turn in merged]

    def message(self, role: str, content: str) -> dict[str, Any]:
        """One message."""
        return {"role": role, "content": [{"type": "text", "text": content}] if self.parts else content}

    def told(self, roles: Sequence[str]) -> str:
        """What is merged, in words."""
        what = []
        if self.system and roles[0] == "system":
            what.append("the system message opens the user's turn")
        if self.neighbours:
            what.append("neighbouring messages of one role are one turn")
        return " and ".join(what)


def forms(roles: Sequence[str]) -> Iterator[Form]:
    """The forms that differ for a conversation of such roles."""
    has_system, has_neighbours = roles[0] == "system", any(a == b for a, b in pairwise(roles))
    for system, neighbours in product((False, True), repeat=2):
        if (system and not has_system) or (neighbours and not has_neighbours):
            continue
        for parts in (False, True):
            yield Form(system, neighbours, parts)


def _joined(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Neighbours of one role in one turn, parted by a blank line."""
    out: list[dict[str, str]] = []
    for turn in turns:
        if out and out[-1]["role"] == turn["role"]:
            out[-1]["content"] += f"\n\n{turn['content']}"
        else:
            out.append(dict(turn))
    return out
