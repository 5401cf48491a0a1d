"""Digests of models and tokenizers, by which a folder knows whether it still goes with them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedTokenizerBase

from paft.errors import ModelError
from paft.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLED = 256  # numbers read of each weight: training moves them all
PIECES, PIECE = 16, 64  # pieces read of each weight in a file, and their bytes
UNIMPORTANT = {"_name_or_path", "base_model_name_or_path", "transformers_version", "peft_version", "use_cache"}
UNIMPORTANT |= {"dtype", "torch_dtype", "inference_mode", "revision", "auto_mapping"}
LIMITS = ("truncation", "padding")  # of a tokenizer.json; encoding and batching set their own


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Of all that decides token ids: the fast tokenizer as tokenizer.json has it, and the special tokens.

    Truncation and padding that a tokenizer.json asks for are left out: they are never used.
    """
    text, decoder = tokenizer.backend_tokenizer.to_str(), json.JSONDecoder()
    for key in LIMITS:  # cut out of the text: some vocabularies take a second to parse
        start = text.index(f'"{key}":')
        text = text[:start] + text[decoder.raw_decode(text, start + len(key) + 3)[1] :]
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token]
    return digest([text, json.dumps([None if token is None else str(token) for token in special])])


def template_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Of the chat template, and of the special tokens that it may write."""
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return digest([json.dumps([tokenizer.chat_template, special], sort_keys=True)])


def model_digest(model: PreTrainedModel) -> str:
    """Of the settings, and of names, shapes and evenly spaced numbers of all weights.

    A model that was trained again in the same place has another digest; one that was moved has the same.
    """
    parts: list[str | bytes] = [_settings(model.config.to_diff_dict())]
    for adapter in getattr(model, "peft_config", {}).values():
        parts.append(_settings(adapter.to_dict()))
    for name, weight in model.named_parameters():
        flat = weight.detach().flatten()
        picked = flat[:: max(1, flat.numel() // SAMPLED)]
        parts += [f"{name} {tuple(weight.shape)}", picked.to("cpu", torch.float32).numpy().tobytes()]
    return digest(parts)


def folder_digest(folder: Path, settings: str = "config.json") -> str:
    """Of the settings in a model's or an adapter's folder, and of names, shapes and evenly spaced bytes of all weights.

    Raises:
        ModelError: no safetensors there, or a file that is none.
    """
    files = [path for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith("consolidated")]
    if not files:
        raise ModelError(f"{folder} holds no safetensors; only safetensors are loaded\nsave it with save_pretrained")
    pieces = (part for path in files for part in (path.name, *_pieces(path)))
    return digest(itertools.chain([_settings(read_json(folder / settings))], pieces))


def _pieces(path: Path) -> Iterator[bytes]:
    """The header of a safetensors file, and some bytes of every weight."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size)
            yield header
            weights = {name: w for name, w in json.loads(header).items() if name != "__metadata__"}
            for begin, end in sorted(tuple(w["data_offsets"]) for w in weights.values()):
                for at in range(begin, end, max(PIECE, (end - begin) // PIECES)):
                    file.seek(8 + size + at)
                    yield file.read(min(PIECE, end - at))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as bad:
        raise ModelError(f"{path} is not a safetensors file that can be read") from bad


def _settings(config: Mapping[str, Any]) -> str:
    """The settings that decide what a model computes, as sorted JSON."""
    kept = {k: sorted(v) if isinstance(v, set) else v for k, v in config.items() if k not in UNIMPORTANT}
    return json.dumps(kept, sort_keys=True, default=str)


def digest(parts: Iterable[Any]) -> str:
    """16 hex digits over texts and bytes, in order."""
    made = sha256()
    for part in parts:
        made.update(part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass"))
        made.update(b"\x00")
    return made.hexdigest()[:16]
