"""A model that vLLM runs, ready to be swept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import AutoConfig, GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

from paft.errors import InputError, ModelError
from paft.evaluation.backend import Measured
from paft.evaluation.candidates import Candidates, answer_end
from paft.evaluation.cells import refuse_other_work
from paft.evaluation.dating import dated
from paft.evaluation.identity import tokens_identity
from paft.evaluation.local.backend import Scorer, answer_room, end_ids
from paft.evaluation.options import Options
from paft.evaluation.vllm.backend import VllmCandidates, VllmGenerate
from paft.evaluation.vllm.engine import Engine, Settings, adapter_path
from paft.evaluation.vllm.files import local_folder, lora_room
from paft.evaluation.vllm.model import VllmModel
from paft.models import Encoder, ModelSource, load_tokenizer
from paft.models.identity import folder_digest
from paft.models.loading import DTYPES, refuse_changed_base, refuse_other_architecture
from paft.models.source import ADAPTER_CONFIG
from paft.tasks.base import Example, Task


def measure_vllm(
    model: VllmModel,
    source: ModelSource,
    task: Task,
    options: Options,
    examples: Sequence[Example],
    dtype: str,
    trust_remote_code: bool,
    output: str | os.PathLike[str] | None,
    identity: Mapping[str, Any],
    say: Callable[[str], None] | None = None,
) -> Measured:
    """A model loaded by vLLM; what can be refused is refused before that, since it takes a while.

    Raises:
        OutputError: ``output`` holds other work.
        InputError, ModelError: the model, the adapter or vLLM itself does not fit the call.
    """
    given = dtype if dtype == "auto" else _named(dtype)
    folder = local_folder(source.base, trust_remote_code)
    adapter = None if source.adapter is None else local_folder(source.adapter)
    room = 0 if adapter is None else lora_room(adapter)
    tokenizer = load_tokenizer(source, trust_remote_code)
    config = _config(folder, trust_remote_code)
    if adapter is not None:
        refuse_other_architecture(config.model_type, str(adapter), source.base)
        refuse_changed_base(source)
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    longest = min(options.max_length, positions or options.max_length)
    encoder = Encoder(tokenizer, longest, options.chat, options.date)
    weights = f"files {folder_digest(folder)}"
    if adapter is not None:
        weights += f" and {folder_digest(adapter, ADAPTER_CONFIG)}"
    ends = end_ids(encoder, _generation(folder, config)) if options.scoring_of(task) == "generate" else None
    end = _answer_end(encoder, task, options, examples)
    decides = {**model.identity, "weights": weights, "answer_end": end}
    decides |= {**tokens_identity(encoder, ends), **dated(encoder)}
    if output is not None:
        refuse_other_work(output, {**identity, **decides})
    engine = _engine(
        model,
        Settings(
            model=str(folder.resolve()),
            tokenizer=str(tokenizer.name_or_path),
            adapter=adapter_path(adapter),
            lora_room=room,
            dtype=given,
            max_length=encoder.max_length,
            trust_remote_code=trust_remote_code,
            tensor_parallel=model.tensor_parallel,
            gpu_memory=model.gpu_memory,
            args=dict(model.args),
        ),
        weights,
        say,
    )
    return Measured(
        scorer=_scorer(engine, encoder, tokenizer, task, options, examples, ends),
        scoring=options.scoring_of(task),
        identity={**decides, "dtype": engine.dtype},
        record={
            "model": model.name,
            "adapter": source.adapter,
            "dtype": engine.dtype,
            "answer_end": end,
            **dated(encoder),
            "backend": "vllm",
            "vllm": engine.version,
        },
        running=nullcontext(),
    )


def refuse_vllm_options(batch_tokens: int | None, device: str) -> None:
    """Refuse options that only a model in this process takes.

    Raises:
        InputError: one of them is given.
    """
    if batch_tokens is not None:
        raise InputError(
            "--batch-tokens is for a model in this process; for vLLM, "
            f"""--vllm-args '{{"max_num_batched_tokens": {batch_tokens}}}'"""
        )
    if device != "auto":
        raise InputError("--device is for a model in this process; for vLLM, choose GPUs with CUDA_VISIBLE_DEVICES")


def _engine(model: VllmModel, settings: Settings, weights: str, say: Callable[[str], None] | None) -> Engine:
    """The engine that ``model`` holds where it is the one wanted, else a new one in its place."""
    wanted = {**asdict(settings), "weights": weights}
    if model.engine is None or model.engine[0] != wanted:
        if say is not None:
            say(f"starting vLLM with {model.name}")
        model.engine = None  # free the GPUs first
        model.engine = wanted, Engine(settings)
    engine: Engine = model.engine[1]
    return engine


def _scorer(
    engine: Engine,
    encoder: Encoder,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    options: Options,
    examples: Sequence[Example],
    ends: frozenset[int] | None,
) -> Scorer:
    if ends is None:
        return VllmCandidates(engine, encoder, tokenizer, task, options)
    room = answer_room(tokenizer, task, options, examples)
    return VllmGenerate(engine, encoder, tokenizer, task, options, room, ends)


def _answer_end(encoder: Encoder, task: Task, options: Options, examples: Sequence[Example]) -> str | None:
    scoring = options.scoring_of(task)
    return None if scoring == "generate" else answer_end(Candidates(task, scoring, encoder), encoder, examples)


def _generation(folder: Path, config: PretrainedConfig) -> GenerationConfig:
    """The model's generation settings."""
    try:
        return GenerationConfig.from_pretrained(folder)
    except OSError:  # there are none: they follow from the model's own
        return GenerationConfig.from_model_config(config)


def _config(folder: Path, trust_remote_code: bool) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as bad:
        if "trust_remote_code" in str(bad):
            raise ModelError(
                f"{folder} wants to run code of its own; give --trust-remote-code if you trust it"
            ) from bad
        raise ModelError(f"cannot read the settings of {folder}: {str(bad).strip().splitlines()[0][:300]}") from bad


def _named(dtype: str) -> str:
    """The dtype's full name."""
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}; expected auto, float32, bfloat16 or float16")
    return str(DTYPES[dtype]).removeprefix("torch.")
