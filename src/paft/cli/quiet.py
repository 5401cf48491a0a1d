"""What is printed and what is kept quiet."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
_CHATTY = ("transformers", "datasets", "accelerate", "peft", "huggingface_hub", "torch", "fsspec")


def debugging() -> bool:
    """Whether ``PAFT_DEBUG`` asks for tracebacks and for what the libraries below have to say."""
    return os.environ.get("PAFT_DEBUG", "") not in ("", "0")


def console(stderr: bool = False) -> Console:
    """A console for tables: colours on a terminal alone, and a fixed width where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDTH, highlight=False, markup=False, emoji=False)


def say(text: str = "") -> None:
    """One line of what a verb reports, as plain text."""
    print(text, flush=True)


def say_err(text: str) -> None:
    """One line on how a long job goes, beside the output."""
    print(text, file=sys.stderr, flush=True)


def hush() -> None:
    """Silence the progress bars, advice and warnings of the libraries below, unless ``PAFT_DEBUG`` is set.

    Downloads keep their bars on a terminal. Called before those libraries are imported: some read the
    environment only then.
    """
    if debugging():
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("DATASETS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=rf"({'|'.join(_CHATTY)})(\.|$)")


def hush_weights() -> None:
    """Silence the bar that transformers draws while it reads weights from disk; needs it imported."""
    if debugging():
        return
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()
    hf_logging.set_tqdm_hook(lambda factory, args, kwargs: factory(*args, **(kwargs | {"disable": True})))
