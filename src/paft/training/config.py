"""What a PAFT run is told: the fields of ``TrainingArguments``, its own, and the paper's defaults."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import DynamoBackend
from transformers import IntervalStrategy, SchedulerType, TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

from paft.defaults import MAX_LENGTH, TRAINING_METHODS
from paft.errors import InputError
from paft.models import pick_dtype
from paft.models.chat_date import read_day
from paft.training.packages import check_packages
from paft.training.ranges import check_numbers
from paft.training.trial import check_optimizer, check_schedule

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")  # of torch.compile
MOST_EXAMPLES = 20_000
ORDER, METRICS = "the plan orders the rows (--data-seed)", "validation reports eval_loss and eval_accuracy"
WITHOUT_EFFECT = {  # fields of TrainingArguments that cannot do here what they say, and why
    "train_sampling_strategy": ORDER,
    "length_column_name": ORDER,
    "dataloader_in_order": ORDER,
    "label_names": "the labels are the tokens of the task's answers",
    "average_tokens_across_devices": "the loss is the mean over the answer tokens of a step, on all devices",
    "bf16_full_eval": "validation runs in the dtype of the run (--dtype)",
    "fp16_full_eval": "validation runs in the dtype of the run (--dtype)",
    "include_for_metrics": METRICS,
    "batch_eval_metrics": METRICS,
    "include_num_input_tokens_seen": "result.json tells the tokens of a run",
    "ignore_data_skip": "a resumed run goes on at the row where it stopped",
    "resume_from_checkpoint": "a run goes on from the newest complete checkpoint of its own folder (--resume)",
    "parallelism_config": "a model is shared by FSDP or DeepSpeed (--fsdp, --deepspeed)",
}
BATCHING = ("split_batches", "dispatch_batches", "even_batches", "use_seedable_sampler")  # of accelerator_config
BY_LOSS = ("reduce_lr_on_plateau", "greedy")  # schedules that follow the loss of validation


def _help(text: str, **more: Any) -> dict[str, Any]:
    return {"help": text, **more}


@dataclass
class PaftConfig(TrainingArguments):
    """Settings of a run. Only fields that ``TrainingArguments`` lacks, or whose default differs, stand here.

    One step trains on ``per_device_train_batch_size x gradient_accumulation_steps x processes`` examples, in
    the order of the plan. Defaults are those of the paper (section 4.1 of arXiv 2502.12859) where it names one.

    Raises:
        InputError: a value out of range.
    """

    method: str = field(default="paft", metadata=_help("How prompts are assigned.", choices=list(TRAINING_METHODS)))
    examples_per_prompt: int = field(
        default=4, metadata=_help("K: after so many examples of the stream a new prompt is drawn.")
    )
    max_length: int = field(default=MAX_LENGTH, metadata=_help("Most tokens of prompt and answer together."))
    on_long: str = field(
        default="error",
        metadata=_help(
            "What to do with an example that is longer: stop, or leave out and count.", choices=["error", "drop"]
        ),
    )
    max_examples: int = field(
        default=MOST_EXAMPLES, metadata=_help("Most training examples; a uniform sample if more.")
    )
    batch_tokens: int = field(
        default=4096,
        metadata=_help("Most tokens, padding counted, in one forward pass. Splits a step, never changes its result."),
    )
    packing: str = field(
        default="auto",
        metadata=_help(
            "Train on rows one behind the other, without padding; auto does where it gives the same figures.",
            choices=["auto", "on", "off"],
        ),
    )
    chat: str = field(
        default="auto",
        metadata=_help("Wrap prompts in the model's chat template.", choices=["auto", "on", "off"]),
    )
    date: str | None = field(
        default=None,
        metadata=_help(
            "The day that a chat template takes for today, such as 2025-03-01; today, or as the run was begun."
        ),
    )
    dtype: str = field(default="auto", metadata=_help("auto, float32, bfloat16 or float16."))
    eval_examples: int = field(
        default=200, metadata=_help("Validation cells (prompt x example) looked at in each evaluation.")
    )
    early_stopping_patience: int = field(
        default=0, metadata=_help("Stop after so many evaluations without a better one; 0 never stops.")
    )

    learning_rate: float = field(default=1e-4, metadata=_help("The highest learning rate."))
    lr_scheduler_type: str = field(
        default="cosine", metadata=_help("The learning rate schedule.", choices=[kind.value for kind in SchedulerType])
    )
    warmup_steps: float = field(default=0.1, metadata=_help("Warm-up steps; below 1, a share of all steps."))
    seed: int = field(default=0, metadata=_help("The one seed that decides everything."))
    logging_steps: float = field(default=10, metadata=_help("Log every so many steps; below 1, a share of all."))
    logging_nan_inf_filter: bool = field(default=False, metadata=_help("Hide losses that are not numbers."))
    save_total_limit: int | None = field(default=2, metadata=_help("Most checkpoints kept."))
    remove_unused_columns: bool = field(default=False, metadata=_help("Not used: batches are made from the plan."))
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata=_help("Restore callbacks, such as early stopping, when a run is resumed.")
    )
    dataloader_num_workers: int = field(
        default_factory=lambda: 2 if torch.cuda.is_available() else 0,
        metadata=_help("Processes that render and tokenise.", shown="2 beside a GPU, else 0"),
    )

    def __post_init__(self) -> None:
        self._check()
        self._choose_precision()
        self._align_evaluation()
        if getattr(self, "activation_checkpointing", False) is None:  # the switch's older name, without its warning
            self.activation_checkpointing, self.gradient_checkpointing = self.gradient_checkpointing, None
        if self.disable_tqdm is None:
            self.disable_tqdm = not sys.stderr.isatty()
        launched = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower()
        if launched != "no" and self.torch_compile_backend is None:  # accelerate launch --dynamo_backend
            self.torch_compile_backend = launched
            mode = os.environ.get("ACCELERATE_DYNAMO_MODE", "default")
            self.torch_compile_mode = self.torch_compile_mode or (None if mode == "default" else mode)
        if self.tf32 is None and (self.torch_compile or self.torch_compile_backend or self.torch_compile_mode):
            self.tf32 = False  # Trainer would turn it on for the whole process, sweeps and checks included
        super().__post_init__()
        self._refuse_batching()
        check_packages(self)
        check_optimizer(self)
        check_schedule(self)
        self._n_gpu = min(self.n_gpu, 1)  # several GPUs: accelerate launch; DataParallel would split a micro-batch

    @property
    def recomputes(self) -> bool:
        """Whether activations are computed again for gradients, by the name of the switch that is there."""
        names = ("activation_checkpointing", "gradient_checkpointing")  # the newer first
        return bool(next(getattr(self, name) for name in names if hasattr(self, name)))

    def validate_by_default(self) -> None:
        """Validate at the end of each epoch, unless a strategy was chosen."""
        if self.eval_strategy == IntervalStrategy.NO:
            self.eval_strategy, self.do_eval = IntervalStrategy.EPOCH, True

    def _check(self) -> None:
        check_numbers(self)
        lowest = {"examples_per_prompt": 1, "max_length": 2, "max_examples": 1, "batch_tokens": 2, "seed": 0}
        lowest |= {"eval_examples": 1, "early_stopping_patience": 0, "per_device_train_batch_size": 1}
        lowest |= {"gradient_accumulation_steps": 1}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise InputError(f"--{name.replace('_', '-')} must be at least {least}, found {getattr(self, name)}")
        if self.date is not None:
            self.date = read_day(self.date).isoformat()
        if self.data_seed is not None and self.data_seed < 0:
            raise InputError(f"--data-seed must be at least 0, found {self.data_seed}")
        self._refuse_without_effect()
        if not self.num_train_epochs > 0:
            raise InputError(f"--num-train-epochs must be more than 0, found {self.num_train_epochs}")
        for name in ("method", "on_long", "packing", "chat"):
            choices = self.__dataclass_fields__[name].metadata["choices"]
            if getattr(self, name) not in choices:
                raise InputError(f"unknown {name} {getattr(self, name)!r}; expected one of {', '.join(choices)}")
        backends = [b.value.lower() for b in DynamoBackend if b != DynamoBackend.NO]
        if self.torch_compile_backend not in (None, *backends):
            found = f"unknown torch_compile_backend {self.torch_compile_backend!r}"
            raise InputError(f"{found}; expected one of {', '.join(backends)}")
        if self.torch_compile_mode not in (None, *MODES):
            found = f"unknown torch_compile_mode {self.torch_compile_mode!r}"
            raise InputError(f"{found}; expected one of {', '.join(MODES)}")
        if self.auto_find_batch_size:
            raise InputError("auto_find_batch_size would change what a step is; lower --batch-tokens instead")

    def _refuse_without_effect(self) -> None:
        stock = TrainingArguments.__dataclass_fields__
        for name, reason in WITHOUT_EFFECT.items():
            default, factory = stock[name].default, stock[name].default_factory
            default, value = factory() if callable(factory) else default, getattr(self, name)
            if value != default and not (default == "no" and value is False):
                raise InputError(f"--{name.replace('_', '-')} {value} would have no effect: {reason}\nleave it out")

    def _refuse_batching(self) -> None:
        """Refuse what accelerate would do to data loaders: batches are dealt out from the plan."""
        given, plain = self.accelerator_config, AcceleratorConfig()
        for name in BATCHING:
            if isinstance(given, AcceleratorConfig) and getattr(given, name) != getattr(plain, name):
                raise InputError(
                    f"{name} of --accelerator-config would have no effect: batches are dealt out from the plan\n"
                    "leave it out"
                )

    @property
    def order_seed(self) -> int:
        """The seed of the order of the examples."""
        return self.seed if self.data_seed is None else self.data_seed

    def _choose_precision(self) -> None:
        """Set ``bf16`` or ``fp16`` from ``dtype``; on a GPU ``auto`` takes what it is fast in."""
        on_gpu = torch.cuda.is_available() and not self.use_cpu
        if self.bf16 and self.fp16:
            raise InputError("--bf16 and --fp16 contradict each other; give one of them, or --dtype")
        if self.bf16 or self.fp16:
            flag = "bfloat16" if self.bf16 else "float16"
            if self.dtype != "auto" and pick_dtype(self.dtype) != pick_dtype(flag):
                raise InputError(f"--dtype {self.dtype} and --{'bf16' if self.bf16 else 'fp16'} contradict each other")
            self.dtype = flag
        elif self.dtype == "auto" and os.environ.get("ACCELERATE_MIXED_PRECISION", "no") in ("bf16", "fp16"):
            self.dtype = os.environ["ACCELERATE_MIXED_PRECISION"]
        chosen = pick_dtype(self.dtype, "cuda" if on_gpu else "cpu")
        self.bf16, self.fp16 = chosen == torch.bfloat16, chosen == torch.float16
        if self.bf16 and not on_gpu:
            self.use_cpu = True
        if self.fp16 and not on_gpu:
            raise InputError("float16 training needs a GPU; use --dtype float32 or bfloat16")

    def _align_evaluation(self) -> None:
        """A best checkpoint has to be one that was saved when it was evaluated."""
        by_loss = self.lr_scheduler_type in BY_LOSS
        if self.eval_strategy == "no" and (self.load_best_model_at_end or self.early_stopping_patience or by_loss):
            self.eval_strategy = "epoch"
        if self.early_stopping_patience and self.metric_for_best_model is None:
            self.metric_for_best_model = "loss"
        if self.load_best_model_at_end and self.save_strategy != "best":
            self.save_strategy = self.eval_strategy
            self.save_steps = self.eval_steps or self.logging_steps
