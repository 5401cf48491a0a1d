"""What prompts_ratio.py times, each in a process of its own: the same training, on one prompt or on many."""

from __future__ import annotations

import os
import string
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from multiprocessing.connection import Connection
from typing import Any

from common import wait_for_turn
from train_sides import LORA, Job, build_model, load_rows, shared_settings

MARKED = "{mark}. Goal: {{goal}}\n1) {{sol1}}\n2) {{sol2}}\nAnswer with A for 1) or B for 2):"


@dataclass(frozen=True)
class Asked:
    """A side: how many prompts, and which.

    Attributes:
        alike: the prompts are one text with another mark of as many tokens each; else they are real ones, and a
            single one is that of the middle length.
    """

    prompts: int
    alike: bool


def make_prompts(asked: Asked, tokenizer: Any) -> Any:
    """The prompts of a side; fewer than asked for where there are no more real ones."""
    from paft.prompts import Prompt, PromptSet

    if asked.alike:
        return PromptSet([Prompt.from_text(MARKED.format(mark=mark)) for mark in marks(asked.prompts, tokenizer)])
    task, prompts, _ = load_rows(64)
    if asked.prompts > 1:
        return PromptSet(list(prompts)[: asked.prompts])
    slots = [example.slots for example in task.examples("train")]
    length = {p.id: sum(map(len, tokenizer([p.render(s) for s in slots])["input_ids"])) for p in prompts}
    mean = sum(length.values()) / len(length)
    return PromptSet([min(prompts, key=lambda p: abs(length[p.id] - mean))])


def marks(count: int, tokenizer: Any) -> Sequence[str]:
    """Marks of three letters with which the template has as many tokens as with the first."""
    letters = map("".join, product(string.ascii_uppercase, repeat=3))
    wanted: list[str] = []
    length = 0
    for mark in letters:
        tokens = len(tokenizer(MARKED.format(mark=mark))["input_ids"])
        length = length or tokens
        if tokens == length:
            wanted.append(mark)
        if len(wanted) == count:
            return wanted
    raise SystemExit(f"the tokenizer gives only {len(wanted)} marks of one length, {count} are needed")


def trained(pipe: Connection, name: str, job: Job, asked: Asked) -> None:
    """A side's process: an epoch a turn, with its plan, rendering and tokenising; says seconds and tokens."""
    import torch
    from peft import LoraConfig
    from transformers import TrainerCallback, logging

    from paft.models import load_tokenizer
    from paft.training import PaftConfig, PaftTrainer

    class Turns(TrainerCallback):
        tokens = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.clock = wait_for_turn(pipe)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            pipe.send((*self.clock.read(), trainer.tokens - self.tokens))
            self.tokens = trainer.tokens
            if state.global_step < state.max_steps:  # the next epoch's plan is made in the next turn
                self.clock = wait_for_turn(pipe)

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    logging.set_verbosity_error()
    tokenizer = load_tokenizer("embedded")
    task, *_ = load_rows(job.examples)
    method = "user" if asked.prompts == 1 else "paft"
    with tempfile.TemporaryDirectory() as folder:
        args = PaftConfig(**shared_settings(job, folder), dtype=job.dtype, method=method)
        prompts = make_prompts(asked, tokenizer)
        trainer = PaftTrainer(
            build_model(job), args, task, prompts, LoraConfig(**LORA), processing_class=tokenizer, callbacks=[Turns()]
        )
        pipe.send(len(prompts))
        trainer.train()
