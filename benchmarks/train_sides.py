"""The programs that train_speed.py compares; each trains in a process of its own and waits for its turns."""

from __future__ import annotations

import os
import random
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from common import gpu_bytes, shared_data, wait_for_turn

LORA = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
K, STEP, PACKED_TOKENS = 4, 16, 480
GROUPED = {"train_sampling_strategy": "sequential"}  # the rows stand in the order of group_by_length
PEERS = {  # SFTConfig's fields; whether the head is the one TRL uses on CUDA
    "trl": (GROUPED, False),
    "trl-sorted": (GROUPED, True),
    "trl-padding-free": (GROUPED | {"padding_free": True, "max_length": None}, True),
    "trl-packed": ({"packing": True, "max_length": PACKED_TOKENS, "per_device_train_batch_size": 3}, True),
    "trl-compiled": (GROUPED | {"torch_compile": True}, True),
}
OURS = {  # PaftConfig's fields
    "paft": {"packing": "on"},
    "paft-padded": {"packing": "off"},
    "paft-compiled": {"packing": "on", "torch_compile": True},
}


@dataclass(frozen=True)
class Job:
    """One comparison: a model's shape, the precision, what is trained, how much, and where (``cpu`` or ``cuda``)."""

    shape: str
    sizes: dict[str, int]
    dtype: str
    adapter: bool
    examples: int
    rounds: int
    device: str = "cpu"


