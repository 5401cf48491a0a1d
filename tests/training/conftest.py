"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from training.helpers import TEMPLATES, UNSEEN, make_task

from paft.prompts import PromptSet
from paft.tasks.base import Task


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads; the processes that tests start have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def task() -> Task:
    return make_task()


@pytest.fixture
def prompts() -> PromptSet:
    return PromptSet.from_texts(TEMPLATES)


@pytest.fixture
def unseen() -> PromptSet:
    return PromptSet.from_texts(UNSEEN)
