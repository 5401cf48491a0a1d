"""One model x many prompts x many examples, resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paft.errors import InputError
from paft.evaluation.backend import Backend, Work
from paft.evaluation.cells import IDENTITY_FILE, CellStore, unrecorded
from paft.evaluation.dating import agreed_date
from paft.evaluation.fitting import examples_that_fit, refuse_trained, refuse_unmeasurable
from paft.evaluation.identity import examples_digest, prompts_digest
from paft.evaluation.options import Options
from paft.evaluation.pairs import Pair
from paft.evaluation.progress import bar
from paft.evaluation.results.quick import Quick
from paft.evaluation.results.result import SUMMARY_FILE, SweepResult
from paft.evaluation.results.summary import FORMAT_VERSION, summed_up
from paft.evaluation.server.model import ServerModel
from paft.evaluation.sharing import Share
from paft.evaluation.vllm.model import VllmModel
from paft.files import write_json
from paft.models import ModelSource, resolve_model
from paft.processes import current, in_step
from paft.prompts import PromptSet
from paft.tasks.base import Example, Task

if TYPE_CHECKING:
    from paft.evaluation.local.loading import Model

SHORTCUTS = "shortcuts.json"
BLOCK = 16384  # cells that are encoded and planned as a whole: the more, the more they share and the less is padding


@in_step
def sweep(
    model: Model | ServerModel | VllmModel,
    task: Task,
    prompts: PromptSet,
    split: str = "test",
    *,
    adapter: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    scoring: str = "auto",
    limit: int | None = None,
    top: float | None = None,
    batch_tokens: int | None = None,
    max_length: int | None = None,
    normalize: str = "none",
    dtype: str = "auto",
    device: str = "auto",
    chat: str = "auto",
    date: str | None = None,
    allow_overlap: bool = False,
    on_long: Literal["error", "drop"] = "error",
    seed: int = 0,
    progress: bool = True,
    max_new_tokens: int | None = None,
    trust_remote_code: bool = False,
    flush_seconds: float = 10.0,
    say: Callable[[str], None] | None = None,
    quick: bool | float = False,
    alone: bool = False,
) -> SweepResult:
    """Measure a model over many prompts on the same examples.

    Where several processes were started (torchrun, accelerate launch), every one has to call this, and does its share
    of the cells: all return the same result, and process 0 alone reads and writes ``output``.

    Args:
        model: hub id, folder, run folder, ``embedded``, a loaded ``(model, tokenizer)``, a ``VllmModel``, or a
            ``ServerModel``, which is asked over HTTP; ``auto`` scoring then depends on what the server can do.
        task: the task, with data.
        prompts: the prompts to measure with; those that the run was trained on are refused.
        split: ``train``, ``validation`` or ``test``.
        adapter: a PEFT adapter upon ``model``.
        output: folder for cells, prompts and summary. One that holds the same work is continued.
        scoring: ``likelihood``, ``generate``, ``continuation``, or ``auto``: ``generate`` for free answers, else
            ``likelihood``.
        limit: a uniform sample of that many examples, the same for every model.
        top: accuracy from which a prompt counts as a top prompt; by default the task's.
        batch_tokens: most tokens of a batch, padding included; by default 512 on a CPU (8,192 to generate) and
            16,384 elsewhere, where a longer row stands alone.
        max_length: most tokens of prompt and answer; by default 1,024.
        normalize: compare log-likelihoods as they are (``none``), per token (``tokens``) or per byte (``bytes``).
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``; a loaded model keeps its own.
        device: ``auto`` or a torch device; a loaded model stays where it is.
        chat: wrap prompts in the tokenizer's chat template: ``on``, ``off``, or ``auto``: as the run was trained,
            else where there is a template.
        date: what a chat template takes for today, such as ``2025-03-01``; by default the day that ``output`` was
            begun with, else the day of the training run, else today.
        allow_overlap: take prompts that the run was trained on, too.
        on_long: an example too long under any prompt is an ``error``, or is left out for all prompts (``drop``).
        seed: of the interval's bootstrap draws and of the cells of a quick sweep; answers involve no chance.
        progress: show a bar where stderr is a terminal.
        max_new_tokens: most tokens to generate; by default the longest answer's and 4 more.
        trust_remote_code: let a model from the hub run code of its own.
        flush_seconds: seconds between two pieces of cells written.
        say: is told in one line how a server is asked.
        quick: estimate mean and spread from a part of the cells: True, a share of them or a number of them. The result
            is a ``QuickResult``.
        alone: do everything in this process, where others do not call this.

    Returns:
        The result, which ``SweepResult.load(output)`` reads again.

    Raises:
        InputError, TemplateError, ModelError: the call does not fit together.
        EncodingError: an example that cannot be encoded or is too long, by name.
        OutputError: ``output`` holds other work.
        RunError: out of memory or disk; finished cells are kept.
    """
    options = Options(scoring, normalize, batch_tokens, max_length, max_new_tokens, chat, date)
    options.scoring_of(task)
    if on_long not in ("error", "drop"):
        raise InputError(f"--on-long must be error or drop, found {on_long!r}")
    source, options = _settled(model, adapter, options, output)
    if not current().first:
        output, progress = None, False
    if source is not None and not allow_overlap:
        refuse_trained(source, prompts)
    examples = task.examples(split, limit)
    refuse_unmeasurable(task, prompts, examples)
    part = Quick.planned(quick, len(prompts), len(examples), seed, output)
    work = Work(
        model=model,
        task=task,
        prompts=prompts,
        examples=examples,
        options=options,
        source=source,
        adapter=adapter,
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        on_long=on_long,
        identity=_identity(task, prompts, split, examples, options, on_long),
        output=output,
        say=say or _silent,
    )
    with open_backend(work) as backend:
        identity = {**work.identity, **backend.identity()}
        _tell_unrecorded(work, identity)
        kept = _checked(work, backend)  # before the folder is claimed: a wrong input leaves no trace
        told = {"task": task.name, "source": task.source, "split": split, "scoring": backend.scoring, "seed": seed}
        record = {**backend.record(), **told}
        with _claimed(work, prompts, identity, record, flush_seconds) as store:
            backend.resume(store, (Pair(p, e) for p in prompts for e in kept))
            share = Share(current(), store, identity)
            _ask(backend, share, work, prompts, kept, part, progress)
            dropped = _dropped(work, backend, kept)
            record |= backend.facts()
            threshold = task.top_threshold if top is None else top
            made = summed_up(store, prompts, examples, dropped, record, threshold, part) if current().first else None
            result = share.handed_out(made)
    if output is not None:
        write_json(Path(output) / SUMMARY_FILE, result.summary)
    return result


def open_backend(work: Work) -> AbstractContextManager[Backend]:
    """The backend that the model of ``work`` asks for, for as long as it is used."""
    if isinstance(work.model, ServerModel):
        from paft.evaluation.server.opening import open_server

        return open_server(work)
    if isinstance(work.model, VllmModel):
        from paft.evaluation.vllm.opening import open_vllm

        return open_vllm(work)
    from paft.evaluation.local.backend import open_here

    return open_here(work)


def _silent(text: str) -> None:
    """Say nothing."""


def _settled(
    model: Model | ServerModel | VllmModel,
    adapter: str | os.PathLike[str] | None,
    options: Options,
    output: str | os.PathLike[str] | None,
) -> tuple[ModelSource | None, Options]:
    """What the model's name resolves to, and the options with the chat mode and the day that follow from it."""
    if isinstance(model, ServerModel):
        return None, options
    name = model.name if isinstance(model, VllmModel) else model
    source = None if isinstance(name, tuple) else resolve_model(name, adapter)
    options = replace(options, date=agreed_date(options.date, source, output))
    return source, options if source is None else replace(options, chat=source.chat(options.chat))


