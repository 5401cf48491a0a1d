"""A pool of usable templates that the local endpoint hands out."""

from __future__ import annotations

from itertools import islice

import pytest

from paft.prompts.generation import Provider
from paft.prompts.generation.grammar import grammar_templates
from paft.tasks import load_task


@pytest.fixture(scope="session")
def piqa():
    return load_task("piqa")


@pytest.fixture(scope="session")
def pool(piqa) -> list[str]:
    return list(islice(grammar_templates(piqa, seed=7), 120))


@pytest.fixture
def provider(monkeypatch):
    """A factory of providers with a key that is easy to search for."""

    def make(url: str, model: str = "m1", **fields) -> Provider:
        monkeypatch.setenv("PAFT_TEST_KEY", "sk-needle-5f2a91")
        return Provider(model, model, url, "PAFT_TEST_KEY", **fields)

    return make
