"""The nearest pair: which one is found, in what order, and which words are marked."""

from __future__ import annotations

import numpy as np
import pytest

from paft.experiments.records import Measured, Record
from paft.prompts import Prompt, PromptSet, Template, similarity
from paft.report.comparison import Comparison, TaskTexts
from paft.report.pairs import FEW, NearestPair, Piece, compare, nearest_pair, shown

PLAIN = {
    "a": "Kind of {text}:",
    "b": "Type of {text}:",
    "c": "Sort of {text}:",
    "d": "Say what sort of thing {text} is ->",
}
EXAMPLES = 20


def record(method: str, right: dict[str, int], seed: int = 0) -> Record:
    """A record in which each prompt has so many right answers of ``EXAMPLES``."""
    correct_pn = np.array([np.arange(EXAMPLES) < count for count in right.values()])
    numbers = dict.fromkeys(("mean", "std", "std_corrected", "min", "q05", "max", "macro_f1", "flip_rate"), 0.5)
    numbers |= {"top": {"threshold": 0.85, "share": 0.0}, "per_prompt": {}}
    measured = Measured(numbers, list(right), [str(i) for i in range(EXAMPLES)], correct_pn)
    return Record("t", "m", method, seed, {"unseen": measured})


def found(texts: dict, *records: Record) -> NearestPair | None:
    prompts = PromptSet(Prompt.from_text(text, id=name) for name, text in texts.items())
    return nearest_pair(Comparison(records, {"t": TaskTexts(prompts={"unseen": prompts})}), "t")


def test_of_the_near_pairs_the_one_that_differs_most() -> None:
    # d is furthest from all in accuracy, yet too many words away; of a, b and c, b and c differ most
    user = record("user", {"a": 10, "b": 4, "c": 12, "d": 20})
    paft = record("paft", {"a": 15, "b": 15, "c": 16, "d": 17})
    pair = found(PLAIN, user, paft)
    assert pair is not None
    assert pair.ids == ("c", "b")
    assert pair.texts == (PLAIN["c"], PLAIN["b"])
    assert (pair.words, pair.near, pair.judge, pair.pairs) == (1, True, "user", 6)
    assert pair.accuracies == {"user": (0.6, 0.2), "paft": (0.8, 0.75)}
    assert pair.similarity == similarity(Template.parse(PLAIN["b"]), Template.parse(PLAIN["c"]))
    assert pair.pieces[0] == (Piece("Sort", True), Piece(" of {text}:", False))
    assert pair.pieces[1] == (Piece("Type", True), Piece(" of {text}:", False))


def test_accuracies_are_means_over_seeds() -> None:
    right = {"a": 10, "b": 4, "c": 12, "d": 20}
    pair = found(PLAIN, record("user", right), record("user", right | {"a": 20}, seed=1))
    assert pair is not None
    assert pair.ids == ("a", "b")
    assert pair.accuracies["user"] == pytest.approx((0.75, 0.2))


def test_the_base_model_judges_where_there_is_no_user() -> None:
    pair = found(PLAIN, record("base", {"a": 1, "b": 2, "c": 9, "d": 20}), record("paft", dict.fromkeys("abcd", 5)))
    assert pair is not None
    assert (pair.judge, pair.ids) == ("base", ("c", "a"))


def test_without_a_near_pair_the_choice_is_from_the_most_similar() -> None:
    texts = {
        "a": "Tell me now what it is: {text}",
        "b": "Tell us then where it was, {text}?",
        "c": "{text} ===> one two three",
    }
    pair = found(texts, record("user", {"a": 10, "b": 11, "c": 12}))
    assert pair is not None
    assert not pair.near
    assert pair.words > FEW
    assert pair.ids == ("c", "a")  # three pairs in all: every one of them is among the closest


def test_spaces_alone_make_no_pair() -> None:
    assert found({"a": "Kind of {text}:", "b": "Kind  of {text} :"}, record("user", {"a": 1, "b": 20})) is None


def test_a_line_break_and_case_are_differences() -> None:
    texts = {"a": "Kind of {text}: say", "b": "kind of {text}:\nsay"}
    pair = found(texts, record("user", {"a": 1, "b": 20}))
    assert pair is not None
    assert pair.words == 2
    assert [p.text for p in pair.pieces[0] if p.changed] == ["kind", "\n"]


def test_nothing_to_find() -> None:
    assert nearest_pair(Comparison([record("user", {"a": 1, "b": 2})], {"t": TaskTexts()}), "t") is None
    assert found({"a": PLAIN["a"], "b": PLAIN["b"]}, record("paft", {"a": 1, "b": 2})) is None
    assert found({"a": PLAIN["a"]}, record("user", {"a": 1, "b": 2})) is None


def test_prompts_without_a_text_are_left_out() -> None:
    pair = found({"a": PLAIN["a"], "b": PLAIN["b"]}, record("user", {"a": 9, "b": 10, "gone": 20}))
    assert pair is not None
    assert pair.ids == ("b", "a")


def test_slots_are_alike_whatever_their_names() -> None:
    one, other = compare(Template.parse("Of {a} and {b}: the best"), Template.parse("Of {b} and {a}: a best"))
    assert one == (Piece("Of {a} and {b}: ", False), Piece("the", True), Piece(" best", False))
    assert other == (Piece("Of {b} and {a}: ", False), Piece("a", True), Piece(" best", False))


@pytest.mark.parametrize(
    "text",
    [
        "  lead {x} and {{braces}} \n\n tail  ",
        [{"role": "system", "content": "Be {{brief}}."}, {"role": "user", "content": "{x}?"}],
        "分类：{x} 的类型\u202e",
    ],
)
def test_pieces_are_the_whole_text(text: str | list) -> None:
    template = Template.parse(text)
    for pieces, whole in zip(compare(template, Template.parse("other {x} words")), (template, None), strict=True):
        assert "".join(p.text for p in pieces) == (shown(whole) if whole else "other {x} words")


def test_scripts_without_spaces_go_by_characters() -> None:
    one, other = compare(Template.parse("类型是什么{x}"), Template.parse("类别是什么{x}"))
    assert [p.text for p in one if p.changed] == ["型"]
    assert [p.text for p in other if p.changed] == ["别"]


def test_huge_prompts_are_compared_in_time() -> None:
    texts = {str(i): f"word{i} " * 20_000 + "{text}" for i in range(5)}
    pair = found(texts, record("user", {name: int(name) for name in texts}))
    assert pair is not None
    assert pair.ids[0] != pair.ids[1]
