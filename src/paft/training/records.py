"""What a run folder says about itself: config.yaml, environment.json, prompts.jsonl and metrics.jsonl."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import PeftConfig

from paft.errors import DataError, OutputError
from paft.files import atomic_writer, check_place, read_json, read_text, write_json
from paft.prompts import Prompt, PromptSet
from paft.tasks.base import Example
from paft.training.config import PaftConfig

CONFIG, ENVIRONMENT, PROMPTS, METRICS, RESULT = (
    "config.yaml",
    "environment.json",
    "prompts.jsonl",
    "metrics.jsonl",
    "result.json",
)
FORMAT_VERSION = 1
BASE = "base"  # a key of config.yaml: digests of tokenizer, chat template and weights
MERGED = "merged"  # a key of the config.yaml in the folder of a merged model
# settings that decide what comes out; the others may change when a run is continued
DECIDING = (
    "num_train_epochs max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args "
    "weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm label_smoothing_factor neftune_noise_alpha "
    "examples_per_prompt max_length on_long chat bf16 fp16 seed data_seed optim_target_modules "
    "dataloader_drop_last eval_strategy eval_steps eval_delay eval_examples early_stopping_patience "
    "load_best_model_at_end metric_for_best_model greater_is_better"
).split()
PACKAGES = ("paft", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy", "pyarrow")


def describe_work(
    *,
    args: PaftConfig,
    model: str,
    quantization: str | None,
    task: str,
    examples: Sequence[Example],
    prompts: Iterable[Prompt],
    eval_prompts: Iterable[Prompt] | None,
    peft_config: PeftConfig | None,
    schedule: str,
) -> dict[str, Any]:
    """Everything that decides the outcome of a run, as plain values: two runs that agree in it are the same."""
    settings = args.to_dict()
    data = digest([e.id, e.answer, sorted(e.slots.items())] for e in examples)
    return {
        "method": args.method,
        "model": model,
        "quantization": quantization,
        "task": task,
        "examples": {"count": len(examples), "digest": data},
        "prompts": describe_prompts(prompts),
        "eval_prompts": None if eval_prompts is None else describe_prompts(eval_prompts),
        "schedule": schedule,
        "adapter": None if peft_config is None else _adapter(peft_config),
        "examples_per_step": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "training": {name: settings[name] for name in DECIDING},
    }


def describe_prompts(prompts: Iterable[Prompt]) -> dict[str, Any]:
    """How many prompts, and a digest of their ids and texts."""
    rows = [[p.id, p.text] for p in prompts]
    return {"count": len(rows), "digest": digest(rows)}


def digest(rows: Iterable[Any]) -> str:
    """16 hex digits over the canonical JSON of the rows."""
    state = blake2b(digest_size=8)
    encode = json.JSONEncoder(ensure_ascii=True, sort_keys=True).encode  # json.dumps would make one for each row
    for row in rows:
        state.update(encode(row).encode() + b"\n")
    return state.hexdigest()


def _adapter(peft_config: PeftConfig) -> dict[str, Any]:
    left_out = {
        "base_model_name_or_path",
        "inference_mode",
        "revision",
        "auto_mapping",
        "peft_version",
        "runtime_config",
    }
    plain: dict[str, Any] = json.loads(
        json.dumps(peft_config.to_dict(), default=lambda v: sorted(v) if isinstance(v, set) else str(v))
    )
    return {k: v for k, v in plain.items() if k not in left_out and v not in (None, {}, [], False)}


def check_folder(folder: Path, work: Mapping[str, Any]) -> bool:
    """Whether ``folder`` holds this very work, begun or finished; False where it is free.

    Raises:
        OutputError: the folder holds something else.
    """
    if not (folder / CONFIG).is_file():
        strangers = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
        if strangers or folder.is_file():
            found = f" (found {strangers[0]})" if strangers else ""
            raise OutputError(f"{folder} is not empty and holds no training run{found}\ngive another output folder")
        check_place(folder)
        return False
    here, stored = _flat(_plain(work)), _flat(read_config(folder))
    if MERGED in stored:
        raise OutputError(f"{folder} holds a merged model, not a run\ngive another output folder")
    unsaid = {name for name in here if name.startswith(f"{BASE}.") and name not in stored}  # older folders
    changed = [name for name, value in here.items() if stored.get(name) != value and name not in unsaid]
    if changed:
        name = changed[0]
        raise OutputError(
            f"{folder} holds other work: {name} is {stored.get(name)!r} there and {here[name]!r} here\n"
            "give another output folder, or the same options as before"
        )
    return True


def kept_date(folder: Path, asked: str | None) -> str | None:
    """The day that a run in ``folder`` was begun with, else the one asked for.

    Raises:
        OutputError: the two differ.
    """
    training = read_config(folder).get("training") if (folder / CONFIG).is_file() else None
    kept = training.get("date") if isinstance(training, Mapping) else None
    if None not in (kept, asked) and str(kept) != asked:
        raise OutputError(
            f"{folder} holds other work: training.date is {str(kept)!r} there and {asked!r} here\n"
            "give another output folder, or the same --date as before"
        )
    return asked if kept is None else str(kept)


def claim_folder(folder: Path, work: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write config.yaml into a free folder.

    Raises:
        OutputError: the folder holds something else; nothing in it is touched.
    """
    if check_folder(folder, work):
        return
    with atomic_writer(folder / CONFIG) as out:
        record = {"format_version": FORMAT_VERSION, **work, "settings": settings}
        yaml.safe_dump(_plain(record), out, sort_keys=False, allow_unicode=True)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.yaml of a run.

    Raises:
        DataError: not YAML, or not a mapping.
    """
    path = folder / CONFIG
    try:
        stored = yaml.safe_load(read_text(path))
    except yaml.YAMLError as bad:
        raise DataError(f"{path} is not YAML: {str(bad).splitlines()[0]}") from None
    if not isinstance(stored, dict):
        raise DataError(f"{path} is not the record of a training run")
    return stored


def write_records(folder: Path, prompts: Iterable[Prompt], device: torch.device, packing: Mapping[str, Any]) -> None:
    """Write what is known before the first step: the prompts trained on, the environment, how rows are laid out."""
    PromptSet(prompts).save(folder / PROMPTS)
    write_json(folder / ENVIRONMENT, environment(device) | {"packing": packing})


def environment(device: torch.device) -> dict[str, Any]:
    """Versions and hardware, as environment.json holds them."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    on_gpu = device.type == "cuda"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": found,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "cuda": torch.version.cuda if on_gpu else None,
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "cpus": os.cpu_count(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else [],
    }


