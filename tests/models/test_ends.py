"""Candidates of which one begins another, told by their tokens."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from paft.models import Encoder
from paft.models.ends import begins_another


def test_it_is_the_tokens_that_count(tiny_tokenizer):
    encoder = Encoder(tiny_tokenizer)
    rows = [["location", "location person"], ["1", "13"], ["A", "B"], ["location", "person"], ["A", "A"], ["same"], []]
    assert begins_another(encoder, rows) == [True, True, False, False, False, False, False]
    tokens = [tiny_tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in ("person", "personal")]
    assert begins_another(encoder, [["person", "personal"]]) == [tokens[1][: len(tokens[0])] == tokens[0]]
    assert begins_another(encoder, []) == []


@given(rows=st.lists(st.lists(st.text("the fox.A1\n", min_size=1, max_size=6), max_size=5), max_size=3))
def test_every_pair_is_looked_at(tiny_tokenizer, rows):
    def tokens(text: str) -> list[int]:
        return tiny_tokenizer(text, add_special_tokens=False)["input_ids"]

    wanted = []
    for row in rows:
        forms = [[tokens(f"Answer:{space}{a}") for a in row] for space in (" ", "\n")]
        wanted.append(any(a != b and b[: len(a)] == a for form in forms for a in form for b in form))
    assert begins_another(Encoder(tiny_tokenizer), rows) == wanted
