"""The one error family. Each error is also the built-in error it resembles.

A message says what was expected, what was found and what to do, in one to three lines; the command
line prints it after ``error:`` and leaves with ``exit_code``.
"""

from __future__ import annotations


class PaftError(Exception):
    """Base of every error that paft raises on purpose."""

    exit_code = 2


class InputError(PaftError, ValueError):
    """A value, flag or combination of them that cannot be used."""


class TemplateError(PaftError, ValueError):
    """A prompt template that cannot be parsed or filled; ``position`` is a character offset."""

    def __init__(self, message: str, position: int = 0, code: str = "bad-syntax") -> None:
        super().__init__(message)
        self.position = position
        self.code = code


class DataError(PaftError, ValueError):
    """A malformed file or row; the message names file and line."""


class MissingFileError(PaftError, FileNotFoundError):
    """A file or folder that should be there and is not."""

    def __str__(self) -> str:  # OSError would print its errno tuple
        return str(self.args[0]) if self.args else ""


class OutputError(PaftError, FileExistsError):
    """An output folder that holds other work, or that cannot be written."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ModelError(PaftError, OSError):
    """A model, tokenizer or adapter that cannot be loaded or does not fit."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class EncodingError(PaftError, ValueError):
    """A prompt and answer that the tokenizer cannot part exactly, or that are too long."""


class GateError(PaftError, RuntimeError):
    """A result below the level that was asked for."""

    exit_code = 1


class RunError(PaftError, RuntimeError):
    """A run that started well and failed: out of memory, a full disk, a loss that is not a number."""

    exit_code = 1
