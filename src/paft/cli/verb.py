"""What every verb module states: its options, an example call, and the function that does the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from paft.cli.help import verb_help
from paft.cli.options import options_of
from paft.cli.parser import Group, Parser


class Verb(Protocol):
    """One verb of the command line, ``VERB`` of its module."""

    name: str

    def help(self) -> str:
        """The text of ``--help``."""
        ...

    def run(self, argv: Sequence[str]) -> int:
        """Parse, build, call; returns the exit code."""
        ...


@dataclass(frozen=True)
class SimpleVerb:
    """A verb whose options are one dataclass.

    Attributes:
        name: as it is called, ``prompts check``.
        summary: first line of the help.
        example: a call that shows its use.
        options: the dataclass of its flags.
        action: does the work; returns the exit code.
    """

    name: str
    summary: str
    example: str
    options: type
    action: Callable[[Any], int]

    def help(self) -> str:
        return verb_help(self.name, self.summary, self.example, self._groups())

    def run(self, argv: Sequence[str]) -> int:
        return self.action(self.options(**Parser(self.name, self._groups()).parse(argv)))

    def _groups(self) -> list[Group]:
        return [Group("options", options_of(self.options))]
