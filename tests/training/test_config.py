"""Defaults of the paper, and settings that cannot be."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from training.helpers import settings
from transformers import IntervalStrategy, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from paft.errors import InputError
from paft.training import PaftConfig


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
    ],
)
def test_settings_that_cannot_be(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        settings(tmp_path, **changes)


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


def test_a_best_checkpoint_is_saved_when_it_is_evaluated(tmp_path):
    args = settings(tmp_path, load_best_model_at_end=True, save_strategy="steps")
    assert args.eval_strategy == IntervalStrategy.EPOCH
    assert args.save_strategy == SaveStrategy.EPOCH
    args = settings(tmp_path, load_best_model_at_end=True, eval_strategy="steps", eval_steps=7)
    assert (args.save_strategy, args.save_steps) == (SaveStrategy.STEPS, 7)
    assert settings(tmp_path, early_stopping_patience=2).metric_for_best_model == "loss"
