"""A tiny model that has learnt by heart what to write, so that a test can say what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def taught(model: Any, tokenizer: Any, lessons: Sequence[tuple[str, str]], steps: int = 60) -> Any:
    """``model``, trained in place until it writes each reply, with its end token, after its prompt."""
    rows = [(tokenizer(prompt)["input_ids"], _reply(tokenizer, reply)) for prompt, reply in lessons]
    width = max(len(a) + len(b) for a, b in rows)
    ids = torch.tensor([a + b + [0] * (width - len(a) - len(b)) for a, b in rows])
    labels = torch.full_like(ids, -100)
    for row, (a, b) in zip(labels, rows, strict=True):
        row[len(a) : len(a) + len(b)] = torch.tensor(b)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        loss = model(input_ids=ids, labels=labels).loss
        if loss < 0.02:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def _reply(tokenizer: Any, reply: str) -> list[int]:
    return [*tokenizer(reply, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
