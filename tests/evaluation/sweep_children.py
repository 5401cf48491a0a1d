"""Sweeps in processes of their own, which find each other as a launcher's would."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any


def be(rank: int, port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    import torch

    torch.set_num_threads(1)


def sweep_in_script(rank: int, port: int, model: str, folder: Path) -> None:
    """Before a process group is made, within, and after it is gone."""
    be(rank, port)
    import torch.distributed as dist
    from evaluation.sweep_tasks import make_task

    from paft import PromptSet, sweep

    prompts, task = PromptSet.load(folder / "prompts.jsonl"), make_task("label")
    first = sweep(model, task, prompts, output=folder / "before")
    dist.init_process_group("gloo")
    second = sweep(model, task, prompts, output=folder / "within")
    dist.barrier()
    dist.destroy_process_group()
    third = sweep(model, task, prompts, output=folder / "after")
    assert first.prediction_pn.tolist() == second.prediction_pn.tolist() == third.prediction_pn.tolist()


def sweep_alone_in_a_launch(rank: int, port: int, model: str, folder: Path) -> None:
    be(rank, port)
    from evaluation.sweep_tasks import make_task

    from paft import PromptSet, sweep

    if rank == 1:
        prompts = PromptSet.load(folder / "prompts.jsonl")
        sweep(model, make_task("label"), prompts, output=folder / "alone", alone=True)


def train_and_sweep(rank: int, port: int, folder: str, output: Path) -> None:
    """Train under DDP without and with a callback; save what this process saw."""
    be(rank, port)
    import torch
    from evaluation.sweep_tasks import make_task

    from paft import PromptSet, SweepCallback

    prompts, task = PromptSet.load(output / "prompts.jsonl"), make_task("label")
    plain, _, _ = train(folder, output / "plain", None)
    callback = SweepCallback(task, prompts, split="test", every_steps=2)
    watched, trainer, forwards = train(folder, output / "watched", callback)
    logged = [row for row in trainer.state.log_history if "sweep_mean" in row]
    found = {"plain": plain, "watched": watched, "results": callback.results, "logged": logged, "forwards": forwards}
    found["modes"] = [m.training for m in trainer.model.modules()]
    found["refused"] = refusals(folder, callback)
    torch.save(found, output / f"rank-{rank}.pt")


def train(folder: str, output: Path, callback: Any) -> tuple[dict[str, Any], Any, int]:
    import numpy as np
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, attention_dropout=0.3)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config)
    forwards: list[int] = []
    model.model.register_forward_pre_hook(lambda module, args: forwards.append(0 if module.training else 1))
    ids = torch.randint(3, len(tokenizer), (16, 9), generator=torch.Generator().manual_seed(4))
    arguments = TrainingArguments(
        str(output), num_train_epochs=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, logging_steps=1,
        save_strategy="no", disable_tqdm=True, seed=3, learning_rate=1e-2, ddp_backend="gloo",
    )  # fmt: skip
    rows = [{"input_ids": row, "labels": row} for row in ids]
    trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    if callback is not None:
        callback.attach(trainer)
    trainer.train()
    draws = random.random(), np.random.random(), torch.rand(1).item()
    weights = {name: w.detach().clone() for name, w in model.state_dict().items()}
    return {"weights": weights, "draws": draws}, trainer, sum(forwards)


def refusals(folder: str, callback: Any) -> list[str]:
    """What is said about weights that are parted: really, and as DeepSpeed marks them."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers import AutoModelForCausalLM

    from paft.errors import InputError
    from paft.evaluation import sweep

    said = []
    for kind in ("fsdp", "zero3"):
        model = AutoModelForCausalLM.from_pretrained(folder)
        if kind == "fsdp":
            fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
        else:
            next(model.parameters()).ds_id = 0
        try:
            if kind == "fsdp":
                callback.on_train_begin(None, None, None, model=model)
            else:
                sweep((model, None), callback.task, callback.prompts)
        except InputError as bad:
            said.append(str(bad).removeprefix("process 0 of 2: ").removeprefix("process 1 of 2: "))
    return said
