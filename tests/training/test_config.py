"""Defaults of the paper, and settings that cannot be."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from training.helpers import TEMPLATES, make_task, settings
from transformers import IntervalStrategy, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from paft.errors import InputError
from paft.prompts import PromptSet
from paft.training import PaftConfig, PaftTrainer


def test_defaults_are_the_papers(tmp_path):
    args = PaftConfig(output_dir=str(tmp_path))
    assert (args.examples_per_prompt, args.num_train_epochs, args.max_length, args.max_examples) == (4, 3, 1024, 20_000)
    assert (args.learning_rate, args.lr_scheduler_type.value, args.warmup_steps) == (1e-4, "cosine", 0.1)
    assert args.get_warmup_steps(200) == 20
    assert (args.seed, args.report_to, args.activation_checkpointing) == (0, [], False)
    assert args.batch_tokens == 4096


def test_only_own_fields_and_other_defaults_are_stated():
    theirs = {f.name: f for f in fields(TrainingArguments)}
    for name in PaftConfig.__annotations__:
        if name in theirs:
            own = PaftConfig.__dataclass_fields__[name]
            assert (own.default, own.default_factory) != (theirs[name].default, theirs[name].default_factory), name
            assert own.metadata["help"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples_per_prompt": 0}, "--examples-per-prompt must be at least 1, found 0"),
        ({"seed": -1}, "--seed must be at least 0, found -1"),
        ({"num_train_epochs": 0}, "--num-train-epochs must be more than 0"),
        ({"per_device_train_batch_size": 0}, "--per-device-train-batch-size must be at least 1"),
        ({"method": "magic"}, "unknown method 'magic'; expected one of paft, static-mix, user"),
        ({"on_long": "cut"}, "unknown on_long 'cut'; expected one of error, drop"),
        ({"chat": "maybe"}, "unknown chat 'maybe'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"dtype": "float32", "bf16": True}, "--dtype float32 and --bf16 contradict each other"),
        ({"dtype": "float16"}, "float16 training needs a GPU"),
        ({"auto_find_batch_size": True}, "lower --batch-tokens instead"),
        ({"data_seed": -1}, "--data-seed must be at least 0, found -1"),
        (
            {"train_sampling_strategy": "group_by_length"},
            "--train-sampling-strategy group_by_length would have no effe",
        ),
        ({"train_sampling_strategy": "sequential"}, r"the plan orders the rows \(--data-seed\)\nleave it out"),
        ({"length_column_name": "size"}, "--length-column-name size would have no effect"),
        ({"dataloader_in_order": False}, "--dataloader-in-order False would have no effect"),
        ({"label_names": ["labels"]}, "the labels are the tokens of the task's answers"),
        ({"average_tokens_across_devices": False}, "the mean over the answer tokens of a step, on all devices"),
        ({"bf16_full_eval": True}, r"validation runs in the dtype of the run \(--dtype\)"),
        ({"fp16_full_eval": True}, "--fp16-full-eval True would have no effect"),
        ({"include_for_metrics": ["loss"]}, "validation reports eval_loss and eval_accuracy"),
        ({"batch_eval_metrics": True}, "--batch-eval-metrics True would have no effect"),
        ({"include_num_input_tokens_seen": "all"}, "result.json tells the tokens of a run"),
        ({"ignore_data_skip": True}, "a resumed run goes on at the row where it stopped"),
        ({"resume_from_checkpoint": "x"}, r"\(--resume\)"),
        ({"accelerator_config": {"split_batches": True}}, "split_batches of --accelerator-config would have no effect"),
        ({"accelerator_config": {"even_batches": False}}, "batches are dealt out from the plan"),
    ],
)
def test_settings_that_cannot_be(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        settings(tmp_path, **changes)


def test_defaults_in_other_words_are_no_settings(tmp_path):
    assert settings(tmp_path, include_num_input_tokens_seen=False, include_for_metrics=[], data_seed=7).order_seed == 7
    assert settings(tmp_path, seed=3, accelerator_config={"split_batches": False}).order_seed == 3


@pytest.mark.parametrize("name", ["compute_loss_func", "compute_metrics", "preprocess_logits_for_metrics"])
def test_arguments_of_trainer_that_are_not_heeded(name, tiny_model_dir, tmp_path):
    prompts = PromptSet.from_texts(TEMPLATES)
    with pytest.raises(InputError, match=f"{name} would have no effect"):
        PaftTrainer(tiny_model_dir("llama"), settings(tmp_path), make_task(), prompts, **{name: print})


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's choice")
def test_dtype_sets_the_flags_of_trainer(tmp_path):
    assert not settings(tmp_path).bf16
    args = PaftConfig(output_dir=str(tmp_path), dtype="bf16")
    assert (args.bf16, args.fp16, args.use_cpu) == (True, False, True)
    assert PaftConfig(output_dir=str(tmp_path), bf16=True).dtype == "bfloat16"


@pytest.mark.filterwarnings("error::FutureWarning")
def test_gradient_checkpointing_is_known_by_both_names(tmp_path):
    assert settings(tmp_path, gradient_checkpointing=True).activation_checkpointing
    assert settings(tmp_path, activation_checkpointing=True).activation_checkpointing
    assert settings(tmp_path, gradient_checkpointing=True).recomputes
    assert not settings(tmp_path).recomputes


def test_a_best_checkpoint_is_saved_when_it_is_evaluated(tmp_path):
    args = settings(tmp_path, load_best_model_at_end=True, save_strategy="steps")
    assert args.eval_strategy == IntervalStrategy.EPOCH
    assert args.save_strategy == SaveStrategy.EPOCH
    args = settings(tmp_path, load_best_model_at_end=True, eval_strategy="steps", eval_steps=7)
    assert (args.save_strategy, args.save_steps) == (SaveStrategy.STEPS, 7)
    assert settings(tmp_path, early_stopping_patience=2).metric_for_best_model == "loss"
