"""Digests by which a sweep knows its own work again: of prompts and examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from paft.models import Encoder
from paft.models.identity import digest, template_digest, tokenizer_digest
from paft.prompts import Prompt
from paft.tasks.base import Example


def prompts_digest(prompts: Iterable[Prompt]) -> str:
    """Of ids and texts, in any order."""
    return digest(sorted(json.dumps([p.id, p.text], sort_keys=True) for p in prompts))


def examples_digest(examples: Iterable[Example]) -> str:
    """Of everything that examples hold, in any order."""
    return digest(sorted(json.dumps([e.id, dict(e.slots), e.answer, e.gold, e.options]) for e in examples))


def tokens_identity(encoder: Encoder, end_ids: Iterable[int] | None) -> dict[str, Any]:
    """What decides the token ids of prompts and answers, and where a generated answer ends.

    The chat template counts where prompts are wrapped in it; ``end_ids`` is None where nothing is generated.
    """
    return {
        "tokenizer": tokenizer_digest(encoder.tokenizer),
        "chat_template": template_digest(encoder.tokenizer) if encoder.chat else None,
        "end_ids": None if end_ids is None else sorted(end_ids),
    }
