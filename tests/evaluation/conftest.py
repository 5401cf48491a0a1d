"""Prompts for the evaluation suite."""

from __future__ import annotations

import pytest

from paft.prompts import PromptSet


@pytest.fixture(scope="session")
def prompts() -> PromptSet:
    """Prompts of different lengths, with and without a newline or spaces before the answer."""
    return PromptSet.from_texts(
        [
            "{text}\nA. {one}\nB. {two}\nAnswer:",
            "Read the text, then say which of the two is correct: {one} or {two}?\n\nText: {text}\n",
            "Options: {one} / {two}. {text} -> ",
            "Choose.\t{text} ({one}, {two}) {{x}}",
            "You are given a text and two options. Read all of it, then choose the right option from the list below "
            "and write only its letter, not more.\nText: {text}\nOptions: {one}, {two}\nAnswer:",
        ],
        source={"kind": "human"},
    )
