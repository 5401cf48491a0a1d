"""Reading text that may be wrong, and writing files that are never half there."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from paft.errors import DataError, MissingFileError, OutputError, RunError

_UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR}
_UNUSABLE |= {errno.ENAMETOOLONG, errno.EINVAL}


class TextLoader(yaml.SafeLoader):
    """YAML whose plain words stay text: ``yes``, ``off``, ``007``, ``12:30``, ``1_000`` and dates are no values.

    ``true``, ``false``, ``null`` and numbers are read as such (the core schema of YAML 1.2).
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way to say it)
        first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] in ("null", "merge")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_NUMBERS = list("-+.0123456789")
for _kind, _pattern, _first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"(?:0|[-+]?[1-9][0-9]*)$", _NUMBERS),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+)$", _NUMBERS),
    ("float", r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", _NUMBERS),
):
    TextLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), _first)


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """The text of a file, without a byte-order mark; line ends become ``\\n``.

    Raises:
        MissingFileError: no such file, or a folder.
        DataError: bytes that are not of ``encoding``; names the line and the byte.
    """
    path = Path(path)
    with _readable(path):
        raw = path.read_bytes()
    try:
        text = raw.decode(encoding)
    except LookupError:
        raise DataError(
            f"{path}: unknown encoding {encoding!r}; a Python codec name such as utf-8 is expected"
        ) from None
    except UnicodeDecodeError as bad:
        line = raw.count(b"\n", 0, bad.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{raw[bad.start]:02x} is not {encoding}; "
            "save the file as UTF-8 or give its encoding"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """The errors of a file that cannot be opened, as ours."""
    try:
        yield
    except FileNotFoundError:
        raise MissingFileError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise MissingFileError(f"{path} is a folder; expected a file") from None
    except PermissionError:
        raise MissingFileError(f"no permission to read {path}") from None


def read_lines(path: str | os.PathLike[str], encoding: str = "utf-8") -> Iterator[str]:
    """The lines of ``read_text``, each with its ``\\n``, read as they are asked for.

    Raises:
        MissingFileError, DataError: as ``read_text``; bytes that do not fit when they are met.
    """
    path = Path(path)
    try:
        with _readable(path):
            lines = path.open(encoding=encoding)
    except LookupError:
        read_text(path, encoding)  # says what is wrong with the encoding
        raise
    with lines:
        try:
            first = next(lines, "").removeprefix("\ufeff")
            if first:
                yield first
            yield from lines
        except UnicodeDecodeError:
            read_text(path, encoding)  # names the line and the byte
            raise


def read_jsonl(path: str | os.PathLike[str], encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number, object)`` for every line of a JSON-lines file that is not blank."""
    for number, line in enumerate(read_lines(path, encoding), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.removesuffix("\n"))
        except ValueError as bad:
            raise DataError(f"{path}, line {number}: expected one JSON object per line; {bad}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}")
        yield number, row


def check_place(folder: str | os.PathLike[str]) -> None:
    """See that ``folder`` is one or can be made; nothing is written.

    Raises:
        OutputError: what is above it is no folder, or may not be written.
    """
    folder = Path(folder)
    nearest = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not nearest.is_dir():
        raise OutputError(f"cannot write {folder}: {nearest} is no folder; give another output")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {folder}: no permission for {nearest}; give another output")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place on success and is removed on failure.

    Raises:
        OutputError: the folder cannot be written.
        RunError: the disk is full.
    """
    path = Path(path)
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        os.close(handle)
        partial = Path(name)
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as bad:
        if bad.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"the disk is full: could not write {path}; free some space and run again") from bad
        if bad.errno in _UNUSABLE:
            raise OutputError(f"cannot write {path}: {bad.strerror}; give another output") from bad
        raise
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """A UTF-8 text file that appears under ``path`` whole or not at all."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as out:
        yield out


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN is refused: it is not JSON."""
    with atomic_writer(path) as out:
        json.dump(value, out, indent=2, ensure_ascii=False, allow_nan=False)
        out.write("\n")


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    with atomic_writer(path) as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file; the error names the file."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as bad:
        raise DataError(f"{path}, line {bad.lineno}: not JSON ({bad.msg})") from None


def try_lock(file: IO[Any]) -> bool:
    """Keep other processes out of what this open file stands for; False where one is in already.

    The system frees the lock when the file is closed or this process ends, however it ends. Where a system or a file
    system has no locks, nothing is locked and the answer is True.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