def _tell_unrecorded(work: Work, identity: Mapping[str, Any]) -> None:
    """Say what a folder of an earlier version does not tell about its cells."""
    if work.output is not None and (unsaid := unrecorded(work.output, identity)):
        unsaid_names = ", ".join(unsaid)
        work.say(
            f"{work.output}: an earlier version made it and did not record {unsaid_names}; taken as unchanged since"
        )


def _checked(work: Work, backend: Backend) -> list[Example]:
    """The examples that fit under every prompt; a model that cannot be right is refused where a sweep begins."""
    kept = examples_that_fit(backend, work.prompts, work.examples, work.on_long)
    if work.output is None or not (Path(work.output) / IDENTITY_FILE).is_file():
        backend.check(Pair(next(iter(work.prompts)), kept[0]))
    return kept


@contextmanager
def _claimed(
    work: Work, prompts: PromptSet, identity: Mapping[str, Any], record: Mapping[str, Any], flush_seconds: float
) -> Iterator[CellStore]:
    """The store of the cells; the folder says from now on what it is of."""
    note = {"record": dict(record), "example_ids": [e.id for e in work.examples]}
    with CellStore(work.output, identity, note, flush_seconds) as store:
        if work.output is not None and not (Path(work.output) / "prompts.jsonl").exists():
            prompts.save(Path(work.output) / "prompts.jsonl")
        yield store


