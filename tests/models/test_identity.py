"""Digests of tokenizers: what moves a token id moves them, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import AddedToken, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from paft.models.identity import template_digest, tokenizer_digest

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.fixture
def tokenizer(tiny_tokenizer, tmp_path) -> PreTrainedTokenizerFast:
    """A tokenizer of the test's own, as a folder gives it."""
    tiny_tokenizer.save_pretrained(tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path)


def limit(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(length=16, pad_id=0)


def use(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer(["a text", "b"], padding=True, truncation=True, max_length=3, split_special_tokens=True)


def no_bos(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()


def new_mark(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.add_tokens([AddedToken("the ", normalized=False)])


def other_end(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.eos_token = "<pad>"


@pytest.mark.parametrize("change", [limit, use])
def test_what_is_never_used_does_not_count(change: Callable, tokenizer) -> None:
    before = tokenizer_digest(tokenizer)
    change(tokenizer)
    assert tokenizer_digest(tokenizer) == before


@pytest.mark.parametrize("change", [no_bos, new_mark, other_end])
def test_what_moves_a_token_counts(change: Callable, tokenizer) -> None:
    before = tokenizer_digest(tokenizer)
    change(tokenizer)
    assert tokenizer_digest(tokenizer) != before


def test_a_tokenizer_that_was_saved_is_the_same(tokenizer, tmp_path) -> None:
    limit(tokenizer)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "again")
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again.backend_tokenizer.truncation is not None  # it did write them down
    assert tokenizer_digest(again) == tokenizer_digest(tokenizer)
    assert template_digest(again) == template_digest(tokenizer)


def test_a_template_and_the_tokens_that_it_writes_count(tokenizer) -> None:
    tokenizer.chat_template = TEMPLATE
    first = template_digest(tokenizer)
    tokenizer.chat_template = TEMPLATE.replace("[", "(")
    second = template_digest(tokenizer)
    tokenizer.chat_template, tokenizer.eos_token = TEMPLATE, "<pad>"
    assert len({first, second, template_digest(tokenizer)}) == 3
