"""Options that several verbs share, so that each has one spelling and one help text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from paft.cli.options import option
from paft.defaults import MAX_LENGTH


@dataclass(kw_only=True)
class ModelOptions:
    """Which model."""

    model: str = option("hub id, local folder, run folder, or 'embedded'")


@dataclass(kw_only=True)
class AdapterOptions:
    """An adapter upon the model."""

    adapter: str | None = option("adapter folder or hub id to put on --model", None)


@dataclass(kw_only=True)
class TaskOptions:
    """Which task, and where its rows are."""

    task: str = option("name from the catalogue (piqa, hellaswag, winogrande, race, ...) or a task YAML")
    data: str | None = option("hub id, file or folder the rows are read from; for a task YAML, its files' folder", None)


@dataclass(kw_only=True)
class HardwareOptions:
    """Where and how a model runs."""

    dtype: str = option("auto, float32, bfloat16 or float16; auto is float32 on a CPU", "auto")
    device: str = option("auto, cpu, cuda, cuda:1, mps", "auto")
    trust_remote_code: bool = option("let a model folder run Python code of its own", False)


@dataclass(kw_only=True)
class ScoringOptions:
    """How an answer is read off a model."""

    scoring: Literal["auto", "likelihood", "generate", "continuation"] = option(
        "likelihood compares candidate answers, generate decodes greedily, continuation compares the options' full "
        "texts; auto is generate for free answers, else likelihood",
        "auto",
    )
    normalize: Literal["none", "tokens", "bytes"] = option("compare log-likelihoods as they are, or per unit", "none")
    max_length: int | None = option(f"most tokens of prompt and answer, by default {MAX_LENGTH}; nothing is cut", None)
    max_new_tokens: int | None = option("most tokens to generate; by default the longest answer's and 4 more", None)
    batch_tokens: int | None = option(
        "most tokens of a batch; by default 512 on a CPU (8192 to generate), 16384 elsewhere", None
    )
    chat: Literal["auto", "on", "off"] = option(
        "put prompts into the model's chat template; auto is as in training, else where there is one", "auto"
    )
    date: str | None = option(
        "the day that a chat template takes for today; by default as the folder was begun, else as in training, else "
        "today",
        None,
        metavar="YYYY-MM-DD",
    )


@dataclass(kw_only=True)
class ChatOptions:
    """Whether prompts are put into the model's chat template."""

    chat: Literal["auto", "on", "off"] = option(
        "put prompts into the model's chat template; auto does so where it has one", "auto"
    )
    date: str | None = option(
        "the day that a chat template takes for today; by default as in training, else today",
        None,
        metavar="YYYY-MM-DD",
    )


def answering(options: ScoringOptions) -> dict[str, Any]:
    """How a verb's answers are read off its model, and where the model runs, as arguments of a call."""
    return {f.name: getattr(options, f.name) for group in (ScoringOptions, HardwareOptions) for f in fields(group)}