def _identity(
    task: Task,
    prompts: PromptSet,
    split: str,
    examples: Sequence[Example],
    options: Options,
    on_long: str,
) -> dict[str, Any]:
    """What decides the cells, but for the weights and their dtype: batch sizes and devices do not."""
    return {
        "format_version": FORMAT_VERSION,
        "task": task.name,
        "answers": list(task.answers),
        "match": task.match,
        "split": split,
        "scoring": options.scoring_of(task),
        "normalize": options.normalize,
        "chat": options.chat,
        "max_length": options.longest,
        "max_new_tokens": options.max_new_tokens,
        "on_long": on_long,
        "examples": examples_digest(examples),
        "prompts": prompts_digest(prompts),
    }


def _ask(
    backend: Backend,
    share: Share,
    work: Work,
    prompts: PromptSet,
    kept: Sequence[Example],
    part: Quick | None,
    progress: bool,
) -> None:
    """Compute this process's share of the cells that the store does not hold yet."""
    dropped = backend.dropped()
    total, there = len(prompts) * len(kept), len(share.done)
    wanted = None if part is None else part.keys(prompts.ids, [e.id for e in work.examples])
    if wanted is not None:
        size, total, there = BLOCK * total // len(wanted), len(wanted), sum(key in wanted for key in share.done)
    else:
        size = BLOCK
    with bar("sweep", total, there, progress) as advance:
        share.store.start_clock()
        for block in blocks(prompts, kept, size * share.team.world):
            todo = [p for p in block if p.key not in share.done and p.example.id not in dropped]
            mine = share.pairs(todo if wanted is None else [p for p in todo if p.key in wanted])
            for cells in backend.cells(mine) if mine else ():
                advance(share.add(cells))
        share.finish(advance)
        share.store.flush()
    if work.output is not None and (proof := backend.proof()):
        write_json(Path(work.output) / SHORTCUTS, proof)


def _dropped(work: Work, backend: Backend, kept: Sequence[Example]) -> set[str]:
    """Ids of the examples that were left out, before or on the way."""
    left = {e.id for e in kept} - set(backend.dropped())
    if not left:
        raise InputError(f"all {len(work.examples)} examples are too long for the server under some prompt")
    return {e.id for e in work.examples} - left


def blocks(prompts: PromptSet, examples: Sequence[Example], size: int = BLOCK) -> Iterator[list[Pair]]:
    """All cells in blocks of about ``size``: some examples under all prompts, so that either may be what is shared."""
    count = max(1, size // len(prompts))
    for start in range(0, len(examples), count):
        yield [Pair(p, e) for p in prompts for e in examples[start : start + count]]
