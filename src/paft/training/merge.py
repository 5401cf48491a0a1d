"""An adapter merged into its base: a plain model folder that needs no PEFT."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from paft.errors import InputError, OutputError
from paft.files import check_place
from paft.models import load_model, load_tokenizer, resolve_model
from paft.training.records import PROMPTS


def merge(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    dtype: str = "auto",
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> Path:
    """Write base and adapter as one model folder: safetensors, tokenizer, and the run's prompts where there is a run.

    With its prompts beside it, a sweep of the merged model still refuses those it was trained on.

    Args:
        model: a run folder with an adapter; or the base model, with ``adapter`` beside it.
        output: a folder that does not exist or is empty.
        dtype: of the weights written; ``auto`` is float32 on a CPU.

    Raises:
        InputError: there is no adapter to merge.
        ModelError: an adapter that does not fit the base.
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
    merged = loaded.merge_and_unload(safe_merge=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        merged.save_pretrained(partial)
        load_tokenizer(source, trust_remote_code).save_pretrained(partial)
        if source.run is not None:
            shutil.copyfile(source.run / PROMPTS, partial / PROMPTS)
        partial.chmod(0o755)
        if target.is_dir():
            target.rmdir()
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
