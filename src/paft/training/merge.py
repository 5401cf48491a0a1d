"""An adapter merged into its base: a plain model folder that needs no PEFT."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from paft.errors import InputError, ModelError, OutputError
from paft.files import check_place
from paft.models import load_model, load_tokenizer, resolve_model
from paft.training.records import CONFIG, MERGED, PROMPTS
from paft.training.saving import savable_generation

ROW = 24  # tokens of each row that base and adapter are compared with the merged model on
# the root mean square of the logits' difference, in standard deviations of the logits: rounding stays well below
TOLERANCES = {torch.float32: 1e-4, torch.float16: 0.03, torch.bfloat16: 0.2}


def merge(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    dtype: str = "auto",
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> Path:
    """Write base and adapter as one model folder: safetensors, tokenizer, and the run's prompts and settings.

    With these beside it a sweep of the merged model is that of the run: it refuses the prompts that the run was trained
    on, and wraps prompts in the chat template as the run did. Input and output embeddings that the base ties and the
    adapter parts are written as two. The folder is put in place once it gives the logits of base and adapter.

    Args:
        model: a run folder with an adapter; or the base model, with ``adapter`` beside it.
        output: a folder that does not exist or is empty.
        dtype: of the weights written; ``auto`` is float32 on a CPU.

    Raises:
        InputError: there is no adapter to merge.
        ModelError: an adapter that does not fit the base, or one that merging does not give the same logits for.
        OutputError: ``output`` is not empty.
    """
    target = Path(output)
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise OutputError(f"{output} exists and is not empty; give another output folder")
    check_place(target)
    source = resolve_model(model, adapter)
    if source.adapter is None:
        raise InputError(f"{model} is a plain model already; expected a run folder with an adapter, or give --adapter")
    loaded: Any = load_model(source, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
    ids_bt = _probe(loaded)
    wanted_btv = _logits(loaded, ids_bt)
    merged, loaded = _merged(loaded, source.adapter), None
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        savable_generation(merged)
        merged.save_pretrained(partial)
        load_tokenizer(source, trust_remote_code).save_pretrained(partial)
        if source.run is not None:
            shutil.copyfile(source.run / PROMPTS, partial / PROMPTS)
        if settings := source.run_settings():
            kept = {MERGED: True, **{name: value for name, value in settings.items() if name != "settings"}}
            (partial / CONFIG).write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True), encoding="utf-8")
        kind, merged = merged.dtype, None  # two models at once may not fit
        again = load_model(str(partial), dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        refuse_other(wanted_btv, _logits(again, ids_bt), kind, source.adapter)
        partial.chmod(0o755)
        if target.is_dir():
            target.rmdir()
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _probe(model: Any) -> torch.Tensor:
    """Two rows of token ids: spread over the vocabulary, and the last ones, among which added tokens stand."""
    size = model.config.get_text_config().vocab_size
    spread = torch.arange(ROW) * size // ROW
    return torch.stack([spread, (size - 1 - torch.arange(ROW)) % size])


@torch.no_grad()
def _logits(model: Any, ids_bt: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids_bt.to(model.device), use_cache=False).logits.float().cpu()


def _merged(model: Any, adapter: str) -> Any:
    """The base with the adapter in its weights."""
    if getattr(model, "merge_and_unload", None) is None:
        kind = next(iter(model.peft_config.values())).peft_type.value
        raise InputError(
            f"{adapter} is an adapter of the kind {kind}, which leaves the base's weights as they are\n"
            "it cannot be merged; sweep it as it is"
        )
    base = model.get_base_model()
    tied = _part(base)
    try:
        merged = model.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError) as bad:
        raise ModelError(
            f"PEFT does not merge the adapter {adapter}: {str(bad).strip().splitlines()[0][:300]}"
        ) from bad
    if tied and merged.get_output_embeddings().weight is not merged.get_input_embeddings().weight:
        for config in (merged.config, merged.config.get_text_config()):
            config.tie_word_embeddings = False
    return merged


def _part(base: Any) -> bool:
    """Whether the base ties its output layer to its input's; where the adapter changes either, their weights part."""
    head, embedding = base.get_output_embeddings(), base.get_input_embeddings()
    if head is None or _plain(head).weight is not _plain(embedding).weight:
        return False
    if _plain(head) is not head or _plain(embedding) is not embedding:
        _plain(head).weight = nn.Parameter(_plain(head).weight.detach().clone(), requires_grad=False)
    return True


def _plain(module: Any) -> Any:
    """The layer of the base inside what an adapter has put around it."""
    while (inner := getattr(module, "base_layer", None) or getattr(module, "original_module", None)) is not None:
        module = inner
    return module


def refuse_other(wanted_btv: torch.Tensor, found_btv: torch.Tensor, dtype: torch.dtype, adapter: str) -> None:
    """Refuse a merged model that gives other logits than base and adapter did."""
    apart = float((wanted_btv - found_btv).square().mean().sqrt() / wanted_btv.std())
    most = TOLERANCES.get(dtype, TOLERANCES[torch.bfloat16])
    if not apart <= most:
        raise ModelError(
            f"merging {adapter} gives another model: its logits are {apart:.2g} standard deviations from those of base "
            f"and adapter, expected at most {most:g} in {str(dtype).removeprefix('torch.')}; nothing was written\n"
            "sweep base and adapter as they are" + (", or merge with --dtype float32" if dtype != torch.float32 else "")
        )
