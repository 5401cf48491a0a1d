"""What is settled before a model is loaded: examples, prompts, schedule, and whether the run folder is free."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from peft import PeftConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paft.errors import InputError
from paft.models import Encoder, load_model, load_tokenizer, resolve_model
from paft.models.identity import folder_digest, model_digest, template_digest, tokenizer_digest
from paft.models.limits import Limits
from paft.prompts import Prompt, PromptSet
from paft.prompts.overlap import overlap
from paft.schedule import FixedSchedule, Schedule, StaticMixSchedule, UniformSchedule
from paft.tasks.base import Example, Task
from paft.tasks.sampling import sample
from paft.tasks.spool import ids_of
from paft.training.config import MOST_EXAMPLES, PaftConfig
from paft.training.lora import attach
from paft.training.packing.loss import accepted_inputs
from paft.training.records import BASE, check_folder, describe_work, kept_date, read_config
from paft.training.saving import require_writable
from paft.training.sharding import ask_for_whole_models, look_for_unused, sharding

ModelLike = str | os.PathLike[str] | PreTrainedModel
logger = logging.getLogger(__name__)
_LOSS, _METRICS = "the loss is that of the answer tokens", "validation reports eval_loss and eval_accuracy"
UNHEEDED = {"compute_loss_func": _LOSS, "compute_metrics": _METRICS, "preprocess_logits_for_metrics": _METRICS}


@dataclass(frozen=True)
class Job:
    """A training that can begin.

    Attributes:
        args: the settings; ``task``, ``peft_config`` and ``eval_prompts`` as they were given.
        examples: those trained on; ``available`` is how many the task has.
        work: everything that decides the outcome, as config.yaml holds it.
        date: what a chat template is to take for today; None is today.
    """

    args: PaftConfig
    task: Task
    examples: Sequence[Example]
    available: int
    prompts: list[Prompt]
    peft_config: PeftConfig | None
    eval_prompts: PromptSet | None
    schedule: Schedule
    work: dict[str, Any]
    date: str | None = None

    @cached_property
    def example_ids(self) -> Sequence[str]:
        """The id of each example."""
        return ids_of(self.examples)


@dataclass(frozen=True)
class Prepared:
    """A job with its model.

    Attributes:
        job: with what it goes out from.
        model: with its adapter, where it gets one.
        accepted: the optional inputs that the model takes.
        kept_config: settings that Trainer would change, as they were.
    """

    job: Job
    model: Any
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    limits: Limits
    accepted: frozenset[str]
    kept_config: dict[str, Any]


def settle_job(
    model: ModelLike,
    args: PaftConfig,
    task: Task,
    prompts: PromptSet,
    peft_config: PeftConfig | None = None,
    schedule: Schedule | None = None,
    eval_prompts: PromptSet | None = None,
    quantization: str | None = None,
) -> Job:
    """Check everything that can be checked without a model.

    Args:
        quantization: how the model is, or will be, quantized; a loaded model says so itself.

    Raises:
        InputError: prompts that do not fit the task or the method, or no examples.
        OutputError: the run folder holds other work.
    """
    if not isinstance(args, PaftConfig):
        raise InputError(f"args must be a PaftConfig, found {type(args).__name__}")
    prompts.check(task).raise_if_bad()
    if eval_prompts is not None:
        eval_prompts.check(task).raise_if_bad()
        shared = overlap(prompts, eval_prompts)
        if shared:
            raise InputError(
                f"{len(shared)} of the validation prompts are trained on, such as {shared[0].test_id!r}\n"
                "validate on unseen ones; paft prompts split parts a set"
            )
        args.validate_by_default()
    elif args.eval_strategy != "no":
        raise InputError("validation during training needs unseen prompts; give eval_prompts (--eval-prompts)")
    schedule = schedule or make_schedule(args, prompts.ids)
    rows = task.examples("train")
    examples = sample(rows, args.max_examples)
    work = describe_work(
        args=args,
        model=base_name(model),
        quantization=quantization or _quantization(model),
        task=task.name,
        examples=examples,
        prompts=prompts,
        eval_prompts=eval_prompts,
        peft_config=peft_config,
        schedule=type(schedule).__name__,
    )
    folder = Path(str(args.output_dir))
    check_folder(folder, work)
    return Job(
        args=args,
        task=task,
        examples=examples,
        available=len(rows),
        prompts=list(prompts),
        peft_config=peft_config,
        eval_prompts=eval_prompts,
        schedule=schedule,
        work=work,
        date=kept_date(folder, args.date),
    )


def base_digests(
    model: ModelLike, args: PaftConfig, tokenizer: PreTrainedTokenizerBase, loaded: PreTrainedModel | None = None
) -> dict[str, Any]:
    """What a run goes out from, so that it is known again: tokenizer, chat template where it is used, and weights.

    Args:
        loaded: the model before it gets an adapter; None where its weights are not at hand, or do not matter.
    """
    chat = args.chat != "off" and bool(getattr(tokenizer, "chat_template", None))
    found = {"tokenizer": tokenizer_digest(tokenizer), "chat_template": template_digest(tokenizer) if chat else None}
    if isinstance(model, str | os.PathLike) and Path(base_name(model)).is_dir():
        found["files"] = folder_digest(Path(base_name(model)))
    if loaded is not None and not hasattr(loaded, "peft_config"):
        found["weights"] = model_digest(loaded)
    return found


def settle_base(job: Job, digests: Mapping[str, Any]) -> Job:
    """The job with what it goes out from.

    A folder of an earlier version, which says nothing of that, is taken as one of the same, and that is said.

    Raises:
        OutputError: the run folder was begun with another tokenizer, chat template or base model.
    """
    folder, work = Path(str(job.args.output_dir)), {**job.work, BASE: dict(digests)}
    if check_folder(folder, work) and BASE not in read_config(folder) and job.args.process_index == 0:
        logger.warning("%s does not record its base model and tokenizer; they are taken as unchanged", folder)
    return replace(job, work=work)


def prepare(job: Job, model: ModelLike, tokenizer: PreTrainedTokenizerBase | None, trust_remote_code: bool) -> Prepared:
    """Load the model of a job, or take a loaded one, and see that it is the one of its folder.

    Raises:
        InputError: an adapter that does not fit the model.
        ModelError: a model that cannot be loaded.
        OutputError: the run folder cannot be written, or holds other work.
    """
    args, adapter = job.args, job.peft_config
    require_writable(Path(str(args.output_dir)))
    sampled = args.max_examples == MOST_EXAMPLES and len(job.examples) < job.available
    if sampled and args.process_index == 0:
        logger.warning("training on a sample of %d of %d examples", len(job.examples), job.available)
    loaded, tokenizer = load_pair(model, tokenizer, args, adapter is not None, trust_remote_code)
    known = adapter is not None or loaded is not model
    job = settle_base(job, base_digests(model, args, tokenizer, loaded if known else None))
    if adapter is not None:
        loaded = attach(loaded, adapter, args.seed, args.recomputes)
    limits = Limits.of(loaded, tokenizer)
    encoder = Encoder(tokenizer, args.max_length, args.chat, job.date, limits)
    if encoder.date is not None:
        job.work["training"]["date"] = encoder.date
    kept = {}
    if tokenizer.pad_token_id in limits.outside:  # Trainer would write it down, and the model would not load again
        kept = {"pad_token_id": getattr(loaded.config, "pad_token_id", None)}
    look_for_unused(args, loaded)
    ask_for_whole_models(args)
    return Prepared(job, loaded, tokenizer, encoder, limits, accepted_inputs(loaded), kept)


def make_schedule(args: PaftConfig, ids: Sequence[str]) -> Schedule:
    """The schedule that ``args.method`` names.

    Raises:
        InputError: too few prompts for the method, or too many.
    """
    if args.method == "user":
        if len(ids) != 1:
            raise InputError(f"--method user trains on one prompt, found {len(ids)}; choose one with --prompt-id")
        return FixedSchedule(ids[0])
    if len(ids) < 2:
        raise InputError(f"--method {args.method} needs at least two prompts, found {len(ids)}; use --method user")
    if args.method == "static-mix":
        return StaticMixSchedule(ids, args.seed)
    return UniformSchedule(ids, args.examples_per_prompt, args.seed)


def refuse_options(options: Mapping[str, Any]) -> None:
    """Refuse arguments of ``Trainer`` that this one would not heed."""
    for name in UNHEEDED:
        if options.get(name) is not None:
            raise InputError(f"{name} would have no effect: {type(options[name]).__name__} given; {UNHEEDED[name]}")


def base_name(model: ModelLike) -> str:
    """The folder or hub id that a model comes from.

    Raises:
        InputError: an adapter, which cannot be trained upon as it is.
    """
    if not isinstance(model, str | os.PathLike):
        return str(model.name_or_path)
    source = resolve_model(model)
    if source.adapter is not None:
        raise InputError(f"{model} is an adapter; merge it with paft merge and train the merged model")
    return source.base


def _quantization(model: ModelLike) -> str | None:
    return "4bit" if getattr(model, "is_loaded_in_4bit", False) else None


def load_pair(
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None,
    args: PaftConfig,
    frozen: bool,
    trust_remote_code: bool,
) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model and tokenizer. Weights that are trained are float32; ``frozen`` ones take the dtype of the run.

    A model that will be sharded stays in main memory until then.
    """
    name = base_name(model)
    tokenizer = tokenizer or load_tokenizer(name, trust_remote_code)
    if not isinstance(model, str | os.PathLike):
        return model, tokenizer
    dtype = "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32"
    device = "cpu" if sharding(args) else args.device
    loaded = load_model(name, dtype=dtype if frozen else "float32", device=device, trust_remote_code=trust_remote_code)
    return loaded, tokenizer
