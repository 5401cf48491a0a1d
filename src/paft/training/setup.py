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
from paft.models import load_model, load_tokenizer, resolve_model
from paft.models.identity import folder_digest, model_digest, template_digest, tokenizer_digest
from paft.prompts import Prompt, PromptSet
from paft.prompts.overlap import overlap
from paft.schedule import FixedSchedule, Schedule, StaticMixSchedule, UniformSchedule
from paft.tasks.base import Example, Task
from paft.tasks.sampling import sample
from paft.tasks.spool import ids_of
from paft.training.config import PaftConfig
from paft.training.records import BASE, check_folder, describe_work, kept_date, read_config
from paft.training.sharding import sharding

ModelLike = str | os.PathLike[str] | PreTrainedModel
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A training that can begin.

    Attributes:
        examples: those trained on; ``available`` is how many the task has.
        work: everything that decides the outcome, as config.yaml holds it.
        date: what a chat template is to take for today; None is today.
    """

    examples: Sequence[Example]
    available: int
    prompts: list[Prompt]
    schedule: Schedule
    work: dict[str, Any]
    date: str | None = None

    @cached_property
    def example_ids(self) -> Sequence[str]:
        """The id of each example."""
        return ids_of(self.examples)


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
    return Job(examples, len(rows), list(prompts), schedule, work, kept_date(folder, args.date))


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


def settle_base(job: Job, args: PaftConfig, digests: Mapping[str, Any]) -> Job:
    """The job with what it goes out from.

    A folder of an earlier version, which says nothing of that, is taken as one of the same, and that is said.

    Raises:
        OutputError: the run folder was begun with another tokenizer, chat template or base model.
    """
    folder, work = Path(str(args.output_dir)), {**job.work, BASE: dict(digests)}
    if check_folder(folder, work) and BASE not in read_config(folder) and args.process_index == 0:
        logger.warning("%s does not record its base model and tokenizer; they are taken as unchanged", folder)
    return replace(job, work=work)


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