def append_metrics(folder: Path, line: Mapping[str, Any]) -> None:
    """Add one line to metrics.jsonl; a value that is not a finite number becomes null."""
    plain = {k: (None if isinstance(v, float) and v - v != 0 else v) for k, v in line.items()}
    with (folder / METRICS).open("a", encoding="utf-8") as out:
        out.write(json.dumps(plain) + "\n")


def rewind_metrics(folder: Path, step: int) -> None:
    """Keep the lines of metrics.jsonl up to ``step``; a run that goes on from there writes the rest again."""
    path = folder / METRICS
    if not path.is_file():
        return
    kept = [line for line in read_metrics(folder) if line["step"] <= step]
    with atomic_writer(path) as out:
        out.writelines(json.dumps(line) + "\n" for line in kept)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last one that a kill cut short is left out."""
    lines = read_text(folder / METRICS).split("\n") if (folder / METRICS).is_file() else []
    out = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            out.append(row)
    return out


def read_result(folder: Path) -> dict[str, Any] | None:
    """What a finished run says of itself; None where it is not finished."""
    path = folder / RESULT
    if not path.is_file():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or not {"seconds", "steps", "final_loss"} <= set(found):
        raise DataError(f"{path} is not what a finished run writes; remove the file and train again to write it anew")
    return found


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}.{key}" if name else key).items()}
