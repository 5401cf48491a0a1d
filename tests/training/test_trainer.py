"""The trainer around a step: methods, schedules of one's own, workers, and runs that fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from training.helpers import TEMPLATES, make_task, settings
from transformers import AutoModelForCausalLM

from paft.errors import EncodingError, InputError, ModelError, RunError
from paft.prompts import PromptSet
from paft.schedule import UniformSchedule
from paft.training import PaftTrainer, read_plan
from paft.training.lora import lora_config
from paft.training.plan import plan_path


def train(run: Path, model: Any, prompts: PromptSet, schedule: Any = None, **changes: Any) -> PaftTrainer:
    trainer = PaftTrainer(model, settings(run, **changes), make_task(), prompts, lora_config(), schedule)
    trainer.train()
    return trainer


def weights(trainer: PaftTrainer) -> dict[str, torch.Tensor]:
    return {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}


def test_methods_are_the_same_code_with_other_schedules(tiny_model_dir, tmp_path, prompts):
    plans = {}
    for method in ("paft", "static-mix", "user"):
        given = PromptSet([prompts["".join(prompts.ids[:1])]]) if method == "user" else prompts
        train(tmp_path / method, tiny_model_dir(), given, method=method)
        plans[method] = [read_plan(plan_path(tmp_path / method, e)) for e in range(2)]
    assert plans["paft"][0].example_ids == plans["static-mix"][0].example_ids == plans["user"][0].example_ids
    pairs = {m: [dict(zip(p.example_ids, p.prompt_ids, strict=True)) for p in ps] for m, ps in plans.items()}
    assert pairs["paft"][0] != pairs["paft"][1]
    assert pairs["static-mix"][0] == pairs["static-mix"][1]
    assert set(pairs["user"][0].values()) == {prompts.ids[0]}


def test_one_seed_decides_everything(tiny_model_dir, tmp_path, prompts):
    runs = [train(tmp_path / str(i), tiny_model_dir(), prompts, seed=seed) for i, seed in enumerate((3, 3, 4))]
    same, again, other = (weights(run) for run in runs)
    assert all(same[n].equal(again[n]) for n in same)
    assert not all(same[n].equal(other[n]) for n in same)
    plans = [read_plan(plan_path(tmp_path / str(i), 0)) for i in range(3)]
    assert plans[0] == plans[1]
    assert plans[0].example_ids != plans[2].example_ids
    assert plans[0].prompt_ids != plans[2].prompt_ids


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_change_nothing(persistent, tiny_model_dir, tmp_path, prompts):
    """Persistent workers live through both epochs: the plan must not be frozen into them."""
    alone = weights(train(tmp_path / "alone", tiny_model_dir(), prompts))
    options = {"dataloader_num_workers": 2, "dataloader_persistent_workers": persistent}
    helped = weights(train(tmp_path / "helped", tiny_model_dir(), prompts, **options))
    assert all(alone[n].equal(helped[n]) for n in alone)


def test_a_progress_bar_changes_nothing(tiny_model_dir, tmp_path, prompts, unseen):
    runs = []
    for quiet in (True, False):
        args = settings(tmp_path / str(quiet), disable_tqdm=quiet)
        trainer = PaftTrainer(tiny_model_dir(), args, make_task(), prompts, lora_config(), None, unseen)
        trainer.train()
        runs.append(weights(trainer))
    assert all(runs[0][n].equal(runs[1][n]) for n in runs[0])


class Curious(UniformSchedule):
    """Prefers, from the second epoch on, the prompt whose last losses were highest."""

    adaptive = True

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(ids)
        self.seen: list[tuple[int, list[str], list[float]]] = []

    def observe(self, epoch: int, prompt_ids: Sequence[str], losses: Sequence[float]) -> None:
        self.seen.append((epoch, list(prompt_ids), list(losses)))

    def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
        if epoch == 0:
            return super().assign(epoch, example_ids)
        pairs = [pair for _, ids, losses in self.seen for pair in zip(losses, ids, strict=True)]
        return [max(pairs)[1]] * len(example_ids)


def test_a_schedule_is_told_the_losses_it_caused(tiny_model_dir, tmp_path, prompts):
    schedule = Curious(prompts.ids)
    changes = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "batch_tokens": 150}
    trainer = train(tmp_path / "run", tiny_model_dir(), prompts, schedule, **changes)
    first = read_plan(plan_path(tmp_path / "run", 0))
    assert [len(ids) for _, ids, _ in schedule.seen] == [6] * 8
    told = [p for epoch, ids, _ in schedule.seen if epoch == 0 for p in ids]
    assert told == first.prompt_ids
    assert set(read_plan(plan_path(tmp_path / "run", 1)).prompt_ids) == {max_prompt(schedule)}
    logged = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    for (_, _, losses), step_loss in zip(schedule.seen, logged, strict=True):
        assert min(losses) <= step_loss <= max(losses)


def max_prompt(schedule: Curious) -> str:
    return max(p for epoch, ids, losses in schedule.seen if epoch == 0 for p in zip(losses, ids, strict=True))[1]


def test_an_adaptive_schedule_is_not_resumed_in_ignorance(tiny_model_dir, tmp_path, prompts):
    options = {"save_strategy": "steps", "save_steps": 5}
    train(tmp_path / "run", tiny_model_dir(), prompts, Curious(prompts.ids), **options)
    with pytest.raises(InputError, match="cannot be resumed"):
        train(tmp_path / "run", tiny_model_dir(), prompts, Curious(prompts.ids), **options)


@pytest.mark.parametrize("asked", [False, True])
def test_a_sample_that_nobody_asked_for_is_said(tiny_model_dir, tmp_path, prompts, caplog, monkeypatch, asked):
    monkeypatch.setattr("paft.training.setup.MOST_EXAMPLES", 20_000 if asked else 10)
    trainer = train(tmp_path / "run", tiny_model_dir(), prompts, max_examples=10)
    assert ("training on a sample of 10 of 24 examples" in caplog.text) is not asked
    plan = read_plan(plan_path(tmp_path / "run", 0))
    assert sorted(plan.example_ids) == sorted(e.id for e in make_task().examples("train", 10))
    assert trainer.state.global_step == 6


def test_long_rows_stop_the_run_before_it_starts_or_are_counted(tiny_model_dir, tmp_path, prompts):
    with pytest.raises(EncodingError, match=r"example 'train:\d+' under prompt .* more than --max-length 45"):
        train(tmp_path / "run", tiny_model_dir(), prompts, max_length=45)
    assert not (tmp_path / "run" / "config.yaml").exists()
    trainer = train(tmp_path / "run", tiny_model_dir(), prompts, max_length=45, on_long="drop")
    assert 0 < trainer.dropped < 48
    told = sum(len(r.example_ids) for r in (read_plan(plan_path(tmp_path / "run", e)) for e in range(2)))
    assert told == 48


def test_a_batch_too_small_for_one_example(tiny_model_dir, tmp_path, prompts):
    with pytest.raises(InputError, match=r"example 'train:\d+' under .* takes \d+ tokens, more than --batch-tokens 20"):
        train(tmp_path / "run", tiny_model_dir(), prompts, batch_tokens=20)


def test_a_loss_that_is_no_number(tiny_model_dir, tmp_path, prompts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir())
    with torch.no_grad():
        model.lm_head.weight[5] = float("nan")
    with pytest.raises(RunError, match="the loss is nan at step 1") as caught:
        train(tmp_path / "run", model, prompts)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(("packing", "call"), [("off", 3), ("on", 1), ("on", 8)])
def test_out_of_memory_says_what_to_change(packing, call, tiny_model_dir, tmp_path, prompts):
    """A layer that asks for more memory than there is: as packed rows are compared with padded ones, or later."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir())
    calls = []

    def greedy(*_: Any) -> None:
        calls.append(1)
        if len(calls) == call:
            torch.empty(2**62, dtype=torch.uint8)

    model.model.layers[0].register_forward_pre_hook(greedy)
    with pytest.raises(RunError, match=r"out of memory at step \d; --batch-tokens is 4096\nlower it or add"):
        train(tmp_path / "run", model, prompts, packing=packing)


