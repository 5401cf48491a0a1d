"""Reading an answer out of generated text, and judging it."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from paft.tasks import Example, Task, normalize

CHOICE = Task(name="t", type="choice", slots={"q": ""}, answers=("A", "B", "C", "D"))
LABEL = Task(name="t", type="label", slots={"q": ""}, answers=("positive", "very positive", "no", "C++", "-1", "1"))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"), (" B", "B"), ("C.", "C"), ("D)", "D"), ("(A)", "A"), ("( B )", None), ("[C]", "C"), ("A:", "A"),
        ("**A**", "A"), ("**Answer:** B", "B"), ("Answer: C", "C"), ("answer is (D).", "D"), ("The answer is A", "A"),
        ("The correct option is: B", "B"), ("Option C", "C"), ("'D'", "D"), ('"A"', "A"), ("`B`", "B"), ("<C>", "C"),
        ("A. a dog barks", "A"), ("B) text", "B"), ("(C) text", "C"), ("D: text", "D"), ("A\n\nBecause", "A"),
        ("B  \nC", "B"), ("- A", "A"), ("C</s>", None), ("\nB\r\n", "B"),
        ("A dog", None), ("B dog", None), ("As", None), ("a", None), ("(a)", None), ("A/B", None), ("A or B", None),
        ("A.M. is morning", None), ("A's", None), ("Apple", None), ("E", None), ("E.", None), ("", None), ("  ", None),
        ("I think A", None), ("A1", None), ("AB", None), ("A-frame", None), ("Á", None), ("Answer:", None),
        ("The answers are A", None), ("Answer: A dog", None), ("1", None),
    ],
)  # fmt: skip
def test_letters(text: str, letter: str | None) -> None:
    assert CHOICE.parse(text) == (-1 if letter is None else "ABCD".index(letter))


def test_every_letter_is_read_alike() -> None:
    forms = ["{}", "{}.", "({})", "**{}**", "Answer: {}", "{} dog", "{}s", "{}/", "the {}", "{}, then"]
    for form in forms:
        read = [CHOICE.parse(form.format(letter)) for letter in "ABCD"]
        assert read in ([0, 1, 2, 3], [-1] * 4), form


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("positive", "positive"), ("Positive.", "positive"), (" POSITIVE\nmore", "positive"),
        ("very positive", "very positive"), ("Very  positive!", "very positive"), ("very\npositive", "very positive"),
        ("**positive**", "positive"), ("Answer: positive", "positive"), ("The label is positive", None),
        ("The answer is very positive", "very positive"),
        ("no", "no"), ("No, it is not", "no"), ("not positive", None), ("nothing", None), ("positively", None),
        ("c++", "C++"), ("-1", "-1"), ("1", "1"), ("1.", "1"), ("10", None), ("very", None), ("", None),
        ("the positive", None),
    ],
)  # fmt: skip
def test_label_words(text: str, label: str | None) -> None:
    assert LABEL.parse(text) == (-1 if label is None else LABEL.answers.index(label))


def test_the_longest_label_wins_in_any_order() -> None:
    for answers in [("new", "new york"), ("new york", "new")]:
        task = Task(name="t", type="label", slots={"q": ""}, answers=answers)
        assert task.answers[task.parse("New York is big")] == "new york"
        assert task.answers[task.parse("New things")] == "new"


def test_judge_of_letters_and_labels() -> None:
    example = Example("1", {"q": "x"}, "B", 1)
    assert CHOICE.judge(example, " B.") == (1, True)
    assert CHOICE.judge(example, "A") == (0, False)
    assert CHOICE.judge(example, "who knows") == (-1, False)


@pytest.mark.parametrize(
    ("match", "wanted", "text", "correct"),
    [
        ("exact", "42", " 42\nSo it is", True),
        ("exact", "42", "42.", False),
        ("exact", "two\nlines", "two\nlines\nthree", True),
        ("exact", "two\nlines", "two", False),
        ("normalized", "The Tower", "tower.", True),
        ("normalized", "Ångström", "ångström", True),
        ("normalized", "tower", "towers", False),
        ("normalized", "The", "", False),
        ("normalized", "The", "The", True),
        ("exact", "42", "", False),
    ],
)
def test_judge_of_free_answers(match, wanted: str, text: str, correct: bool) -> None:
    task = Task(name="t", type="free", slots={"q": ""}, match=match)
    assert task.judge(Example("1", {"q": "x"}, wanted), text) == (-1, correct)


def test_normalize() -> None:
    assert normalize(" The  quick, Brown\tfox! ") == "quick brown fox"
    assert normalize("ﬁve") == "five"


CITIES = Task(name="t", type="label", slots={"q": ""}, answers=("new", "new york", "york", "the answer", "A B"))


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("new\n", False), ("new\nyo", False), ("new york\n", True), ("new\nrules\n", True), ("york\n", True),
        ("Answer: new\n", False), ("Answer: york\n", True), ("a\n", False), ("a\nb\n", True), ("nothing\n", False),
        ("The answer is york\n", True),
    ],
)  # fmt: skip
def test_an_answer_is_settled_where_no_longer_label_can_follow(text: str, settled: bool) -> None:
    assert CITIES.settled(text) is settled


WORDS = st.sampled_from(["new", "york", "yo", "the", "answer", "Answer:", "is", "a", "b", "A", "B.", "(C)", "very"])
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", "\n", ""])), max_size=6).map(lambda p: "".join(map("".join, p)))


@pytest.mark.parametrize("task", [CITIES, CHOICE, LABEL])
@given(text=TEXTS, rest=TEXTS)
def test_nothing_written_after_a_settled_answer_changes_it(task: Task, text: str, rest: str) -> None:
    line = text + "\n"
    if task.settled(line):
        assert task.parse(line + rest) == task.parse(line) >= 0
