"""Loss, gradients and weights against a plain PyTorch loop that shares no code with the trainer.

The loop reads the plan file, fills templates with ``str.replace``, tokenises by itself and runs one example
at a time, without padding.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from conftest import FAMILIES
from training.helpers import make_task, settings
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from paft.training import PaftTrainer
from paft.training.lora import lora_config

NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
ACCUMULATED = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "batch_tokens": 130}
SPLITS: dict[str, dict[str, Any]] = {
    "padded": {"per_device_train_batch_size": 4, "packing": "off"},
    "packed": {"per_device_train_batch_size": 4, "packing": "on"},
    "alone": {"per_device_train_batch_size": 1, "packing": "off"},
    "padded and split": {"per_device_train_batch_size": 6, "batch_tokens": 130, "packing": "off"},
    "packed and split": {"per_device_train_batch_size": 6, "batch_tokens": 130, "packing": "on"},
    "accumulated, padded": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "packing": "off"},
    "accumulated, packed": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "packing": "on"},
    "accumulated, padded and split": ACCUMULATED | {"packing": "off"},
    "accumulated, packed and split": ACCUMULATED | {"packing": "on"},
}


class Recorder(TrainerCallback):
    """Keeps each step's gradients."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        self.gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})


def load(folder, family: str):
    options = NO_DROPOUT if family == "gpt2" else {}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)


def planned_rows(folder, epoch: int, task, prompts) -> list[tuple[str, str]]:
    """(prompt text, answer text) of each position, from the plan file."""
    table = pq.read_table(folder / "plan" / f"epoch-{epoch}.parquet").to_pydict()
    texts = {p.id: p.text for p in prompts}
    examples = {e.id: e for e in task.examples("train")}
    rows = []
    for example_id, prompt_id in zip(table["example_id"], table["prompt_id"], strict=True):
        text = texts[prompt_id]
        for slot, value in examples[example_id].slots.items():
            text = text.replace("{" + slot + "}", value)
        answer = examples[example_id].answer
        rows.append((text.rstrip(" \t"), answer if text.endswith("\n") else " " + answer))
    return rows


def backward(model, tokenizer, rows: list[tuple[str, str]]) -> float:
    """Gradients of the mean answer loss over ``rows``, one example at a time; returns that loss."""
    encoded: list[tuple[list[int], int]] = []
    for prompt, answer in rows:
        ids = tokenizer(prompt + answer)["input_ids"]
        head = tokenizer(prompt)["input_ids"]
        assert ids[: len(head)] == head
        encoded.append(([*ids, tokenizer.eos_token_id], len(head)))
    count = sum(len(ids) - start for ids, start in encoded)
    total = 0.0
    for ids, start in encoded:
        logits = model(input_ids=torch.tensor([ids])).logits[0].double()
        logp = torch.log_softmax(logits, -1)
        loss = -sum(logp[i - 1, ids[i]] for i in range(start, len(ids))) / count
        loss.backward()
        total += float(loss.detach())
    return total


def distance(found: torch.Tensor, wanted: torch.Tensor, scale: float) -> float:
    return float((found - wanted).norm() / max(float(wanted.norm()), 1e-3 * scale))


def run(model, tokenizer, tmp_path, prompts, **changes: Any):
    """(trainer, recorder) after training; gradients are not clipped unless asked."""
    recorder = Recorder()
    options = {
        "num_train_epochs": 1,
        "max_grad_norm": 0.0,
        "warmup_steps": 0,
        "lr_scheduler_type": "constant",
    } | changes
    peft_config = options.pop("peft_config", None)
    trainer = PaftTrainer(
        model,
        settings(tmp_path / "run", **options),
        make_task(),
        prompts,
        peft_config,
        processing_class=tokenizer,
        callbacks=[recorder],
    )
    return trainer, recorder


CASES = [
    (f, s)
    for f in FAMILIES
    for s in SPLITS
    if f in ("llama", "gpt2") or s in ("padded", "packed", "packed and split", "padded and split")
]


