"""The one error family. Each error is also the built-in error it resembles.

A message says what was expected, what was found and what to do, in one to three lines; the command
line prints it after ``error:`` and leaves with ``exit_code``.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires


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


def missing_package(bad: ImportError) -> str:
    """What to install where an import failed, in one line.

    Libraries that import an optional package by hand say themselves what to install; else it is the name of the module.
    """
    text = " ".join(str(bad).split())
    if "pip install" in text:
        return text[:300]
    distribution = re.search(r"'([\w.-]+)[^']*' distribution was not found", text)
    if distribution is None and (not isinstance(bad, ModuleNotFoundError) or not bad.name):
        return f"a package is missing or of another version than needed: {text[:300]}; see paft env"
    name = distribution[1] if distribution else str(bad.name).partition(".")[0]
    return f"the package {name} is needed for this and is not installed; pip install {_installs(name)}"


def _installs(name: str) -> str:
    """What pip calls a module: the extra of paft that brings it, where there is one."""
    try:
        wanted = requires("paft") or []
    except PackageNotFoundError:
        wanted = []
    for requirement in wanted:
        match = re.fullmatch(r"([\w.-]+)[^;]*;.*extra == ['\"](\w+)['\"].*", requirement)
        if match and match[1].replace("-", "_").lower() == name.lower() and match[2] != "dev":
            return f"'paft[{match[2]}]'"
    return name
