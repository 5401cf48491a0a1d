"""A small task and settings for few steps, shared by the training tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paft.tasks.base import Example, Task

WORDS = ("payment", "delivery", "return", "repair")
TEMPLATES = (
    "Text: {text}\nWhich topic is it, {hint}?\nAnswer:",
    "Read the text, then say what it is about ({hint}). Text: {text} Topic:",
    "{text}\nChoose from {hint}.\nAnswer:\n",
    "Question: what is {text} about? One of {hint}. The right option is",
    "Give the topic, {hint}, of: {text} =>",
    "Topics: {hint}\n\nText: {text}\n\nTopic:",
)
UNSEEN = ("What topic does {text} have among {hint}? It is", "{hint} are the options; the text is {text}. Option:")


def make_examples(count: int, split: str) -> list[Example]:
    nouns = ("the box", "my card", "a broken lamp", "the quick brown fox", "money back")
    return [
        Example(
            id=f"{split}:{i}",
            slots={"text": f"{nouns[i % 5]} over {'the lazy dog ' * (i % 4)}{i}", "hint": ", ".join(WORDS)},
            answer=WORDS[(i * 7) % 4],
            gold=(i * 7) % 4,
        )
        for i in range(count)
    ]


def make_task(train: int = 24, validation: int = 10) -> Task:
    data = {"train": make_examples(train, "train"), "validation": make_examples(validation, "validation")}
    return Task(
        name="topics",
        type="label",
        slots={"text": "the text", "hint": "the topics"},
        answers=WORDS,
        user_prompt=TEMPLATES[0],
        source="made in the test",
        read=lambda split: data.get(split, []),
    )


def settings(output: Path, **changes: Any) -> Any:
    """A PaftConfig for the CPU and few steps."""
    from paft.training import PaftConfig

    plain: dict[str, Any] = {
        "output_dir": str(output),
        "use_cpu": True,
        "disable_tqdm": True,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 3e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "chat": "off",
    }
    return PaftConfig(**(plain | changes))