@pytest.mark.parametrize(("family", "split"), CASES)
def test_loss_and_gradients_of_each_step(family, split, tiny_model_dir, tmp_path, prompts):
    folder = tiny_model_dir(family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, twin = load(folder, family), load(folder, family)
    trainer, recorder = run(model, tokenizer, tmp_path, prompts, learning_rate=1e-12, max_steps=2, **SPLITS[split])
    trainer.train()
    step = trainer.batches.step
    rows = planned_rows(tmp_path / "run", 0, make_task(), prompts)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    for index in range(2):
        twin.zero_grad()
        loss = backward(twin, tokenizer, rows[index * step : (index + 1) * step])
        assert losses[index] == pytest.approx(loss, rel=1e-5)
        wanted = {n: p.grad for n, p in twin.named_parameters() if p.grad is not None}
        assert recorder.gradients[index].keys() == wanted.keys()
        scale = float(torch.stack([g.norm() for g in wanted.values()]).norm())
        worst = {n: distance(recorder.gradients[index][n], g, scale) for n, g in wanted.items()}
        assert max(worst.values()) < 1e-5, worst


@pytest.mark.parametrize("packing", ["on", "off"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("adapter", [True, False], ids=["lora", "full"])
def test_weights_after_two_epochs(family, adapter, packing, tiny_model_dir, tmp_path, prompts):
    """Clipping, AdamW and a cosine schedule with warm-up; a last step that is not full."""
    folder = tiny_model_dir(family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    changes = {"peft_config": lora_config()} if adapter else {}
    trainer, _ = run(
        load(folder, family),
        tokenizer,
        tmp_path,
        prompts,
        num_train_epochs=2,
        per_device_train_batch_size=7,
        batch_tokens=150,
        packing=packing,
        max_grad_norm=1.0,
        warmup_steps=2,
        lr_scheduler_type="cosine",
        learning_rate=1e-3,
        adam_epsilon=1e-4,  # where a gradient is rounding error alone (a key's bias), so is Adam's step
        **changes,
    )
    twin = deepcopy(trainer.model)
    trainer.train()
    trained = [p for p in twin.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.999), eps=1e-4, weight_decay=0.0)
    step, total = 0, 8
    for epoch in range(2):
        rows = planned_rows(tmp_path / "run", epoch, make_task(), prompts)
        for start in range(0, 24, 7):
            done = torch.tensor((step - 2) / (total - 2))
            share = step / 2 if step < 2 else 0.5 * (1 + torch.cos(torch.pi * done)).item()
            optimizer.param_groups[0]["lr"] = 1e-3 * share
            optimizer.zero_grad()
            backward(twin, tokenizer, rows[start : start + 7])
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            step += 1
    assert trainer.state.global_step == step == total
    for (name, found), wanted in zip(trainer.model.named_parameters(), twin.parameters(), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-7), (name, (found - wanted).abs().max())


@pytest.mark.parametrize("packing", ["on", "off"])
def test_gradient_checkpointing_changes_nothing(packing, tiny_model_dir, tmp_path, prompts):
    folder = tiny_model_dir("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for index, checkpointing in enumerate((False, True)):
        trainer, recorder = run(
            load(folder, "llama"),
            tokenizer,
            tmp_path / str(index),
            prompts,
            peft_config=lora_config(),
            max_steps=2,
            gradient_checkpointing=checkpointing,
            packing=packing,
        )
        trainer.train()
        assert bool(getattr(trainer.model.base_model.model.model, "gradient_checkpointing", False)) == checkpointing
        found.append(recorder.gradients)
    for without, with_it in zip(*found, strict=True):
        assert without.keys() == with_it.keys()
        assert all(torch.allclose(without[n], with_it[n], rtol=1e-5, atol=1e-8) for n in without)


@pytest.mark.parametrize("packing", ["on", "off"])
def test_bfloat16_on_the_cpu_trains_near_float32(packing, tiny_model_dir, tmp_path, prompts):
    folder = tiny_model_dir("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    losses = []
    for dtype in ("float32", "bfloat16"):
        options = {"dtype": dtype, "packing": packing, "max_steps": 3}
        trainer, _ = run(load(folder, "llama"), tokenizer, tmp_path / dtype, prompts, **options)
        trainer.train()
        losses.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    assert losses[1] != losses[0]
