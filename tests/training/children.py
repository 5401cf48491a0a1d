"""Trainings in processes of their own: some kill themselves, for good, at a chosen moment; some share the work."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

TOTAL_STEPS = 10


def arguments(model: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Arguments of ``train()``: 2 epochs of 5 steps, checkpoints between log lines, dropout, validation."""
    from training.helpers import TEMPLATES, UNSEEN, make_task

    from paft.prompts import PromptSet

    plain = {
        "model": model,
        "task": make_task(train=24, validation=3),
        "prompts": PromptSet.from_texts(TEMPLATES),
        "eval_prompts": PromptSet.from_texts(UNSEEN),
        "output": output,
        "device": "cpu",
        "lora_dropout": 0.1,
        "per_device_train_batch_size": 5,
        "num_train_epochs": 2,
        "learning_rate": 3e-3,
        "logging_steps": 3,
        "save_steps": 2,
        "save_total_limit": 1,
        "eval_examples": 4,
        "chat": "off",
        "disable_tqdm": True,
        "say": lambda text: None,
    }
    return plain | changes


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(moment: str, model: Path, output: Path, changes: dict[str, Any]) -> None:
    """Train until ``moment``; the process does not live to return."""
    import torch

    torch.set_num_threads(1)
    from paft.training import train

    callbacks = [MOMENTS[moment]()] if moment in MOMENTS else []
    train(**arguments(model, output, **changes), callbacks=[c for c in callbacks if c is not None])


def at_step(step: int) -> Any:
    from transformers import TrainerCallback

    class Killer(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs) -> None:
            if state.global_step == step:
                die()

    return Killer()


def in_the_middle_of_a_log_line() -> Any:
    from paft.training import callbacks, records

    def half(folder: Path, line: dict[str, Any]) -> None:
        if line["step"] < 6:
            return records.append_metrics(folder, line)
        with (folder / records.METRICS).open("a") as out:
            out.write('{"step": 6, "lo')
        die()

    callbacks.append_metrics = half


