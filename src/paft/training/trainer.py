"""PaftTrainer: ``transformers.Trainer`` that trains on a plan of examples and prompts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DynamoBackend, TorchDynamoPlugin
from peft import PeftConfig
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainerCallback, TrainerState
from transformers.trainer_callback import ProgressCallback as TqdmCallback
from transformers.trainer_utils import TrainOutput

from paft.errors import InputError
from paft.processes import agreed, check_same
from paft.prompts import PromptSet
from paft.schedule import Schedule
from paft.tasks.base import Task
from paft.training import checkpoints
from paft.training.batches import Collator, PlanDataset, plan_loader
from paft.training.callbacks import RunCallback, stock_callbacks
from paft.training.clock import Clock
from paft.training.config import PaftConfig
from paft.training.objective import AnswerLoss, Objective
from paft.training.packing.layout import Packing
from paft.training.packing.loss import answer_losses
from paft.training.packing.micro import ACCELERATOR_START_TOKENS, IGNORED, Item
from paft.training.preflight import begin, check_lengths
from paft.training.saving import require_filled
from paft.training.setup import Job, ModelLike, prepare, refuse_options, settle_job
from paft.training.sharding import gather_whole, warn_if_whole
from paft.training.steps import Steps, memory_told
from paft.training.stream import Stream
from paft.training.validation import Validation


class PaftTrainer(Trainer):
    """Fine-tunes a causal language model while the prompt changes along a plan (Algorithm 1 of the paper).

    Trainer's loop calls its hooks; what they do is done by parts of their own.

    Attributes:
        job: what is trained; ``stream`` gives its rows, ``steps`` runs them, ``clock`` knows what was spent.
        objective: the loss of a micro-batch.
        packing: how rows are laid out.
        validation: what the run is validated on, if anything.

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

    args: PaftConfig
    model: Any
    model_wrapped: Any
    optimizer: Any
    train_dataset: Any
    data_collator: Any

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
        refuse_options(options)
        job = settle_job(model, args, task, prompts, peft_config, schedule, eval_prompts)
        self._set_up(job, model, processing_class, callbacks, trust_remote_code, options)

    @classmethod
    def of_job(
        cls, job: Job, model: ModelLike, callbacks: Sequence[TrainerCallback] = (), trust_remote_code: bool = False
    ) -> PaftTrainer:
        """The trainer of a job that :func:`paft.training.setup.settle_job` has settled, for its model.

        Raises:
            ModelError: a model that cannot be loaded.
            OutputError: the run folder holds other work.
        """
        trainer = cls.__new__(cls)
        trainer._set_up(job, model, None, callbacks, trust_remote_code, {})
        return trainer

    def _set_up(
        self,
        job: Job,
        model: ModelLike,
        tokenizer: PreTrainedTokenizerBase | None,
        callbacks: Sequence[TrainerCallback],
        trust_remote_code: bool,
        options: Mapping[str, Any],
    ) -> None:
        ready, args = prepare(job, model, tokenizer, trust_remote_code), job.args
        self.job, self.encoder = ready.job, ready.encoder
        self.accepted, self.kept_config = ready.accepted, ready.kept_config
        self.objective: Objective = AnswerLoss(self.accepted, args.label_smoothing_factor)
        self.packing, self.clock = Packing(), Clock()
        self.validation: Validation | None = None
        if job.eval_prompts is not None:
            self.validation = Validation.draw(job.task, list(job.eval_prompts), args, self.encoder)
        use_cache = getattr(ready.model.config, "use_cache", None)
        super().__init__(
            model=ready.model,
            args=args,
            train_dataset=PlanDataset(job.examples, job.prompts, self.encoder, args.on_long),
            eval_dataset=list(self.validation.cells) if self.validation else None,
            data_collator=Collator(ready.limits.pad_id(ready.tokenizer), args.batch_tokens),
            processing_class=ready.tokenizer,
            callbacks=[RunCallback(self), *stock_callbacks(args), *callbacks],
            **options,
        )
        for stock in (PrinterCallback, TqdmCallback):
            self.remove_callback(stock)
        warn_if_whole(args, self.sharded)
        if self.sharded:  # a micro-batch more costs messages, all weights where they are parted
            self.data_collator.start_tokens = args.batch_tokens
        elif args.device.type != "cpu":
            self.data_collator.start_tokens = ACCELERATOR_START_TOKENS
        if use_cache is not None:  # Trainer turned it off; forward is told each time, the saved config stays as it was
            self.model.config.use_cache = use_cache
        self.stream = Stream(self.job, self.accelerator.num_processes, self.accelerator.process_index)
        self.batches, self.steps = self.stream.batches, Steps(self.accelerator)

    # the run

    @property
    def run_folder(self) -> Path:
        """The folder of this run."""
        return Path(str(self.args.output_dir))

    @property
    def sharded(self) -> bool:
        """Whether FSDP or DeepSpeed parts the model among processes."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    @property
    def dropped(self) -> int:
        """Rows left out so far as too long."""
        return self.steps.dropped

    @property
    def tokens(self) -> int:
        """Tokens of this process's forward passes so far, padding counted."""
        return self.steps.tokens

    @cached_property
    def longest(self) -> Item | None:
        """The longest row of the plan; one that does not fit is an error, see :func:`check_lengths`."""
        return check_lengths(self.stream, self.train_dataset, self.data_collator)

    def get_train_dataloader(self) -> DataLoader:
        """A loader over this process's share of the plan."""
        return plan_loader(self.train_dataset, self.batches, self.data_collator, self.args)

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
        with memory_told(self.args.batch_tokens, lambda: self.state.global_step + 1):
            checkpoint = self._prepare_run(resume_from_checkpoint)
            if self.clock.resumed is not None and self.clock.resumed.stopped:
                return self._finish_from(checkpoint)
            return super().train(checkpoint, *args, **kwargs)

    def _prepare_run(self, resume: str | os.PathLike[str] | bool | None) -> str | None:
        """Choose the checkpoint to go on from and how rows are laid out, and claim the run folder."""
        checkpoint, self.clock.resumed = checkpoints.choose(self.run_folder, resume)
        resumed = self.clock.resumed
        self.stream.check_schedule(resumed)
        check_same(self.job.work, resumed.step if resumed else 0)
        with agreed():
            longest = self.longest
        self.packing = begin(self, self.stream, self.accepted, longest, resumed)
        self.data_collator.packed = self.packing.attention is not None
        self.data_collator.padding = self.packing.padding
        return str(checkpoint) if checkpoint else None

    def _finish_from(self, checkpoint: str | None) -> TrainOutput:
        """End a run that was stopped between its last checkpoint and its end."""
        assert checkpoint is not None
        assert self.clock.resumed is not None
        self.state = TrainerState.load_from_json(os.path.join(checkpoint, "trainer_state.json"))
        self.restore_progress()
        best = self.run_folder / f"checkpoint-{self.state.best_global_step}"
        use_best = self.args.load_best_model_at_end and checkpoints.read_progress(best)
        self._load_from_checkpoint(str(best) if use_best else checkpoint)
        losses = [row["loss"] for row in self.state.log_history if "loss" in row]
        return TrainOutput(self.clock.resumed.step, losses[-1] if losses else float("nan"), {})

    # one step

    def get_batch_samples(
        self, epoch_iterator: Iterable[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], torch.Tensor]:
        """The batches of one step on this process, and the answer tokens of the whole step on all."""
        return self.steps.take(epoch_iterator, num_batches)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward over the micro-batches of one batch; returns their part of the step's loss.

        Raises:
            RunError: the loss is not a number.
        """
        model.train()
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()  # schedule-free optimisers
        prepared: dict[str, Any] = self._prepare_inputs({"micro": inputs["micro"], "empty": self.data_collator.empty()})
        micros, ends_step = self.steps.level(prepared["micro"], prepared["empty"]), self.accelerator.sync_gradients

        def loss_of(micro: Any) -> torch.Tensor:
            with self.compute_loss_context_manager():
                return self.compute_loss(model, micro, num_items_in_batch=num_items_in_batch)

        total = self.steps.backward(model, micros, partial(self.packing.forward, self.model), loss_of)
        self.steps.require_finite(total, self.state.global_step + 1)
        if ends_step:
            self.stream.observe(self.steps.losses())
        return total

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """A micro-batch's part of the mean over the answer tokens of the whole step, in nats per token.

        Parts add up over micro-batches and accumulation; over processes their mean counts, so each is
        scaled by the number of processes.
        """
        loss = self.objective(model, inputs, self.packing.attention)
        self.steps.count(inputs, loss.rows)
        total = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return loss.total / total * self.accelerator.num_processes

    # what is saved

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save, then mark as complete, and only then remove older checkpoints."""
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        window = self.accelerator.gather(self._tr_loss.reshape(1)).mean().item()
        spent = self.clock.spent(self.accelerator, self.tokens)
        self.accelerator.wait_for_everyone()
        with agreed():
            if self.is_world_process_zero():
                step, stopped = self.state.global_step, self.control.should_training_stop
                counts = window, self._globalstep_last_logged, self.clock.seconds(), self.dropped, *spent
                progress = checkpoints.Progress(step, stopped, *counts, self.stream.state())
                checkpoints.seal(self.run_folder / f"checkpoint-{step}", progress)
                checkpoints.rotate(self.run_folder, limit, self.state.best_model_checkpoint)

    def restore_progress(self) -> None:
        """Take up what Trainer's own state leaves out: the loss since the last log line, counts, the schedule."""
        if self.clock.resumed is not None:
            self._tr_loss = torch.tensor(self.clock.resumed.window_loss, device=self.args.device)
            self._globalstep_last_logged = self.clock.resumed.window_start
            self.steps.dropped = self.clock.resumed.dropped
            self.stream.resume(self.clock.resumed)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, or its adapter, and the tokenizer; a sharded one is put together."""
        if not _internal_call:
            gather_whole(self.accelerator)
        super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        pickled = Path(output_dir or self.run_folder) / "training_args.bin"  # a pickle; config.yaml says the same
        pickled.unlink(missing_ok=True)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Trainer only warns where a checkpoint does not fill the model."""
        require_filled(self.model, load_result)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss and likelihood accuracy over the validation cells; see :class:`Validation`.

        Raises:
            InputError: the trainer was given no ``eval_prompts``.
        """
        if self.validation is None:
            raise InputError("there is nothing to validate on; give eval_prompts")
        model = self.model_wrapped if self.sharded else self.model
        was_training = model.training
        model.eval()
        losses = partial(answer_losses, model, accepted=self.accepted)
        found = self.validation.measure(losses, self.data_collator, self.args.device)
        model.train(was_training)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
