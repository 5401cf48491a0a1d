"""A prompt set as rows for a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from paft.prompts.origin import origin
from paft.prompts.prompt import Prompt


class PromptRow(NamedTuple):
    """One prompt in a table: ``words`` counts the wording alone, without slots."""

    id: str
    words: int
    slots: tuple[str, ...]
    source: str
    first_line: str


def show_rows(prompts: Iterable[Prompt]) -> list[PromptRow]:
    """Id, length, slots, origin and first line of every prompt, in order."""
    return [
        PromptRow(
            prompt.id,
            len(prompt.template.mask(" ").split()),
            prompt.template.slots,
            describe_source(prompt),
            prompt.template.plain.strip().split("\n")[0],
        )
        for prompt in prompts
    ]


def describe_source(prompt: Prompt) -> str:
    """Where a prompt came from in a few words: its kind, then who or what, then how."""
    given = origin(prompt)
    values = [given.pop("kind", None)]
    if "voice" not in given:  # the voice says more than who wrote in it
        values += [prompt.source.get(key) for key in ("author", "file")]
    return " / ".join(str(value) for value in (*values, *given.values()) if value)
