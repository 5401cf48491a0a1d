"""Loading a model, tokenizer and adapter safely, and turning prompts and answers into token ids.

Loaded lazily: to encode a prompt takes no torch, and to name a model not even transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paft.models.encoding import Encoder, Encoding, Parts, TooLongError
    from paft.models.loading import load_model, load_tokenizer, pick_device, pick_dtype
    from paft.models.source import EMBEDDED, ModelSource, resolve_model

_PARTS = {
    "encoding": ("Encoder", "Encoding", "Parts", "TooLongError"),
    "loading": ("load_model", "load_tokenizer", "pick_device", "pick_dtype"),
    "source": ("EMBEDDED", "ModelSource", "resolve_model"),
}
_HOME = {name: part for part, names in _PARTS.items() for name in names}
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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
