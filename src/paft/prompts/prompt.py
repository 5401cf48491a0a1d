"""A prompt: a template with an id and where it came from; and its form as one row of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from paft.errors import DataError
from paft.prompts.template import Message, Rendered, Template

KEYS = ("id", "text", "source", "split", "group")


def default_id(text: Rendered) -> str:
    """The first 12 hex digits of the SHA-256 of the text; of its canonical JSON for a chat template."""
    if not isinstance(text, str):
        text = json.dumps(text, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template with an id.

    Attributes:
        id: unique in its set.
        template: the parsed template.
        source: who wrote it: ``kind`` (llm, human, grammar, bundled, import), ``model``, ``strategy``, ...
        split: ``train`` or ``test`` once the set was split, or what the file says.
        group: prompts of one group stay on one side of a split.
    """

    id: str
    template: Template
    source: Mapping[str, Any] = field(default_factory=dict, hash=False)
    split: str | None = None
    group: str | None = None

    @classmethod
    def from_text(
        cls,
        text: str | Sequence[Mapping[str, Any] | Message],
        source: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Prompt:
        """A prompt from a template's source form; the id defaults to a digest of the text.

        Raises:
            TemplateError: a template that cannot be parsed.
        """
        template = Template.parse(text)
        return cls(id or default_id(template.text), template, dict(source or {}))

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Prompt:
        """A prompt from one row of a file, as ``to_row`` writes it.

        Raises:
            DataError: an unknown key, no text, or a field of the wrong type.
            TemplateError: a template that cannot be parsed.
        """
        check_fields(row)
        template = Template.parse(row["text"])
        return cls(
            row.get("id") or default_id(template.text),
            template,
            dict(row.get("source") or {}),
            row.get("split"),
            row.get("group"),
        )

    @property
    def text(self) -> Rendered:
        """The template's source form: a string, or a list of role and content dicts."""
        return self.template.text

    def render(self, values: Mapping[str, str]) -> Rendered:
        """The filled template; see ``Template.render``."""
        return self.template.render(values)

    def to_row(self) -> dict[str, Any]:
        """The prompt as a JSON object; fields that are not set are left out."""
        row = {"id": self.id, "text": self.text, "source": dict(self.source), "split": self.split, "group": self.group}
        return {key: value for key, value in row.items() if value not in (None, {})}


def check_fields(row: Mapping[str, Any]) -> None:
    """Refuse a row with unknown keys, without text, or with a field of the wrong type."""
    unknown = [key for key in row if key not in KEYS]
    if unknown:
        raise DataError(f"unknown key {unknown[0]!r}; expected {', '.join(KEYS)} (other facts belong inside source)")
    if not isinstance(row.get("text"), str | list):
        found = type(row["text"]).__name__ if "text" in row else f"only {', '.join(row) or 'an empty object'}"
        raise DataError(f"expected a key 'text' with a template or a list of messages, found {found}")
    for key in ("id", "split", "group"):
        if not isinstance(row.get(key), str | None) or row.get(key) == "":
            raise DataError(f"{key} must be text that is not empty, found {row[key]!r}; leave it out or mend it")
    if not isinstance(row.get("source"), Mapping | None):
        raise DataError(f'source must be an object such as {{"kind": "human"}}, found {row["source"]!r}')
