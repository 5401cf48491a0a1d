"""``paft VERB``: find the verb, run it, and turn errors into one to three lines and an exit code."""

from __future__ import annotations

import difflib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from paft.cli.several import one_voice, refuse_launched
from paft.errors import InputError, PaftError, missing_package

if TYPE_CHECKING:
    from paft.cli.verb import Verb

TITLE = "paft: fine-tune a language model so that it gives the same answers however its prompt is worded"
FOOTER = "Start with: paft demo. More on a verb: paft VERB --help. Version: paft --version."
VERBS = {
    "demo": "the whole method on a small model and task that ship with paft, offline",
    "init": "a task YAML and first prompts from a CSV or JSONL file of your own",
    "prompts": "generate, import, check, split, measure, show, render and export sets of prompts",
    "select": "pick one prompt from a set, to compare with",
    "train": "fine-tune a model while the prompt changes",
    "sweep": "measure a model over many prompts",
    "compare": "every method over several seeds on your task, resumable",
    "report": "tables, pictures and a page from the records of a comparison",
    "predict": "answers of a model for new rows",
    "merge": "an adapter merged into a plain model folder",
    "env": "versions and hardware, for a bug report",
}
PROMPT_VERBS = {
    "generate": "prompts for a task from several LLMs, or from a grammar",
    "import": "a prompt set from .txt, .csv, .xlsx, .yaml or .jsonl",
    "check": "what is wrong with a prompt set for a task",
    "split": "train and test prompts without near-copies across",
    "show": "the prompts of a set",
    "stats": "how varied a set is, and how alike its two sides are",
    "render": "the exact tokens of an example under a prompt",
    "export": "a prompt set for other tools, among them the lm-evaluation-harness",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code (0 done, 1 failed, 2 wrong input, 130 interrupted)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # whoever read our output has left; the interpreter must not flush into the closed pipe again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PaftError as bad:
        return _complain(str(bad), bad.exit_code)
    except ImportError as bad:
        ours = isinstance(bad, ModuleNotFoundError) and str(bad.name).partition(".")[0] == "paft"
        return _complain(_unexpected(bad), 1) if ours else _complain(missing_package(bad), 2)
    except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as bad:
        return _complain(_path_message(bad), 2 if bad.filename else 1)
    except OSError as bad:
        return _complain(_os_message(bad), 1)
    except Exception as bad:
        return _complain(_unexpected(bad), 1)


def find_verb(words: Sequence[str]) -> tuple[Verb, list[str]]:
    """The verb that ``words`` open with, and the words after it.

    Raises:
        InputError: no such verb; names the nearest.
    """
    name, rest = words[0], list(words[1:])
    if name not in VERBS:
        raise InputError(f"unknown verb {name!r}{_nearest(name, VERBS)}")
    if name != "prompts":
        return _load(name), rest
    if rest[0] not in PROMPT_VERBS:
        raise InputError(f"unknown verb 'prompts {rest[0]}'{_nearest(rest[0], PROMPT_VERBS, 'prompts ')}")
    return _load(f"prompts_{rest[0]}"), rest[1:]


def _dispatch(words: list[str]) -> int:
    from paft.cli.help import contents_help

    if words and words[0] in ("--version", "-V"):
        import paft

        print(f"paft {paft.__version__}")
        return 0
    asked = bool(words) and words[-1] in ("-h", "--help")
    if not words or words in (["-h"], ["--help"]):
        print(contents_help(TITLE, VERBS, "paft", FOOTER), end="", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    if words in (["prompts"], ["prompts", "-h"], ["prompts", "--help"]):
        text = contents_help(f"paft prompts: {VERBS['prompts']}", PROMPT_VERBS, "paft prompts", "")
        print(text.rstrip(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    verb, rest = find_verb(words)
    if any(word in ("-h", "--help") for word in rest):
        print(verb.help(), end="")
        return 0
    refuse_launched(verb.name)
    return verb.run(rest)


def _load(module: str) -> Verb:
    from paft.cli.quiet import hush

    hush()
    verb: Verb = import_module(f"paft.cli.{module}").VERB
    return verb


def _nearest(name: str, known: dict[str, str], family: str = "") -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {family}{close[0]}?" if close else f"; see paft {family}--help"


def _path_message(bad: OSError) -> str:
    return f"{bad.filename} cannot be used: {bad.strerror}; give another path" if bad.filename else _unexpected(bad)


def _os_message(bad: OSError) -> str:
    if bad.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{f': {bad.filename}' if bad.filename else ''}; free some space and run again"
    if bad.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and bad.filename:
        return f"no permission for {bad.filename}: {bad.strerror}"
    return _unexpected(bad)


def _unexpected(bad: BaseException) -> str:
    if _is_out_of_memory(bad):
        return "out of memory; lower --batch-tokens, or use a smaller model or --dtype bfloat16"
    first = next((line.strip() for line in str(bad).splitlines() if line.strip()), "no message")[:300]
    return f"unexpected {type(bad).__name__}: {first}; run again with PAFT_DEBUG=1 for the traceback"


def _is_out_of_memory(bad: BaseException) -> bool:
    if "torch" not in sys.modules:  # which is slow to import, and then nothing ran on it
        return isinstance(bad, MemoryError)
    from paft.models.memory import is_out_of_memory

    return is_out_of_memory(bad)


def _complain(message: str, code: int) -> int:
    from paft.cli.quiet import debugging

    if debugging():
        traceback.print_exc()
    try:
        sys.stdout.flush()
        with one_voice() as mine:
            if mine:
                print(f"error: {message}", file=sys.stderr, flush=True)
    except OSError:  # nobody is left to read it
        return code
    return code


if __name__ == "__main__":
    sys.exit(main())
