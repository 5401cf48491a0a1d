"""Prompt templates as vectors: a model's own hidden states, or a sentence-transformers model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paft.defaults import MAX_LENGTH
from paft.errors import InputError, ModelError
from paft.models.encoding import Encoder
from paft.models.loading import pick_device
from paft.prompts import Prompt


def hidden_state_embeddings(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    *,
    batch_size: int = 16,
    max_length: int = MAX_LENGTH,
) -> np.ndarray:
    """The model's last hidden states, averaged over the tokens of a template with its slots as written.

    The tokenizer's BOS stands in front, as the model has always seen it, and is left out of the mean. The messages of
    a chat template stand on lines of their own.

    Args:
        model: in evaluation mode.

    Returns:
        prompts x hidden size, float32.

    Raises:
        InputError: a batch size below 1.
        TooLongError: a template of more than ``max_length`` tokens.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, found {batch_size}")
    encoder = Encoder(tokenizer, max_length)
    # a template is encoded as the answer to an empty prompt: so its text begins where BOS ends
    encoded = [encoder.encode("", prompt.template.plain, end=False) for prompt in prompts]
    means = []
    for first in range(0, len(encoded), batch_size):
        batch = encoded[first : first + batch_size]
        width = max(len(e.input_ids) for e in batch)
        ids_bt, mask_bt, text_bt = torch.zeros(3, len(batch), width, dtype=torch.long).unbind()
        for row, e in enumerate(batch):  # padded on the right: no token sees what comes after it
            length = len(e.input_ids)
            ids_bt[row, :length] = torch.tensor(e.input_ids)
            mask_bt[row, :length] = 1
            text_bt[row, e.answer_start : length] = 1
        with torch.no_grad():
            states_bth = model(
                input_ids=ids_bt.to(model.device),
                attention_mask=mask_bt.to(model.device),
                output_hidden_states=True,
                use_cache=False,
            ).hidden_states[-1]
        weight_bt1 = text_bt.to(states_bth.device, torch.float32)[..., None]
        means.append(((states_bth.float() * weight_bt1).sum(1) / weight_bt1.sum(1)).cpu().numpy())
    return np.concatenate(means) if means else np.zeros((0, model.config.hidden_size), np.float32)


def sentence_embeddings(
    name: str | os.PathLike[str], prompts: Sequence[Prompt], *, batch_size: int = 16, device: str = "auto"
) -> np.ndarray:
    """What a sentence-transformers model makes of the templates, slots as written.

    Args:
        name: its folder, or its name on the hub.

    Returns:
        prompts x dimensions, float32.

    Raises:
        InputError: sentence-transformers is not installed.
        ModelError: no such model, or none in safetensors.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise InputError(
            f"the embedding model {os.fspath(name)} needs sentence-transformers: pip install sentence-transformers\n"
            "or leave it out: prompts are then embedded by the base model"
        ) from None
    where = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else os.fspath(name)
    try:
        model = SentenceTransformer(where, device=str(pick_device(device)), model_kwargs={"use_safetensors": True})
    except (OSError, ValueError, RuntimeError, KeyError) as bad:
        reason = next((line.strip() for line in str(bad).splitlines() if line.strip()), type(bad).__name__)
        raise ModelError(f"cannot load the embedding model {where}: {reason[:300]}") from bad
    texts = [prompt.template.plain for prompt in prompts]
    made = model.encode(texts, batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False)
    return np.asarray(made, dtype=np.float32)
