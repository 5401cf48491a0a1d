"""Names and defaults that the library and the command line share; nothing is imported to know them."""

from __future__ import annotations

from typing import Literal, get_args

MAX_LENGTH = 1024  # tokens of prompt and answer together
TrainingMethod = Literal["paft", "static-mix", "user"]
TRAINING_METHODS: tuple[str, ...] = get_args(TrainingMethod)
METHODS = ("base", "user", "top-accuracy", "batprompt", "zopo", "static-mix", "paft")  # of a comparison, in order
