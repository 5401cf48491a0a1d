"""The model of a sweep: loaded here or handed over."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paft.errors import InputError
from paft.evaluation.local.whole import whole
from paft.models import ModelSource, load_model, load_tokenizer, pick_device, pick_dtype

Model = str | os.PathLike[str] | tuple[PreTrainedModel, PreTrainedTokenizerBase]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to be measured, and how records call it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    adapter: str | None

    @property
    def dtype(self) -> str:
        """The dtype of its weights: ``float32``, ``bfloat16``, ..."""
        return str(self.model.dtype).removeprefix("torch.")


def load(
    model: Model,
    source: ModelSource | None,
    adapter: str | os.PathLike[str] | None,
    dtype: str,
    device: str,
    trust_remote_code: bool,
) -> Loaded:
    """Load ``source``, or take ``model`` where it is a loaded ``(model, tokenizer)``.

    Raises:
        InputError: an adapter beside a loaded model, or one that is parted over processes.
        ModelError: what ``load_model`` and ``load_tokenizer`` refuse.
    """
    if isinstance(model, tuple):
        if adapter is not None:
            raise InputError("an adapter goes with a model's name or folder; this model is loaded already")
        live, tokenizer = cast(PreTrainedModel, whole(model[0])), model[1]
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return Loaded(live, tokenizer, str(getattr(live.config, "name_or_path", "")) or "loaded model", None)
    assert source is not None  # whoever gives a name gives what it resolves to
    tokenizer = load_tokenizer(source, trust_remote_code)
    where = pick_device(device)
    loaded = load_model(source, dtype=pick_dtype(dtype, where), device=where, trust_remote_code=trust_remote_code)
    return Loaded(loaded, tokenizer, os.fspath(model), source.adapter)
