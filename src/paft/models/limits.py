"""What a model can take: how many positions it has, and which token ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from paft.errors import ModelError


@dataclass(frozen=True)
class Limits:
    """The limits of a model under a tokenizer.

    Attributes:
        positions: most tokens of a row; None where there is no end to them.
        embeddings: how many token ids the model knows; None where it does not say.
        outside: tokens that the tokenizer can give and the model does not know, by id.
    """

    positions: int | None = None
    embeddings: int | None = None
    outside: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any, tokenizer: PreTrainedTokenizerBase) -> Limits:
        """Of a model, with or without an adapter, under the tokenizer that goes with it."""
        known = _embeddings(model)
        most = max([tokenizer.vocab_size - 1, *tokenizer.added_tokens_decoder])
        outside = {}
        if known is not None and most >= known:
            outside = {i: token for token, i in tokenizer.get_vocab().items() if i >= known}
        return cls(_positions(model.config.get_text_config(decoder=True)), known, outside)

    def pad_id(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """A token to pad with; nothing is read of it, but the model has to know it."""
        ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        return int(next(i for i in ids if i is not None and i not in self.outside))

    def refuse(self, ids: list[int], what: str) -> None:
        """Raise ModelError where the model does not know one of ``ids``; ``what`` says where it stands."""
        for i in ids if self.outside else ():
            if i in self.outside:
                raise ModelError(
                    f"{what} holds the token {self.outside[i]!r} (id {i}), but the model knows {self.embeddings}\n"
                    "it was added to the tokenizer alone: give the model model.resize_token_embeddings(len(tokenizer))"
                )


def _positions(config: Any) -> int | None:
    """``max_seq_len`` is MPT's name for it."""
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    return int(found) if isinstance(found, int) and found > 0 else None


def _embeddings(model: Any) -> int | None:
    found = getattr(model.get_input_embeddings(), "num_embeddings", None)
    if not isinstance(found, int):
        found = getattr(model.config.get_text_config(decoder=True), "vocab_size", None)
    return found if isinstance(found, int) else None
