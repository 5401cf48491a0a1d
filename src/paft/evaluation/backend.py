"""What a sweep measures, ready to be scored: a model in this process, or one behind a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from paft.errors import InputError, PaftError
from paft.evaluation.cells import IDENTITY_FILE, Cell, CellStore, refuse_other_work
from paft.evaluation.dating import dated
from paft.evaluation.identity import tokens_identity
from paft.evaluation.local.backend import FREE_TOKENS, SPARE_TOKENS, make_scorer
from paft.evaluation.local.forward import evaluating
from paft.evaluation.local.loading import Loaded
from paft.evaluation.options import Options
from paft.evaluation.pairs import Pair, TooLong
from paft.evaluation.server.backend import ServerScorer
from paft.evaluation.server.client import Asker
from paft.evaluation.server.model import ServerModel
from paft.evaluation.server.probe import ECHOES, Way, alike, find_way
from paft.files import read_json
from paft.models.identity import model_digest
from paft.prompts import PromptSet
from paft.tasks.base import Example, Task


class Scores(Protocol):
    """What gives cells for pairs."""

    def score(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]: ...

    def too_long(self, pairs: Sequence[Pair]) -> list[TooLong]: ...


@dataclass(frozen=True)
class Measured:
    """A model and the way its answers are read off.

    Attributes:
        scorer: gives the cells.
        scoring: ``likelihood``, ``generate`` or ``continuation``.
        identity: what decides the cells, beside the task, the prompts and the options.
        record: how records call the model.
        running: held while cells are computed.
        resume: takes up, before that, what was answered but is not among the cells.
        dropped: ids of examples that turned out too long on the way.
        facts: more for the summary, when all is done.
        check: refuses a model that cannot be right, on a pair, before a folder is claimed.
        proof: what was found out before cells were computed; empty where none were.
    """

    scorer: Scores
    scoring: str
    identity: Mapping[str, Any]
    record: Mapping[str, Any]
    running: AbstractContextManager[Any]
    resume: Callable[[CellStore, Iterable[Pair]], None] = lambda store, pairs: None
    dropped: Callable[[], Collection[str]] = tuple
    check: Callable[[Pair], None] = lambda pair: None
    proof: Callable[[], dict[str, Any]] = dict
    facts: Callable[[], dict[str, Any]] = dict


def measure_here(loaded: Loaded, task: Task, options: Options, examples: Sequence[Example]) -> Measured:
    """A model in this process."""
    scorer = make_scorer(loaded.model, loaded.tokenizer, task, options, examples)
    decides = {"answer_end": scorer.answer_end(examples), **dated(scorer.encoder)}
    return Measured(
        scorer=scorer,
        scoring=options.scoring_of(task),
        identity={
            "dtype": loaded.dtype,
            "weights": model_digest(loaded.model),
            **tokens_identity(scorer.encoder, scorer.end_ids),
            **decides,
        },
        record={"model": loaded.name, "adapter": loaded.adapter, "dtype": loaded.dtype, **decides},
        running=evaluating(loaded.model),
        check=scorer.check,
        proof=scorer.shortcuts.record,
    )


def measure_there(
    model: ServerModel,
    task: Task,
    prompts: PromptSet,
    examples: Sequence[Example],
    options: Options,
    on_long: str,
    output: str | os.PathLike[str] | None,
    identity: Mapping[str, Any],
) -> Measured:
    """A model behind a server, which is asked what it can do unless ``output`` says so already.

    Raises:
        OutputError: ``output`` holds other work.
        InputError, ModelError, RunError: what ``find_way`` refuses.
    """
    api = model.api_for(prompts, options.chat)
    known = None if output is None else _known(Path(output), options, task, examples)
    server = model.identity(api)
    if output is not None:
        unsettled = {"scoring"} if options.scoring == "auto" else set()
        refuse_other_work(output, {**{k: v for k, v in identity.items() if k not in unsettled}, **server})
    room = options.max_new_tokens or _room(task, examples)
    asker = Asker(model, api)
    try:
        way = known or find_way(asker, task, examples, options, room)
    except BaseException:
        asker.close()
        raise
    scorer = ServerScorer(asker, task, way, options.normalize, room, on_long)
    return Measured(
        scorer=scorer,
        scoring=way.scoring,
        identity={**server, "scoring": way.scoring, "logprobs": way.logprobs},
        record={
            "model": model.name,
            "adapter": None,
            "dtype": None,
            "answer_end": None,
            "backend": "server",
            "base_url": model.base_url,
            "api": api,
            "logprobs": way.logprobs,
        },
        running=closing(scorer),
        resume=scorer.resume,
        dropped=lambda: scorer.dropped,
        facts=lambda: {**asker.facts(), "dropped_examples": sorted(scorer.dropped)},
    )


def told(measured: Measured) -> str:
    """One line on what is asked, and how."""
    record = measured.record
    path = "chat/completions" if record["api"] == "chat" else "completions"
    way = Way(measured.scoring, record["logprobs"])
    return f"asking {record['model']} at {record['base_url']}/{path}, {way.told()}"


def refuse_local_options(**given: tuple[Any, Any]) -> None:
    """Refuse options that only a model in this process takes; each is given as ``(value, default)``."""
    for name, (value, default) in given.items():
        if value != default:
            raise InputError(
                f"--{name.replace('_', '-')} is for a model in this process; a server has settings of its own"
            )


def _known(output: Path, options: Options, task: Task, examples: Sequence[Example]) -> Way | None:
    """The way that an earlier run of the same sweep has settled on; None where nothing is to be relied on.

    Older runs scored answers of which one begins another without asking whether they can be told apart.
    """
    try:
        record = read_json(output / IDENTITY_FILE)
    except PaftError:
        return None
    if not isinstance(record, dict) or record.get("backend") != "server" or "logprobs" not in record:
        return None
    if options.scoring != "auto" and record.get("scoring") != options.scoring_of(task):
        return None
    way = Way(str(record["scoring"]), record["logprobs"])
    return None if way.logprobs in ECHOES and alike(task, way.scoring, examples) else way


def _room(task: Task, examples: Sequence[Example]) -> int:
    """Most tokens to generate: no tokenizer is at hand, but an answer has no more tokens than bytes."""
    answers = task.answers if task.type != "free" else [e.answer for e in examples if e.answer]
    return max(len(f" {a}".encode()) for a in answers) + SPARE_TOKENS if answers else FREE_TOKENS
