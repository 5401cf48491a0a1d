"""PaftTrainer: ``transformers.Trainer`` that trains on a plan of examples and prompts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DynamoBackend, TorchDynamoPlugin
from peft import PeftConfig
from torch.utils.data import DataLoader
from transformers import (
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerState,
)
from transformers.trainer_callback import ProgressCallback as TqdmCallback
from transformers.trainer_utils import TrainOutput

from paft.errors import InputError, RunError
from paft.models import Encoder
from paft.models.ends import begins_another
from paft.models.limits import Limits
from paft.models.memory import is_out_of_memory
from paft.prompts import PromptSet
from paft.schedule import Schedule
from paft.tasks.base import Task
from paft.training import checkpoints
from paft.training.agreement import agreed, check_same
from paft.training.batches import Collator, PlanBatches, PlanDataset
from paft.training.callbacks import ProgressCallback, RunCallback
from paft.training.config import MOST_EXAMPLES, PaftConfig
from paft.training.lora import attach
from paft.training.loss import accepted_inputs, answer_losses
from paft.training.micro import ACCELERATOR_START_TOKENS
from paft.training.parity import choose_packing
from paft.training.plan import EpochPlan, make_plan, plan_path, read_plan, settle_plan
from paft.training.preflight import check_lengths, total_steps
from paft.training.records import claim_folder, rewind_metrics, write_records
from paft.training.resumable import ResumableTrainer
from paft.training.saving import require_writable, try_saving
from paft.training.setup import ModelLike, base_digests, load_pair, settle_base, settle_job
from paft.training.sharding import ask_for_whole_models, look_for_unused, warn_if_whole
from paft.training.trial import try_optimizer, try_schedule
from paft.training.validation import Cell, draw_cells, encode_cells, evaluate_cells

logger = logging.getLogger(__name__)
_LOSS, _METRICS = "the loss is that of the answer tokens", "validation reports eval_loss and eval_accuracy"
UNHEEDED = {"compute_loss_func": _LOSS, "compute_metrics": _METRICS, "preprocess_logits_for_metrics": _METRICS}


class PaftTrainer(ResumableTrainer):
    """Fine-tunes a causal language model while the prompt changes along a plan (Algorithm 1 of the paper).

    Args:
        model: hub id, model folder or ``embedded``; or a loaded model.
        args: the settings.
        task: gives the training examples.
        prompts: the training prompts.
        peft_config: the adapter to train, such as a ``LoraConfig``; None trains all weights.
        schedule: which prompt stands where; None follows ``args.method``.
        eval_prompts: unseen prompts to validate on during training, at the end of each epoch unless
            ``args.eval_strategy`` says otherwise.
        processing_class: the tokenizer; None loads the model's own.
        trust_remote_code: let a model repository run code of its own.
        options: further arguments of ``transformers.Trainer``, such as ``optimizers``.

    Raises:
        InputError: prompts that do not fit the task or the method.
        ModelError: a model that cannot be loaded.
        OutputError: ``args.output_dir`` holds other work.
    """

    def __init__(
        self,
        model: ModelLike,
        args: PaftConfig,
        task: Task,
        prompts: PromptSet,
        peft_config: PeftConfig | None = None,
        schedule: Schedule | None = None,
        eval_prompts: PromptSet | None = None,
        *,
        processing_class: PreTrainedTokenizerBase | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        trust_remote_code: bool = False,
        **options: Any,
    ) -> None:
        _refuse_options(options)
        self.job = settle_job(model, args, task, prompts, peft_config, schedule, eval_prompts)
        require_writable(Path(str(args.output_dir)))
        self.task, self.schedule = task, self.job.schedule
        sampled = args.max_examples == MOST_EXAMPLES and len(self.job.examples) < self.job.available
        if sampled and args.process_index == 0:
            logger.warning("training on a sample of %d of %d examples", len(self.job.examples), self.job.available)
        frozen = peft_config is not None
        loaded, tokenizer = load_pair(model, processing_class, args, frozen, trust_remote_code)
        digests = base_digests(model, args, tokenizer, loaded if frozen or loaded is not model else None)
        self.job = settle_base(self.job, args, digests)
        if peft_config is not None:
            loaded = attach(loaded, peft_config, args.seed, args.recomputes)
        limits = Limits.of(loaded, tokenizer)
        self.encoder = Encoder(tokenizer, args.max_length, args.chat, self.job.date, limits)
        if self.encoder.date is not None:
            self.job.work["training"]["date"] = self.encoder.date
        self.accepted = accepted_inputs(loaded)
        self._draw_validation(args, eval_prompts)
        self.run_callback = RunCallback(self)
        look_for_unused(args, loaded)
        ask_for_whole_models(args)
        use_cache = getattr(loaded.config, "use_cache", None)
        self.kept_config = {}
        if tokenizer.pad_token_id in limits.outside:  # Trainer would write it down, and the model would not load again
            self.kept_config = {"pad_token_id": getattr(loaded.config, "pad_token_id", None)}
        super().__init__(
            model=loaded,
            args=args,
            train_dataset=PlanDataset(self.job.examples, self.job.prompts, self.encoder, args.on_long),
            eval_dataset=self.cells or None,
            data_collator=Collator(limits.pad_id(tokenizer), args.batch_tokens),
            processing_class=tokenizer,
            callbacks=[self.run_callback, *_stock_callbacks(args), *callbacks],
            **options,
        )
        for stock in (PrinterCallback, TqdmCallback):
            self.remove_callback(stock)
        warn_if_whole(self)
        if (
            self.is_fsdp_enabled or self.is_deepspeed_enabled
        ):  # a micro-batch more costs messages, all weights where they are parted
            self.data_collator.start_tokens = args.batch_tokens
        elif args.device.type != "cpu":
            self.data_collator.start_tokens = ACCELERATOR_START_TOKENS
        if use_cache is not None:  # Trainer turned it off; forward is told each time, the saved config stays as it was
            self.model.config.use_cache = use_cache
        self.batches = PlanBatches(
            len(self.job.examples),
            args.train_batch_size,
            args.gradient_accumulation_steps,
            self.accelerator.num_processes,
            self.accelerator.process_index,
            args.dataloader_drop_last,
        )

    # the run and its epochs

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return self.batches.steps

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest row of the plan; a row that does not fit is an error, see :func:`check_lengths`."""
        return check_lengths(self)

    @property
    def adaptive(self) -> bool:
        """Whether the schedule learns from losses."""
        return bool(getattr(self.schedule, "adaptive", False))

    def make_plan(self, epoch: int) -> EpochPlan:
        """The plan of ``epoch`` as the schedule gives it now."""
        return make_plan(self.job.example_ids, self.schedule, epoch, self.args.order_seed)

    def begin_epoch(self, epoch: int) -> None:
        """Write the epoch's plan, or check the one that stands there, and let the batches follow it."""
        main = self.is_world_process_zero()
        with agreed():
            if main:
                self.plan = settle_plan(self.run_folder, self.make_plan(epoch), self.adaptive)
        if not main:  # only the main process has seen all losses
            self.plan = read_plan(plan_path(self.run_folder, epoch)) if self.adaptive else self.make_plan(epoch)
        assert self.plan is not None
        self.batches.set_plan(self.plan, self.job.example_ids, [p.id for p in self.job.prompts])

    def get_train_dataloader(self) -> DataLoader:
        """A loader over this process's share of the plan; it touches no global random state."""
        args = self.args
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            generator=torch.Generator().manual_seed(args.seed),
        )

    def _build_accelerator_args(self, **kwargs: Any) -> dict[str, Any]:
        """``torch_compile`` is ours to do, layer by layer: accelerate is told that there is nothing to compile."""
        plain = TorchDynamoPlugin(backend=DynamoBackend.NO.value.lower())
        return super()._build_accelerator_args(**kwargs) | {"dynamo_plugin": plain}

    def train(
        self, resume_from_checkpoint: str | os.PathLike[str] | bool | None = None, *args: Any, **kwargs: Any
    ) -> TrainOutput:
        """Train, going on from the newest complete checkpoint where the run folder has one.

        Args:
            resume_from_checkpoint: a checkpoint folder; False starts anew.

        Raises:
            OutputError: the run folder holds other work.
            EncodingError: a row is longer than ``max_length``.
            RunError: out of memory, or a loss that is not a number.
        """
        try:
            checkpoint = self._prepare_run(resume_from_checkpoint)
            if self._resumed is not None and self._resumed.stopped:
                return self._finish_from(checkpoint)
            return super().train(checkpoint, *args, **kwargs)
        except (MemoryError, RuntimeError) as bad:
            if not is_out_of_memory(bad):
                raise
            raise RunError(
                f"out of memory at step {self.state.global_step + 1}; --batch-tokens is {self.args.batch_tokens}\n"
                "lower it or add --gradient-checkpointing, and go on with --resume; or start anew with --qlora"
            ) from bad

    def _prepare_run(self, resume: str | os.PathLike[str] | bool | None) -> str | None:
        """Choose the checkpoint to go on from and how rows are laid out, and claim the run folder."""
        run = self.run_folder
        if isinstance(resume, str | os.PathLike):
            checkpoint: Path | None = Path(resume)
            checkpoints.require_complete(Path(resume))
        else:
            checkpoint = None if resume is False else checkpoints.newest_complete(run)
        self._resumed = checkpoints.read_progress(checkpoint) if checkpoint else None
        if checkpoint and self._resumed and not self._resumed.stopped:
            checkpoints.require_optimizer(checkpoint)
        if self.adaptive and self._resumed:
            raise InputError("a schedule that learns from losses cannot be resumed; start anew in another folder")
        check_same(self.job.work, self._resumed.step if self._resumed else 0)
        with agreed():
            _ = self.longest
            try_schedule(self, total_steps(self))
            if self.args.should_save:
                try_saving(self)
        self.packing = choose_packing(self)
        self.data_collator.packed = self.packing.attention is not None
        self.data_collator.padding = self.packing.padding
        with agreed():
            try_optimizer(self)  # after the rows that packing was tried on: some optimisers step in the backward pass
        with agreed():
            if self.is_world_process_zero():
                self._begin_folder()
        return str(checkpoint) if checkpoint else None

    def _begin_folder(self) -> None:
        """Claim the run folder and remove what lies beyond the checkpoint that the run goes on from."""
        run, step = self.run_folder, self._resumed.step if self._resumed else None
        settings = {n: getattr(self.args, n) for n in ("batch_tokens", "per_device_train_batch_size", "save_steps")}
        claim_folder(run, self.job.work, {"source": self.task.source, **settings})
        checkpoints.clear(run, after=step or 0)
        rewind_metrics(run, -1 if step is None else step)
        write_records(run, self.job.prompts, self.args.device, self.packing.record())

    def _finish_from(self, checkpoint: str | None) -> TrainOutput:
        """End a run that was stopped between its last checkpoint and its end."""
        assert checkpoint is not None
        assert self._resumed is not None
        self.state = TrainerState.load_from_json(os.path.join(checkpoint, "trainer_state.json"))
        self.restore_progress()
        best = self.run_folder / f"checkpoint-{self.state.best_global_step}"
        use_best = self.args.load_best_model_at_end and checkpoints.read_progress(best)
        self._load_from_checkpoint(str(best) if use_best else checkpoint)
        losses = [row["loss"] for row in self.state.log_history if "loss" in row]
        return TrainOutput(self._resumed.step, losses[-1] if losses else float("nan"), {})

    # validation

    def _draw_validation(self, args: PaftConfig, eval_prompts: PromptSet | None) -> None:
        self.cells: list[Cell] = []
        if eval_prompts is not None:
            self.cells = draw_cells(self.task, list(eval_prompts), args.eval_examples, args.seed)
            self.eval_items = encode_cells(self.cells, self.task.answers, self.encoder, args.on_long)
            self.eval_ended = begins_another(self.encoder, [self.task.answers])[0]

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss and likelihood accuracy over the validation cells; see :func:`evaluate_cells`.

        Raises:
            InputError: the trainer was given no ``eval_prompts``.
        """
        if not self.cells:
            raise InputError("there is nothing to validate on; give eval_prompts")
        model = self.model_wrapped if self.is_deepspeed_enabled or self.is_fsdp_enabled else self.model
        was_training = model.training
        model.eval()
        found = evaluate_cells(
            lambda micro: answer_losses(model, micro, self.accepted),
            self.cells,
            self.task,
            self.eval_items,
            self.data_collator,
            self.args.device,
            len(self.encoder.end_ids),
            self.eval_ended,
        )
        model.train(was_training)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _refuse_options(options: Mapping[str, Any]) -> None:
    """Refuse arguments of ``Trainer`` that this one would not heed."""
    for name in UNHEEDED:
        if options.get(name) is not None:
            raise InputError(f"{name} would have no effect: {type(options[name]).__name__} given; {UNHEEDED[name]}")


def _stock_callbacks(args: PaftConfig) -> Iterator[TrainerCallback]:
    if args.early_stopping_patience:
        yield EarlyStoppingCallback(args.early_stopping_patience)
    if not args.disable_tqdm:
        yield ProgressCallback()
