"""``select_prompt``: one prompt picked from a set by what a base model makes of it, and a record of how."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from paft.baselines.base import PromptScore, Selection, Selector
from paft.errors import DataError, InputError
from paft.evaluation import (
    Backend,
    CellStore,
    Model,
    Options,
    Work,
    examples_digest,
    examples_that_fit,
    open_here,
    prompts_digest,
    refuse_other_work,
    refuse_unmeasurable,
    settled_date,
)
from paft.experiments.model_score import ModelScore
from paft.experiments.selectors import Asked, making
from paft.files import read_json, write_json
from paft.models import resolve_model
from paft.prompts import Prompt, PromptSet
from paft.tasks.base import Example, Task
from paft.training.config import MOST_EXAMPLES

FORMAT_VERSION = 1
SELECTION = "selection.json"
JOB = "job.json"  # what the selection is of
ANSWERS = "answers"  # the folder of the model's answers


@dataclass(frozen=True)
class Selected(Selection):
    """A selection and what it took; ``selection.json`` holds it.

    Attributes:
        queries: prompts scored, one for each time the selector asked for one.
        calls: answers (prompt x example) that the model gave.
        seconds: from the loaded model to the pick, the time before an interruption included.
    """

    queries: int = 0
    calls: int = 0
    seconds: float = 0.0


def select_prompt(
    model: Model,
    task: Task,
    prompts: PromptSet,
    method: str = "top-accuracy",
    output: str | os.PathLike[str] | None = None,
    *,
    examples: int | None = None,
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
    embeddings: str | None = None,
    halving: bool = False,
    providers: str | os.PathLike[str] | None = None,
    selector: Selector | None = None,
    scoring: str = "auto",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    normalize: str = "none",
    dtype: str = "auto",
    device: str = "auto",
    chat: str = "auto",
    date: str | None = None,
    on_long: Literal["error", "drop"] = "error",
    max_new_tokens: int | None = None,
    trust_remote_code: bool = False,
    progress: bool = True,
    flush_seconds: float = 10.0,
    say: Callable[[str], None] = lambda text: None,
) -> Selected:
    """Pick one prompt for fine-tuning, asking the model about training examples alone.

    Args:
        model: the base model: hub id, folder, ``embedded``, or a loaded ``(model, tokenizer)``.
        prompts: the training prompts.
        method: ``top-accuracy``, ``zopo`` or ``batprompt``.
        output: folder for ``selection.json`` and the model's answers. One that holds the same work is continued, and
            nothing is asked twice.
        examples: training examples that a prompt is scored on; by default the method's own number.
        split: where the examples are from.
        limit: a uniform sample of so many examples to draw from; 20,000 where it is None, as in training.
        seed: decides every draw.
        embeddings: for ``zopo``: a sentence-transformers model; by default the base model's own hidden states.
        halving: for ``top-accuracy``: successive halving.
        providers: for ``batprompt``: a providers file; the first LLM in it writes.
        selector: an object of one's own in place of ``method``.
        on_long: an example too long under a prompt is an ``error``, or all that are too long under some prompt are
            left out before (``drop``).
        say: told how it goes.

    The other arguments are as for ``sweep``, and so are the answers.

    Raises:
        InputError, TemplateError, ModelError: the call does not fit together.
        EncodingError: an example that cannot be encoded or is too long, by name.
        OutputError: ``output`` holds other work.
        RunError: out of memory or disk, or a writer that failed; what is done is kept.
    """
    asked = Asked(method, examples, seed, halving, embeddings, providers, selector)
    source = None if isinstance(model, tuple) else resolve_model(model)
    chat = chat if source is None else source.chat(chat)
    day = settled_date(date, source, output, JOB, "selection")
    options = Options(scoring, normalize, batch_tokens, max_length, max_new_tokens, chat, day)
    if on_long not in ("error", "drop"):
        raise InputError(f"--on-long must be error or drop, found {on_long!r}")
    pool = task.examples(split, MOST_EXAMPLES if limit is None else limit)
    refuse_unmeasurable(task, prompts, pool)
    identity = _identity(asked, task, prompts, split, pool, options, on_long)
    if output is not None:
        refuse_other_work(output, identity, JOB, "selection", SELECTION)
    work = Work(model, task, prompts, pool, options, source, None, dtype, device, trust_remote_code)
    with open_here(work) as backend:
        decides = backend.identity()
        identity |= {name: decides[name] for name in ("dtype", "weights", "answer_end")} | decides
        if output is not None:
            refuse_other_work(output, identity, JOB, "selection", SELECTION)
            if (Path(output) / SELECTION).is_file():
                say(f"{output} holds this selection already; nothing to do")
                return load_selection(Path(output) / SELECTION, prompts)
        pool = _lasting(backend, prompts, pool, on_long, say)  # before the folder is claimed
        started = time.monotonic()
        with making(asked, task, prompts, backend, output) as chosen:
            say(f"{asked.name}: {len(prompts)} prompts, {len(pool):,} examples to draw from")
            with _claimed(output, identity, flush_seconds) as store:
                if store.cells:
                    say(f"going on with {len(store.cells):,} answers that are there")
                made = _run(chosen, prompts, ModelScore(backend, store, pool, progress), store, started)
                if output is not None:
                    record = {"model": backend.record()["model"], "task": task.name, **_record(made, identity)}
                    write_json(Path(output) / SELECTION, record)
    return made


def load_selection(path: str | os.PathLike[str], prompts: PromptSet | None = None) -> Selected:
    """Read a ``selection.json``.

    Args:
        prompts: the set that was selected from; a pick that is in it is taken from there.

    Raises:
        MissingFileError: no such file.
        DataError: not a selection.
    """
    row = read_json(path)
    try:
        prompt = Prompt.from_text(row["text"], row["source"], row["prompt_id"])
        if prompts is not None and prompt.id in prompts and prompts[prompt.id].text == prompt.text:
            prompt = prompts[prompt.id]
        return Selected(
            method=row["method"],
            prompt=prompt,
            score=row["score"],
            scores=tuple(PromptScore(**each) for each in row["scores"]),
            facts=row["facts"],
            queries=row["queries"],
            calls=row["calls"],
            seconds=row["seconds"],
        )
    except (KeyError, TypeError) as bad:
        raise DataError(f"{path} is not a selection as paft select writes it: {bad}") from None


def _identity(
    asked: Asked,
    task: Task,
    prompts: PromptSet,
    split: str,
    pool: Sequence[Example],
    options: Options,
    on_long: str,
) -> dict[str, Any]:
    """What decides the pick, but for the weights and their dtype.

    Nothing is cut, so ``max_length`` decides only what ``drop`` leaves out: after an example that was too long, a
    selection goes on with a larger one.
    """
    return {
        "format_version": FORMAT_VERSION,
        **asked.identity(),
        "task": task.name,
        "answers": list(task.answers),
        "match": task.match,
        "split": split,
        "scoring": options.scoring_of(task),
        "normalize": options.normalize,
        "chat": options.chat,
        "on_long": on_long,
        "max_length": options.longest if on_long == "drop" else None,
        "max_new_tokens": options.max_new_tokens,
        "pool": examples_digest(pool),
        "prompts": prompts_digest(prompts),
        "prompt_ids": prompts.ids,  # their order decides between equals
    }


def _lasting(
    backend: Backend, prompts: PromptSet, pool: Sequence[Example], on_long: str, say: Callable[[str], None]
) -> Sequence[Example]:
    """The examples to draw from. Where too long ones are errors, lengths no example could keep are found out now."""
    if on_long == "error":
        examples_that_fit(backend, prompts, pool[:1], on_long)
        return pool
    kept = examples_that_fit(backend, prompts, pool, on_long)
    if len(kept) < len(pool):
        say(f"{len(pool) - len(kept)} examples are too long under some prompt and are left out")
    return kept


@contextmanager
def _claimed(
    output: str | os.PathLike[str] | None, identity: Mapping[str, Any], flush_seconds: float
) -> Iterator[CellStore]:
    """The store of answers; the folder says from now on what it is of."""
    if output is not None and not (Path(output) / JOB).exists():
        write_json(Path(output) / JOB, dict(identity))
    folder = None if output is None else Path(output) / ANSWERS
    with CellStore(folder, identity, flush_seconds=flush_seconds) as store:
        yield store


def _run(selector: Selector, prompts: PromptSet, score: ModelScore, store: CellStore, started: float) -> Selected:
    earlier = store.seconds
    store.start_clock()
    found = selector.select(prompts, score)
    store.flush()
    return Selected(
        **{f.name: getattr(found, f.name) for f in fields(Selection)},
        queries=score.queries,
        calls=score.calls,
        seconds=round(earlier + time.monotonic() - started, 3),
    )


def _record(made: Selected, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What ``selection.json`` holds, but for the names of model and task."""
    return {
        **{name: identity[name] for name in ("format_version", "split", "scoring", "dtype", "seed")},
        "method": made.method,
        "prompt_id": made.prompt.id,
        "text": made.prompt.text,
        "source": dict(made.prompt.source),
        "score": made.score,
        "queries": made.queries,
        "calls": made.calls,
        "seconds": made.seconds,
        "scores": [each._asdict() for each in made.scores],
        "facts": made.facts,
    }
