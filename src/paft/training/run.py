"""``train()``: what ``paft train`` and the demo call. Prepares the folder, trains, saves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from paft.errors import InputError, PaftError, missing_package
from paft.files import read_json, write_json
from paft.models import load_model, load_tokenizer, pick_device
from paft.processes import agreed, from_main
from paft.prompts import Prompt, PromptSet, find_prompts
from paft.tasks import Task, load_task
from paft.training.callbacks import TimeCallback
from paft.training.checkpoints import newest_complete
from paft.training.config import MOST_EXAMPLES, PaftConfig
from paft.training.lora import lora_config
from paft.training.preflight import estimate
from paft.training.records import RESULT, read_metrics, read_result
from paft.training.setup import base_digests, base_name, settle_base, settle_job
from paft.training.trainer import PaftTrainer

PathLike = str | Path


@dataclass(frozen=True)
class TrainResult:
    """What a finished run says of itself; ``result.json`` holds it.

    Attributes:
        output_dir: the run folder.
        seconds: time trained, interruptions left out.
        steps: optimiser steps.
        final_loss: of the last log line, in nats per answer token; None where nothing was logged.
        dropped: rows left out as longer than ``max_length``.
        processor_seconds: those of all processes while they trained.
        tokens: tokens of all forward passes of training, padding counted. Both None in runs older than they are.
    """

    output_dir: Path
    seconds: float
    steps: int
    final_loss: float | None
    dropped: int = 0
    processor_seconds: float | None = None
    tokens: int | None = None


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def train(
    *,
    model: PathLike,
    task: Task | PathLike,
    output: PathLike,
    prompts: PromptSet | PathLike | None = None,
    data: PathLike | None = None,
    method: str = "paft",
    prompt_id: str | None = None,
    selection: PathLike | None = None,
    eval_prompts: PromptSet | PathLike | None = None,
    limit: int | None = None,
    full: bool = False,
    lora_r: int = 8,
    lora_alpha: int = 16,
    lora_dropout: float = 0.0,
    lora_targets: str = "auto",
    qlora: bool = False,
    resume: bool = False,
    device: str = "auto",
    trust_remote_code: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    say: Callable[[str], None] = _to_stderr,
    **training: Any,
) -> TrainResult:
    """Fine-tune ``model`` on ``task`` and save the adapter (or the model) and its tokenizer in ``output``.

    Work that was begun in ``output`` goes on from its newest complete checkpoint, with or without ``resume``.

    Args:
        prompts: the training prompts. ``method="user"`` needs only one: that of ``selection`` (a
            selection.json), ``prompt_id``, the only one of the set, or the task's own.
        limit: most training examples; 20,000 where it is None.
        full: train all weights in place of a LoRA adapter.
        qlora: load the frozen weights in 4 bits (a CUDA GPU and the ``qlora`` extra).
        say: told the estimate and how the run goes on.
        training: fields of :class:`PaftConfig`.

    Raises:
        InputError: a wrong or contradictory argument.
        OutputError: ``output`` holds other work.
        RunError: out of memory, or a loss that is not a number.
    """
    if full and qlora:
        raise InputError("--qlora trains an adapter upon frozen weights; leave out --full or --qlora")
    task = task if isinstance(task, Task) else load_task(task, data)
    chosen = choose_prompts(task, prompts, method, prompt_id, selection)
    unseen = _found(eval_prompts, task, "test")
    args = make_config(output, method, limit, device, training)
    adapter = None if full else lora_config(lora_r, lora_alpha, lora_dropout, lora_targets)
    job = settle_job(model, args, task, chosen, adapter, None, unseen, "4bit" if qlora else None)
    main = args.process_index == 0
    done = from_main(read_result(Path(output)) if main else None)
    if done is not None:
        with agreed():
            settle_base(job, base_digests(model, args, load_tokenizer(base_name(model), trust_remote_code)))
        if main:
            say(f"{output} holds this run already, finished; nothing to do")
        return TrainResult(**{**done, "output_dir": Path(output)})
    loaded: Any = model
    if qlora:
        loaded = load_model(
            base_name(model), device=args.device, trust_remote_code=trust_remote_code, quantization="4bit"
        )
    trainer = PaftTrainer.of_job(
        job, loaded, callbacks=[TimeCallback(say), *callbacks], trust_remote_code=trust_remote_code
    )
    with agreed():
        row = trainer.longest  # one that does not fit is told before anything is said
        longest = 0 if row is None else row.tokens
        if main:
            for line in estimate(trainer.model, args, trainer.stream, trainer.train_dataset, longest).lines():
                say(line)
            _say_where_it_starts(Path(output), resume, say)
    trainer.train()
    return _finish(trainer, say)


def _finish(trainer: PaftTrainer, say: Callable[[str], None]) -> TrainResult:
    """Save the model; result.json comes last and says that the run is whole."""
    trainer.save_model()
    run = trainer.run_folder
    losses = [row["loss"] for row in read_metrics(run) if row.get("loss") is not None]
    spent = trainer.clock.spent(trainer.accelerator, trainer.tokens)
    loss, steps = losses[-1] if losses else None, trainer.state.global_step
    result = TrainResult(run, round(trainer.clock.seconds(), 3), steps, loss, trainer.dropped, *spent)
    if result.dropped and trainer.is_world_process_zero():
        say(f"{result.dropped} rows longer than --max-length {trainer.args.max_length} were left out")
    if trainer.is_world_process_zero():
        write_json(run / RESULT, {k: v for k, v in asdict(result).items() if k != "output_dir"})
    trainer.accelerator.wait_for_everyone()
    return result


def _say_where_it_starts(run: Path, resume: bool, say: Callable[[str], None]) -> None:
    checkpoint = newest_complete(run)
    if checkpoint is not None:
        say(f"going on from {checkpoint}")
    elif resume:
        say(f"{run} has no complete checkpoint; starting from the first step")


def make_config(output: PathLike, method: str, limit: int | None, device: str, training: dict[str, Any]) -> PaftConfig:
    """The settings of a run; what ``TrainingArguments`` refuses is an InputError too."""
    where = pick_device(device)
    if where.type == "cuda" and where.index not in (None, 0):
        raise InputError(f"--device {device}: choose a GPU with CUDA_VISIBLE_DEVICES={where.index} and --device cuda")
    plain = {"max_examples": MOST_EXAMPLES if limit is None else limit, "use_cpu": where.type == "cpu"}
    try:
        return PaftConfig(output_dir=os.fspath(output), method=method, **(plain | training))
    except PaftError:
        raise
    except ImportError as bad:
        raise InputError(f"training options: {missing_package(bad)}") from bad
    except (ValueError, TypeError, OSError) as bad:
        raise InputError(f"training options: {' '.join(str(bad).split())}") from bad


def _found(prompts: PromptSet | PathLike | None, task: Task, split: str) -> PromptSet | None:
    return find_prompts(prompts, task.name, split) if isinstance(prompts, str | os.PathLike) else prompts


def choose_prompts(
    task: Task,
    prompts: PromptSet | PathLike | None,
    method: str = "paft",
    prompt_id: str | None = None,
    selection: PathLike | None = None,
) -> PromptSet:
    """The prompts that a method trains on: one for ``user``, the whole set otherwise.

    Raises:
        InputError: none given, or no way to tell which one is meant.
    """
    given = _found(prompts, task, "train")
    if method != "user":
        if prompt_id or selection:
            raise InputError(f"--prompt-id and --selection choose the one prompt of --method user, not of {method}")
        if given is None:
            raise InputError(f"--method {method} needs --prompts, a prompt set")
        return given
    if selection is not None:
        return PromptSet([_selected(Path(selection))])
    if prompt_id is not None:
        if given is None:
            raise InputError("--prompt-id needs --prompts, the set that holds it")
        return PromptSet([given[prompt_id]])
    if given is not None and len(given) == 1:
        return given
    if task.user_prompt:
        return PromptSet.from_texts([task.user_prompt], {"kind": "human", "strategy": "the task's own"})
    raise InputError(
        "--method user trains on one prompt; name it with --prompt-id, or with --selection a selection.json"
    )


def _selected(path: Path) -> Prompt:
    """The prompt that a selection.json names."""
    chosen = read_json(path)
    if not isinstance(chosen, dict) or not chosen.get("text") or not chosen.get("prompt_id"):
        raise InputError(f"{path} is not a selection: expected prompt_id and text")
    source = {"kind": "selection", "strategy": str(chosen.get("method", ""))}
    if not isinstance(chosen["prompt_id"], str) or not isinstance(chosen["text"], str | list):
        raise InputError(f"{path} is not a selection: expected text under prompt_id and text")
    return Prompt.from_text(chosen["text"], source, chosen["prompt_id"])
