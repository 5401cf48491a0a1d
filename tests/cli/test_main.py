"""Exit codes, what goes to stderr, and signals."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from paft.cli import env
from paft.cli.verb import SimpleVerb
from paft.errors import GateError, InputError, RunError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, paft: Callable) -> Callable:
    """Call a verb whose work ends with the given error."""

    def call(bad: BaseException):
        def action(options: env.Options) -> int:
            raise bad

        monkeypatch.setattr(env, "VERB", SimpleVerb("env", "s", "e", env.Options, action))
        return paft("env")

    return call


@pytest.mark.parametrize(
    ("bad", "code", "said"),
    [
        (InputError("no such thing"), 2, "error: no such thing\n"),
        (GateError("too low"), 1, "error: too low\n"),
        (RunError("out of luck"), 1, "error: out of luck\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (OSError(errno.ENOSPC, "No space left on device", "big.bin"), 1, "the disk is full: big.bin; free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "error: no permission for x"),
        (
            ModuleNotFoundError("No module named 'a.b'", name="a.b"),
            2,
            "the package a is needed for this and is not inst",
        ),
        (ModuleNotFoundError("No module named 'paft.x'", name="paft.x"), 1, "unexpected ModuleNotFoundError"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "x/y"), 2, "error: x/y cannot be used: Not a directory"),
        (ZeroDivisionError("by zero"), 1, "unexpected ZeroDivisionError: by zero; run again with PAFT_DEBUG=1"),
    ],
)
def test_errors_and_exit_codes(failing: Callable, bad: BaseException, code: int, said: str) -> None:
    found = failing(bad)
    assert found.code == code
    assert said in found.err
    assert found.err.startswith("error: ")
    assert len(found.err.splitlines()) <= 3
    assert "Traceback" not in found.err


def test_debugging_shows_the_traceback(failing: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAFT_DEBUG", "1")
    found = failing(InputError("no such thing"))
    assert found.code == 2
    assert "Traceback" in found.err
    assert found.err.endswith("error: no such thing\n")


def test_unknown_verbs(paft: Callable) -> None:
    assert paft("trian").err == "error: unknown verb 'trian'; did you mean train?\n"
    assert paft("prompts", "chekc").err == "error: unknown verb 'prompts chekc'; did you mean prompts check?\n"
    assert paft("zzz").err == "error: unknown verb 'zzz'; see paft --help\n"
    assert paft("zzz").code == 2


def test_no_verb_shows_the_contents(paft: Callable) -> None:
    for words in ((), ("prompts",)):
        found = paft(*words)
        assert found.code == 2
        assert "usage: paft" in found.err
        assert found.out == ""


def test_version(paft: Callable) -> None:
    assert paft("--version").out == f"paft {version('paft')}\n"


def run_program(*words: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paft", *map(str, words)], capture_output=True, text=True, timeout=300, **options
    )


def test_the_installed_program(case) -> None:
    done = run_program("prompts", "show", case.train_prompts)
    assert done.returncode == 0
    assert "4 prompts in" in done.stdout
    assert "\x1b" not in done.stdout  # not a terminal: no colours
    assert run_program("prompts", "show", case.folder / "none.jsonl").returncode == 2


def test_colours_only_where_they_are_wanted(case) -> None:
    environment = {**os.environ, "FORCE_COLOR": "1"}
    environment.pop("NO_COLOR", None)
    words = ("prompts", "show", case.train_prompts, "--full")
    assert "\x1b[36m" in run_program(*words, env=environment).stdout
    assert "\x1b[36m" not in run_program(*words, env={**environment, "NO_COLOR": "1"}).stdout


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    prompts = tmp_path / "many.jsonl"
    prompts.write_text("".join(f'{{"text": "{{text}} number {i} {"x" * 200}"}}\n' for i in range(3000)))
    program = subprocess.Popen(
        [sys.executable, "-m", "paft", "prompts", "show", str(prompts), "--full"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.readline()
    program.stdout.close()
    assert program.stderr.read() == ""
    assert program.wait(timeout=300) != 0


def test_interrupted(case) -> None:
    os.mkfifo(case.folder / "pipe.jsonl")  # reading it waits until someone writes: the verb hangs there
    program = subprocess.Popen(
        [sys.executable, "-m", "paft", "prompts", "show", str(case.folder / "pipe.jsonl")],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not _opens_the_pipe(program.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=300)
    assert (program.returncode, err) == (130, "error: interrupted\n")


def _opens_the_pipe(pid: int) -> bool:
    """Whether the process waits for the other end of the pipe; where the system does not tell, after a while."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text() in ("wait_for_partner", "fifo_open")
    except OSError:
        time.sleep(5)
        return True
