"""One model x many prompts x many examples, resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from paft.defaults import most_tokens
from paft.errors import InputError
from paft.evaluation.cells import IDENTITY_FILE, CellStore, refuse_other_work, unrecorded
from paft.evaluation.dating import agreed_date
from paft.evaluation.identity import examples_digest, prompts_digest
from paft.evaluation.loaded import Model, load, refuse_trained, refuse_unmeasurable
from paft.evaluation.measured import Measured, Scores, measure_here, measure_there, refuse_local_options, told
from paft.evaluation.options import Options
from paft.evaluation.pairs import Pair
from paft.evaluation.processes import current, in_step
from paft.evaluation.progress import bar
from paft.evaluation.quick_result import Quick
from paft.evaluation.result import SUMMARY_FILE, SweepResult
from paft.evaluation.server import ServerModel
from paft.evaluation.sharing import Share
from paft.evaluation.summing import FORMAT_VERSION, summed_up
from paft.evaluation.vllm_measured import measure_vllm, refuse_vllm_options
from paft.evaluation.vllm_model import VllmModel
from paft.evaluation.whole import own_device, refuse_several
from paft.files import write_json
from paft.models import resolve_model
from paft.prompts import PromptSet
from paft.tasks.base import Example, Task

CHUNK = 1024  # pairs whose lengths are looked at together
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
    options = Options(scoring, normalize, batch_tokens, most_tokens(max_length), max_new_tokens, chat)
    settled = options.scoring_of(task)
    if on_long not in ("error", "drop"):
        raise InputError(f"--on-long must be error or drop, found {on_long!r}")
    name = model.name if isinstance(model, VllmModel) else model
    source = None if isinstance(name, tuple | ServerModel) else resolve_model(name, adapter)
    options = replace(options, date=agreed_date(date, source, output))
    if not current().first:
        output, progress = None, False
    if source is not None:
        options = replace(options, chat=source.chat(chat))
        if not allow_overlap:
            refuse_trained(source, prompts)
    examples = task.examples(split, limit)
    refuse_unmeasurable(task, prompts, examples)
    identity = _identity(task, prompts, split, examples, options, settled, on_long)
    part = Quick.planned(quick, len(prompts), len(examples), seed, output)
    if isinstance(model, ServerModel | VllmModel):
        refuse_several(type(model).__name__)
    if isinstance(model, ServerModel):
        refuse_local_options(
            adapter=(adapter, None),
            batch_tokens=(batch_tokens, None),
            max_length=(max_length, None),
            dtype=(dtype, "auto"),
            device=(device, "auto"),
            trust_remote_code=(trust_remote_code, False),
            date=(date, None),
        )
        measured = measure_there(model, task, prompts, examples, options, on_long, output, identity)
        if say is not None:
            say(told(measured))
    elif isinstance(model, VllmModel):
        assert source is not None  # it has a name
        refuse_vllm_options(batch_tokens, device)
        measured = measure_vllm(model, source, task, options, examples, dtype, trust_remote_code, output, identity, say)
    else:
        if output is not None:
            refuse_other_work(output, identity)
        loaded = load(model, source, adapter, dtype, own_device(device), trust_remote_code)
        measured = measure_here(loaded, task, options, examples)
    whole = {**identity, **measured.identity}
    if output is not None and say is not None and (unsaid := unrecorded(output, whole)):
        say(f"{output}: an earlier version made it and did not record {', '.join(unsaid)}; taken as unchanged since")
    record = {"task": task.name, "source": task.source, "split": split, "scoring": measured.scoring, "seed": seed}
    threshold = task.top_threshold if top is None else top
    job = _Job(prompts, examples, on_long, {**measured.record, **record}, threshold, progress, part)
    return _run(job, measured, whole, output, flush_seconds)


@dataclass(frozen=True)
class _Job:
    """What a sweep is to do, all checks done."""

    prompts: PromptSet
    examples: Sequence[Example]
    on_long: str
    record: dict[str, Any]
    top: float
    progress: bool
    part: Quick | None = None


def _run(
    job: _Job,
    measured: Measured,
    identity: dict[str, Any],
    output: str | os.PathLike[str] | None,
    flush_seconds: float,
) -> SweepResult:
    """Compute the cells that are missing, and sum up."""
    prompts, examples = job.prompts, job.examples
    note = {"record": job.record, "example_ids": [e.id for e in examples]}
    with measured.running:
        # before the folder is claimed: a wrong input leaves no trace
        kept = fitting(measured.scorer, prompts, examples, job.on_long)
        if output is None or not (Path(output) / IDENTITY_FILE).is_file():
            measured.check(Pair(next(iter(prompts)), kept[0]))
        with CellStore(output, identity, note, flush_seconds) as store:
            if output is not None and not (Path(output) / "prompts.jsonl").exists():
                prompts.save(Path(output) / "prompts.jsonl")
            measured.resume(store, (Pair(p, e) for p in prompts for e in kept))
            share = Share(current(), store, identity)
            _score(measured, share, job, kept)
            if output is not None and (proof := measured.proof()):
                write_json(Path(output) / SHORTCUTS, proof)
            dropped = {e.id for e in examples} - {e.id for e in kept if e.id not in measured.dropped()}
            if len(dropped) == len(examples):
                raise InputError(f"all {len(examples)} examples are too long for the server under some prompt")
            result = share.handed_out(
                summed_up(store, prompts, examples, dropped, {**job.record, **measured.facts()}, job.top, job.part)
                if current().first
                else None
            )
    if output is not None:
        write_json(Path(output) / SUMMARY_FILE, result.summary)
    return result


def _identity(
    task: Task,
    prompts: PromptSet,
    split: str,
    examples: Sequence[Example],
    options: Options,
    scoring: str,
    on_long: str,
) -> dict[str, Any]:
    """What decides the cells, but for the weights and their dtype: batch sizes and devices do not."""
    return {
        "format_version": FORMAT_VERSION,
        "task": task.name,
        "answers": list(task.answers),
        "match": task.match,
        "split": split,
        "scoring": scoring,
        "normalize": options.normalize,
        "chat": options.chat,
        "max_length": options.max_length,
        "max_new_tokens": options.max_new_tokens,
        "on_long": on_long,
        "examples": examples_digest(examples),
        "prompts": prompts_digest(prompts),
    }


def fitting(scorer: Scores, prompts: PromptSet, examples: Sequence[Example], on_long: str) -> list[Example]:
    """The examples that fit under every prompt, so that all prompts meet the same ones."""
    long: set[str] = set()
    room = 0
    for prompt in prompts:
        left = [Pair(prompt, e) for e in examples if e.id not in long]
        for start in range(0, len(left), CHUNK):
            found = scorer.too_long(left[start : start + CHUNK])
            if found and on_long == "error":
                raise found[0].error()
            long |= {f.pair.example.id for f in found}
            room = found[0].max_length if found else room
    kept = [e for e in examples if e.id not in long]
    if not kept:
        raise InputError(
            f"all {len(examples)} examples are longer than {room} tokens under some prompt; raise --max-length"
        )
    return kept


def _score(measured: Measured, share: Share, job: _Job, examples: Sequence[Example]) -> None:
    """Compute this process's share of the cells that the store does not hold yet."""
    dropped, prompts, part = measured.dropped(), job.prompts, job.part
    total, there = len(prompts) * len(examples), len(share.done)
    wanted = None if part is None else part.keys(prompts.ids, [e.id for e in job.examples])
    if wanted is not None:
        size, total, there = BLOCK * total // len(wanted), len(wanted), sum(key in wanted for key in share.done)
    else:
        size = BLOCK
    with bar("sweep", total, there, job.progress) as advance:
        share.store.start_clock()
        for block in blocks(prompts, examples, size * share.team.world):
            todo = [p for p in block if p.key not in share.done and p.example.id not in dropped]
            mine = share.pairs(todo if wanted is None else [p for p in todo if p.key in wanted])
            for cells in measured.scorer.score(mine) if mine else ():
                advance(share.add(cells))
        share.finish(advance)
        share.store.flush()


def blocks(prompts: PromptSet, examples: Sequence[Example], size: int = BLOCK) -> Iterator[list[Pair]]:
    """All cells in blocks of about ``size``: some examples under all prompts, so that either may be what is shared."""
    count = max(1, size // len(prompts))
    for start in range(0, len(examples), count):
        yield [Pair(p, e) for p in prompts for e in examples[start : start + count]]