def test_what_a_trainer_refuses(tiny_model_dir, tmp_path, prompts, tiny_tokenizer):
    one = PromptSet([prompts[prompts.ids[0]]])
    with pytest.raises(InputError, match="--method paft needs at least two prompts, found 1; use --method user"):
        train(tmp_path, tiny_model_dir(), one)
    with pytest.raises(InputError, match="--method user trains on one prompt, found 6"):
        train(tmp_path, tiny_model_dir(), prompts, method="user")
    with pytest.raises(InputError, match="wrong_slot"):
        train(tmp_path, tiny_model_dir(), PromptSet.from_texts([*TEMPLATES, "{text} {hint} {wrong_slot} Answer:"]))
    with pytest.raises(ModelError, match="no such model folder"):
        train(tmp_path, tmp_path / "nowhere", prompts)

    class Elsewhere(UniformSchedule):
        def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
            return ["not-there"] * len(example_ids)

    with pytest.raises(InputError, match="the schedule gave the prompt 'not-there', which is not among"):
        train(tmp_path, tiny_model_dir(), prompts, Elsewhere(["a"]))
    from transformers import TrainingArguments

    plain = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    with pytest.raises(InputError, match="args must be a PaftConfig, found TrainingArguments"):
        PaftTrainer(tiny_model_dir(), plain, make_task(), prompts)
    assert list(tmp_path.iterdir()) == []
