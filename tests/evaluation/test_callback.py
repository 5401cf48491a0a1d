"""Sweeping during training: numbers in the log, and training exactly as without it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from evaluation.sweep_tasks import make_task
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from paft.errors import InputError
from paft.evaluation import SweepCallback, sweep
from paft.evaluation.callback import same_random_state


class Rows(torch.utils.data.Dataset):
    def __init__(self, vocabulary: int) -> None:
        self.ids = torch.randint(3, vocabulary, (16, 9), generator=torch.Generator().manual_seed(4))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict:
        random.random()  # global generators are drawn from, as by augmentation
        return {"input_ids": self.ids[i], "labels": self.ids[i]}


def train(folder, output, make_callback=None, attach=False):
    """Three epochs with dropout, so that any draw too many from a generator shows."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, attention_dropout=0.3)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config)
    arguments = TrainingArguments(
        output, num_train_epochs=3, per_device_train_batch_size=4, report_to=[], use_cpu=True, logging_steps=1,
        save_strategy="no", disable_tqdm=True, seed=3, learning_rate=1e-2,
    )  # fmt: skip
    callback = make_callback() if make_callback else None
    given = [callback] if callback and not attach else []
    trainer = Trainer(model, arguments, train_dataset=Rows(len(tokenizer)), processing_class=tokenizer, callbacks=given)
    if callback and attach:
        assert callback.attach(trainer) is callback
    trainer.train()
    return trainer, callback, (random.random(), np.random.random(), torch.rand(1).item())


@pytest.mark.parametrize("attach", [False, True])
def test_training_is_unchanged(attach, tiny_model_dir, tmp_path, prompts):
    folder, task = tiny_model_dir("llama"), make_task("label", 4)
    plain, _, plain_draws = train(folder, tmp_path / "plain")
    watched, callback, draws = train(
        folder, tmp_path / "watched", lambda: SweepCallback(task, prompts, every_steps=2), attach
    )
    for one, two in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert draws == plain_draws
    assert [step for step, _ in callback.results] == [2, 4, 6, 8, 10, 12]
    means = [result.mean for _, result in callback.results]
    logged = [row for row in watched.state.log_history if "sweep_mean" in row]
    assert [row["sweep_mean"] for row in logged] == means
    assert [row["step"] for row in logged] == [2, 4, 6, 8, 10, 12]
    assert {"sweep_std", "sweep_min", "sweep_top"} <= set(logged[0])
    assert [row["step"] for row in watched.state.log_history if "loss" in row] == list(range(1, 13))


def test_the_live_model_is_swept_each_epoch(tiny_model_dir, tmp_path, prompts):
    folder, task = tiny_model_dir("llama"), make_task("label", 4)
    trainer, callback, _ = train(folder, tmp_path, lambda: SweepCallback(task, prompts, split="test", limit=3))
    assert [step for step, _ in callback.results] == [4, 8, 12]
    first, last = callback.results[0][1], callback.results[-1][1]
    assert not np.allclose(first.loglik_pnk, last.loglik_pnk, atol=1e-2)
    tokenizer = trainer.processing_class
    assert np.allclose(last.loglik_pnk, sweep((trainer.model, tokenizer), task, prompts, limit=3).loglik_pnk, atol=1e-5)


def test_every_steps_is_checked(prompts):
    with pytest.raises(InputError, match="at least 1"):
        SweepCallback(make_task("label"), prompts, every_steps=0)


def test_same_random_state():
    def draw():
        return random.random(), np.random.random(), torch.rand(1).item()

    torch.manual_seed(1)
    with same_random_state():
        first = draw()
    assert draw() == first
