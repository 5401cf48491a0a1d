"""Loading a model, tokenizer and adapter safely, and turning prompts and answers into token ids."""

from __future__ import annotations

from paft.models.encoding import Encoder, Encoding, Parts, TooLongError
from paft.models.loading import load_model, load_tokenizer, pick_device, pick_dtype
from paft.models.source import EMBEDDED, ModelSource, resolve_model

__all__ = [
    "EMBEDDED",
    "Encoder",
    "Encoding",
    "ModelSource",
    "Parts",
    "TooLongError",
    "load_model",
    "load_tokenizer",
    "pick_device",
    "pick_dtype",
    "resolve_model",
]
