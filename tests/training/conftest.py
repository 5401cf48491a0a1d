"""Fixtures of the training tests."""

from __future__ import annotations

import pytest
from training.helpers import TEMPLATES, UNSEEN, make_task

from paft.prompts import PromptSet
from paft.tasks.base import Task


@pytest.fixture
def task() -> Task:
    return make_task()


@pytest.fixture
def prompts() -> PromptSet:
    return PromptSet.from_texts(TEMPLATES)


@pytest.fixture
def unseen() -> PromptSet:
    return PromptSet.from_texts(UNSEEN)
