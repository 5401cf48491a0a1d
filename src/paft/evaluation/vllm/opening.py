"""A model that vLLM runs, ready to be swept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from transformers import AutoConfig, GenerationConfig, PretrainedConfig

from paft.errors import InputError, ModelError
from paft.evaluation.answers.candidates import Candidates, answer_end
from paft.evaluation.answers.reader import AnswerReader
from paft.evaluation.answers.written import end_ids, most_new_tokens, tokens_counted
from paft.evaluation.backend import Work, refuse_several
from paft.evaluation.cells import refuse_other_work
from paft.evaluation.dating import dated
from paft.evaluation.identity import tokens_identity
from paft.evaluation.pairs import Rows
from paft.evaluation.vllm.backend import VllmBackend
from paft.evaluation.vllm.engine import Engine, Settings, adapter_path
from paft.evaluation.vllm.files import local_folder, lora_room
from paft.evaluation.vllm.model import VllmModel
from paft.models import Encoder, load_tokenizer
from paft.models.identity import folder_digest
from paft.models.loading import DTYPES, refuse_changed_base, refuse_other_architecture
from paft.models.source import ADAPTER_CONFIG


@contextmanager
def open_vllm(work: Work) -> Iterator[VllmBackend]:
    """Have vLLM load the model; what can be refused is refused before that, since it takes a while.

    Raises:
        OutputError: the output folder holds other work.
        InputError, ModelError: the model, the adapter or vLLM itself does not fit the call.
    """
    model, source, task, options = work.model, work.source, work.task, work.options
    assert isinstance(model, VllmModel)
    assert source is not None  # it has a name
    refuse_several(model)
    _refuse_local_options(options.batch_tokens, work.device)
    dtype = _named(work.dtype)
    folder = local_folder(source.base, work.trust_remote_code)
    adapter = None if source.adapter is None else local_folder(source.adapter)
    lora = 0 if adapter is None else lora_room(adapter)
    tokenizer = load_tokenizer(source, work.trust_remote_code)
    config = _config(folder, work.trust_remote_code)
    if adapter is not None:
        refuse_other_architecture(config.model_type, str(adapter), source.base)
        refuse_changed_base(source)
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    longest = min(options.longest, positions or options.longest)
    encoder = Encoder(tokenizer, longest, options.chat, options.date)
    weights = f"files {folder_digest(folder)}"
    if adapter is not None:
        weights += f" and {folder_digest(adapter, ADAPTER_CONFIG)}"
    candidates, new_tokens, ends, end = Candidates(task, work.scoring, encoder), 0, None, None
    if work.scoring == "generate":
        ends = end_ids(encoder, _generation(folder, config))
        new_tokens = most_new_tokens(task, options, work.examples, tokens_counted(tokenizer))
    else:
        end = answer_end(candidates, encoder, work.examples)
    decides = {**model.identity, "weights": weights, "answer_end": end}
    decides |= {**tokens_identity(encoder, ends), **dated(encoder)}
    if work.output is not None:
        refuse_other_work(work.output, {**work.identity, **decides})
    engine = _engine(model, _settings(work, folder, adapter, lora, dtype, encoder), weights, work.say)
    record = {
        "model": model.name,
        "adapter": source.adapter,
        "dtype": engine.dtype,
        "answer_end": end,
        **dated(encoder),
        "backend": "vllm",
        "vllm": engine.version,
    }
    rows, reader = Rows(encoder, candidates, new_tokens), AnswerReader(candidates, options.normalize)
    yield VllmBackend(engine, rows, reader, {**decides, "dtype": engine.dtype}, record, ends)


def _settings(work: Work, folder: Path, adapter: Path | None, lora: int, dtype: str, encoder: Encoder) -> Settings:
    """How the engine is started for this work."""
    model: VllmModel = work.model
    return Settings(
        model=str(folder.resolve()),
        tokenizer=str(encoder.tokenizer.name_or_path),
        adapter=adapter_path(adapter),
        lora_room=lora,
        dtype=dtype,
        max_length=encoder.max_length,
        trust_remote_code=work.trust_remote_code,
        tensor_parallel=model.tensor_parallel,
        gpu_memory=model.gpu_memory,
        args=dict(model.args),
    )


def _refuse_local_options(batch_tokens: int | None, device: str) -> None:
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


def _engine(model: VllmModel, settings: Settings, weights: str, say: Callable[[str], None]) -> Engine:
    """The engine that ``model`` holds where it is the one wanted, else a new one in its place."""
    wanted = {**asdict(settings), "weights": weights}
    if model.engine is None or model.engine[0] != wanted:
        say(f"starting vLLM with {model.name}")
        model.engine = None  # free the GPUs first
        model.engine = wanted, Engine(settings)
    engine: Engine = model.engine[1]
    return engine


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
    """The dtype's full name, or ``auto``."""
    if dtype == "auto":
        return dtype
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}; expected auto, float32, bfloat16 or float16")
    return str(DTYPES[dtype]).removeprefix("torch.")