class Replay:
    """The prompts of epoch 0 in every epoch, so that each round works on the same tokens."""

    def __init__(self, prompts: Sequence[str], examples: Sequence[str]) -> None:
        self.of = {e: prompts[(i // K) * 7 % len(prompts)] for i, e in enumerate(examples)}

    def assign(self, epoch: int, example_ids: Sequence[str]) -> list[str]:
        return [self.of[e] for e in example_ids]

    def observe(self, epoch: int, prompt_ids: Sequence[str], losses: Sequence[float]) -> None:
        """Learns nothing."""


def load_rows(count: int) -> tuple[Any, Any, Replay]:
    """PIQA under real templates: (task, prompts, schedule); a prompt changes after every K examples.

    The rows are steps of the order in which Trainer's ``group_by_length`` goes through all of them: a small epoch of
    its own would leave it nothing to group.
    """
    from paft.models import load_tokenizer
    from paft.prompts import import_prompts, load_prompts
    from paft.tasks import load_task

    folder = shared_data()
    if folder is None:
        raise SystemExit("PIQA's rows are not here; put shared/data beside the checkout or set PAFT_SHARED_DATA")
    task = load_task("piqa", folder / "piqa")
    rows = list(task.examples("validation"))
    templates = folder / "prompts" / "robust_traindataset_piqa.xlsx"
    prompts = import_prompts(templates)[0] if templates.is_file() else load_prompts("piqa")
    schedule = Replay(prompts.ids, [e.id for e in rows])
    lengths = [len(e.input_ids) for e in encode(rows, prompts, schedule, load_tokenizer("embedded"))]
    kept = [rows[i] for i in grouped_by_length(lengths, count)]
    return replace(task, read=lambda split: kept), prompts, schedule


def grouped_by_length(lengths: Sequence[int], count: int) -> list[int]:
    """``count`` of the rows: whole steps of Trainer's own order by length, sets of 50 steps sorted each.

    Of many draws of steps it is the one that comes nearest to all of them in padding and in length.
    """
    import torch
    from transformers.trainer_pt_utils import get_length_grouped_indices

    order = get_length_grouped_indices(lengths, STEP, 50, torch.Generator().manual_seed(0))
    steps = [order[i : i + STEP] for i in range(0, len(order) - STEP + 1, STEP)]
    draws = random.Random(0)
    tried = (draws.sample(steps, min(len(steps), max(1, count // STEP))) for _ in range(2000))
    whole = shape_of(steps, lengths)

    def apart(drawn: Sequence[Sequence[int]]) -> float:
        return sum(abs(a / b - 1) for a, b in zip(shape_of(drawn, lengths), whole, strict=True))

    return [row for step in min(tried, key=apart) for row in step]


def shape_of(steps: Sequence[Sequence[int]], lengths: Sequence[int]) -> tuple[float, float]:
    """(tokens with padding over those without, tokens of a row)."""
    tokens = sum(lengths[row] for step in steps for row in step)
    padded = sum(max(lengths[row] for row in step) * len(step) for step in steps)
    return padded / tokens, tokens / sum(map(len, steps))


def encode(examples: Sequence[Any], prompts: Any, schedule: Replay, tokenizer: Any) -> list[Any]:
    """The rows of an epoch, tokenised as the trainer does."""
    from paft.models import Encoder
    from paft.training.batches import PlanDataset, Row

    ids = list(prompts.ids)
    dataset = PlanDataset(examples, list(prompts), Encoder(tokenizer), "error")
    rows = [Row(i, i, ids.index(schedule.of[e.id])) for i, e in enumerate(examples)]
    return [item.encoding for item in dataset.encode(rows)]


def build_model(job: Job) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**job.sizes, max_position_embeddings=1024, pad_token_id=0, attn_implementation=kernel(job))
    if job.device == "cpu":
        model = LlamaForCausalLM(config)
        return model.to(torch.bfloat16) if job.dtype == "bfloat16" and job.adapter else model
    with torch.device(job.device):  # a large one never stands in float32, nor in the host's memory
        return LlamaForCausalLM._from_config(config, dtype=getattr(torch, job.dtype if job.adapter else "float32"))


def kernel(job: Job) -> str:
    """The attention of all sides: FlashAttention where it is installed, else torch's own."""
    from transformers.utils import is_flash_attn_2_available

    flash = job.device == "cuda" and job.dtype == "bfloat16" and is_flash_attn_2_available()
    return "flash_attention_2" if flash else "sdpa"


def measure(pipe: Connection, name: str, job: Job) -> None:
    """A side's process: parity first, then an epoch a turn."""
    import datasets
    import torch
    from transformers import logging
    from transformers.utils.logging import disable_progress_bar

    warnings.filterwarnings("ignore")
    datasets.disable_progress_bars()
    if job.device == "cpu":
        torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    logging.set_verbosity_error()
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_ours(name, job, folder) if name in OURS else build_trl(name, job, folder)
        trainer.add_callback(turns(pipe, trainer, job, name in OURS))
        trainer.train()


def build_ours(name: str, job: Job, folder: str) -> Any:
    from peft import LoraConfig

    from paft.models import load_tokenizer
    from paft.training import PaftConfig, PaftTrainer

    task, prompts, schedule = load_rows(job.examples)
    args = PaftConfig(**shared_settings(job, folder), dtype=job.dtype, **OURS[name])
    config = LoraConfig(**LORA) if job.adapter else None
    tokenizer = load_tokenizer("embedded")
    return PaftTrainer(build_model(job), args, task, prompts, config, schedule, processing_class=tokenizer)


def build_trl(name: str, job: Job, folder: str) -> Any:
    import trl.trainer.utils
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from paft.models import load_tokenizer

    options, on_cuda = PEERS[name]
    os.environ["ACCELERATE_DYNAMO_USE_DYNAMIC"] = "true"  # else what is compiled first serves one length only
    if on_cuda and job.device == "cpu":  # score the supervised positions alone, as TRL does where there is Triton
        trl.trainer.utils._use_triton = lambda device: True
    tokenizer = load_tokenizer("embedded")
    task, prompts, schedule = load_rows(job.examples)
    encodings = encode(task.examples("train"), prompts, schedule, tokenizer)
    masks = [[int(i >= e.answer_start) for i in range(len(e.input_ids))] for e in encodings]
    data = Dataset.from_dict({"input_ids": [e.input_ids for e in encodings], "completion_mask": masks})
    half = job.dtype == "bfloat16"
    settings = shared_settings(job, folder) | {"completion_only_loss": True, "max_length": 1024, "bf16": half} | options
    config = LoraConfig(**LORA) if job.adapter else None
    args = SFTConfig(**settings, gradient_checkpointing=False)
    return SFTTrainer(build_model(job), args, train_dataset=data, processing_class=tokenizer, peft_config=config)


def shared_settings(job: Job, folder: str) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "output_dir": folder,
        "use_cpu": job.device == "cpu",
        "disable_tqdm": True,
        "save_strategy": "no",
    }
    plain |= {"num_train_epochs": job.rounds + 1, "per_device_train_batch_size": STEP, "learning_rate": 1e-5}
    return plain | {"report_to": [], "logging_steps": 1000, "dataloader_num_workers": 0}


def turns(pipe: Connection, trainer: Any, job: Job, ours: bool) -> Any:
    """The callback that makes a trainer show its gradients first and wait at each epoch for its turn."""
    from transformers import TrainerCallback

    class Turns(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            pipe.send(gradients(trainer, kwargs["train_dataloader"], ours))

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.clock = wait_for_turn(pipe, job.device)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            pipe.send((*self.clock.read(), gpu_bytes(job.device)))

    return Turns()


def gradients(trainer: Any, loader: Any, ours: bool) -> dict[str, Any]:
    """Loss and gradients of a whole epoch, as the trainer's own step computes them; weights stay as they are."""
    import torch

    trained = {n.replace("module.", ""): p for n, p in trainer.model.named_parameters() if p.requires_grad}
    for index, (name, p) in enumerate(sorted(trained.items())):
        if "lora_" in name:  # the same on all sides; one half is zero at first, and then the other has no gradient
            with torch.no_grad():
                p.copy_(torch.empty(p.shape).normal_(0, 0.02, generator=torch.Generator().manual_seed(index)))
    if ours:
        trainer.stream.begin_epoch(0)
    batches = list(loader)
    labels = [b["answer_tokens"] if ours else int((b["labels"][:, 1:] != -100).sum()) for b in batches]
    total = torch.tensor(sum(labels), device=trainer.args.device)
    loss = 0.0
    for batch in batches:
        if ours:
            trainer.get_batch_samples(iter([batch]), 1, trainer.args.device)
        loss += float(trainer.training_step(trainer.model_wrapped, batch, num_items_in_batch=total))
    found = {name: p.grad.float().cpu().clone().numpy() for name, p in sorted(trained.items())}
    trainer.model.zero_grad(set_to_none=True)
    return {"loss": loss, "answer_tokens": int(total), "gradients": found}