def saving(method: str, half: str | None = None) -> Any:
    """Die in the second save, within ``method`` of the trainer; ``half`` names a file to cut in half."""
    from paft.training import PaftTrainer

    original = getattr(PaftTrainer, method)

    def deadly(self: Any, folder: str, *args: Any) -> None:
        original(self, folder, *args)
        if self.state.global_step >= 4 and "checkpoint-" in str(folder):
            if half:
                os.truncate(Path(folder) / half, (Path(folder) / half).stat().st_size // 2)
            die()

    setattr(PaftTrainer, method, deadly)


def before_the_marker() -> Any:
    from paft.training import checkpoints

    original = checkpoints.write_json

    def deadly(path: Path, value: Any) -> None:
        if path.parent.name == "checkpoint-4":
            die()
        original(path, value)

    checkpoints.write_json = deadly


def removing(after_marker: bool) -> Any:
    """Die while the old checkpoint is removed: before anything of it is gone, or with its marker gone."""
    from paft.training import checkpoints

    def deadly(folder: Path) -> None:
        if after_marker:
            (folder / checkpoints.MARKER).unlink()
            next(iter(folder.glob("*.safetensors"))).unlink()
        die()

    checkpoints.remove = deadly


def saving_the_result() -> Any:
    """Die at the end, with the final adapter half written."""
    from paft.training import PaftTrainer

    original = PaftTrainer.save_model

    def deadly(self: Any, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if _internal_call:  # a checkpoint
            return original(self, output_dir, _internal_call)
        (self.run_folder / "adapter_model.safetensors").write_bytes(b"half")
        die()

    PaftTrainer.save_model = deadly


MOMENTS = {
    "before the first checkpoint": lambda: at_step(1),
    "between two checkpoints": lambda: at_step(5),
    "after an epoch's last step": lambda: at_step(7),
    "in the middle of a log line": in_the_middle_of_a_log_line,
    "saving, weights written": lambda: saving("_save"),
    "saving, optimiser half written": lambda: saving("_save_optimizer_and_scheduler", "optimizer.pt"),
    "saving, all but the marker": before_the_marker,
    "saving, old one about to go": lambda: removing(False),
    "saving, old one half gone": lambda: removing(True),
    "saving the finished adapter": saving_the_result,
}


def train_share(rank: int, port: int, model: Path, output: Path, changes: dict[str, Any]) -> None:
    take_place(rank, port)
    train_here(model, output, changes)


def take_place(rank: int, port: int) -> None:
    """Be one of two processes, as a launcher would start it."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def train_sharded(rank: int, port: int, model: Path, output: Path, changes: dict[str, Any]) -> None:
    """A share of a run under FSDP 2, as ``accelerate launch`` would set it up."""
    take_place(rank, port)
    shard_on_cpu()
    os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}
    os.environ |= {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP", "FSDP_RESHARD_AFTER_FORWARD": "true"}
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    train_here(model, output, changes)


def train_by_deepspeed(rank: int, port: int, model: Path, output: Path, changes: dict[str, Any]) -> None:
    """A share of a run under DeepSpeed, which on a GPU would start its own process group by itself."""
    take_place(rank, port)
    os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed

    deepspeed.init_distributed("gloo", auto_mpi_discovery=False)
    train_here(model, output, changes)


def shard_on_cpu() -> None:
    """Let accelerate believe in GPUs: it starts FSDP only where it sees some, though torch shards on a CPU too."""
    import torch
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    def backend(self: Any, *args: Any, **kwargs: Any) -> tuple[str, DistributedType]:
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        return "gloo", DistributedType.MULTI_GPU

    def set_device(self: Any) -> None:
        self.device = torch.device("cpu")

    PartialState._prepare_backend = backend
    PartialState.set_device = set_device


def train_here(model: Path, output: Path, changes: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(1)
    from training.helpers import TEMPLATES, UNSEEN, make_task

    from paft.prompts import PromptSet
    from paft.training import train

    options: dict[str, Any] = {
        "num_train_epochs": 2,
        "learning_rate": 3e-3,
        "adam_epsilon": 1e-4,
        "device": "cpu",
        "chat": "off",
        "disable_tqdm": True,
        "logging_steps": 1,
        "eval_examples": 4,
        "save_steps": 3,
        "eval_prompts": PromptSet.from_texts(UNSEEN),
        "say": lambda text: None,
    }
    task = make_task(train=25, validation=3)
    train(model=model, task=task, prompts=PromptSet.from_texts(TEMPLATES), output=output, **(options | changes))


def keep_gradients(rank: int, port: int | None, model: Path, output: Path, changes: dict[str, Any]) -> None:
    """Train, and keep the gradient of every step, as the optimiser gets it, beside the run."""
    import torch
    from transformers import TrainerCallback

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
            found = {name: weight.grad for name, weight in kwargs["model"].named_parameters()}
            if rank == 0:
                torch.save(found, output.with_name(f"{output.name}-{state.global_step}.pt"))

    if port is not None:
        take_place(rank, port)
    train_here(model, output, changes | {"callbacks": [Keep()]})


def fail_in_one(rank: int, port: int, how: str, model: Path, output: Path, changes: dict[str, Any]) -> None:
    """Train while process 1 meets an error; what this process says of it is left beside the run."""
    from paft.errors import EncodingError, PaftError
    from paft.training import PaftTrainer, trainer

    take_place(rank, port)
    if rank == 1 and how == "row":
        settled = trainer.PlanDataset.__getitems__

        def refuse(self: Any, rows: Any) -> Any:
            return EncodingError("a row of process 1") if rows else settled(self, rows)

        trainer.PlanDataset.__getitems__ = refuse
    if rank == 1 and how == "loss":
        plain = PaftTrainer.compute_loss
        PaftTrainer.compute_loss = lambda *args, **kwargs: plain(*args, **kwargs) * float("nan")
    if rank == 0 and how == "folder":
        output.mkdir()
        (output / "config.yaml").write_text("method: other\n")
    if rank == 1 and how == "seed":
        changes = changes | {"seed": 5}
    try:
        train_here(model, output, changes)
    except PaftError as bad:
        output.with_name(f"said-{rank}").write_text(f"{type(bad).__name__}: {bad}")
