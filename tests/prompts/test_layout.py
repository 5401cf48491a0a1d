"""Layouts of templates."""

from __future__ import annotations

import pytest

from paft.prompts import Layout, Template, layout
from paft.tasks.base import Task

LETTERS = Task("scenes", "choice", dict.fromkeys(("ctx", "A", "B", "C"), ""), ("A", "B", "C"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{goal}\n{sol1}\n{sol2}\nAnswer:", (("goal", "sol1", "sol2"), "after", "lines", "none")),
        ("{goal} A) {sol1} B) {sol2}:", (("goal", "sol1", "sol2"), "after", "inline", "none")),
        ("Which of these works? {sol1} or {sol2} {goal} ->", (("sol1", "sol2", "goal"), "before", "inline", "before")),
        ("{sol1}\n{goal}\n{sol2}\nNow pick the better one:", (("sol1", "goal", "sol2"), "among", "lines", "after")),
        ("Read all of this now.\n{sol1} {sol2}\nWhich of them is it?", (("sol1", "sol2"), "alone", "inline", "around")),
        ("{goal} Which of these is it? {sol1} {sol2}:", (("goal", "sol1", "sol2"), "after", "inline", "between")),
        ("{ctx}\nA {A}\nB {B} C {C}\n:", (("ctx", "A", "B", "C"), "after", "inline", "none")),
        ("{goal} {sol1} and {goal} again", (("goal", "sol1", "goal"), "none", "", "none")),
        ("{item_a}\n{item_b}\n{text}:", (("item_a", "item_b", "text"), "before", "lines", "none")),
        ("{goal} {goad} {text}:", (("goal", "goad", "text"), "none", "", "none")),
        ("No slot but many words here", ((), "none", "", "before")),
        ("{{braces}} {text}:", (("text",), "none", "", "none")),
    ],
)  # fmt: skip
def test_layout(text: str, expected: tuple) -> None:
    assert layout(Template.parse(text)) == Layout(*expected)


def test_the_turns_of_a_chat_are_read_in_order() -> None:
    turns = [{"role": "system", "content": "You sort letters by topic."}, {"role": "user", "content": "{text}\nTopic:"}]
    assert layout(Template.parse(turns)) == Layout(("text",), "none", "", "before")


def test_label_words_are_the_options_of_a_label_task(mood_task: Task) -> None:
    told = {
        "Is it positive or Negative? {text}": ("before", "inline"),
        "{text}\n- positive\n- negative\n:": ("after", "lines"),
        "positive? {text} Or negative?": ("among", "inline"),
        "Is it positive? {text}": ("none", ""),
        "Is it positively negatives? {text}": ("none", ""),
    }
    for text, expected in told.items():
        found = layout(Template.parse(text), mood_task)
        assert (found.options, found.form) == expected, text


def test_counted_slots_of_a_label_task_are_no_options() -> None:
    task = Task("pair", "label", dict.fromkeys(("text1", "text2"), ""), ("same", "other"))
    assert layout(Template.parse("{text1} {text2} same or other:"), task).options == "after"
    assert layout(Template.parse("{text1} {text2}:"), task).options == "none"
    assert layout(Template.parse("{text1} {text2}:")).options == "alone"


def test_aliases_count_as_what_they_stand_for(blanks_task: Task) -> None:
    one = layout(Template.parse("{sentence} {option1} {option2}:"), blanks_task)
    other = layout(Template.parse("{prompt} {only_option1} {only_option2}:"), blanks_task)
    assert one == other
    assert one.options == "after"


def test_a_layout_in_words() -> None:
    found = layout(Template.parse("Choose one of the two.\n{goal}\n{sol1}\n{sol2}\n:"))
    assert str(found) == "goal sol1 sol2; options last, one a line; instruction before"
    assert found.row()["slots"] == ["goal", "sol1", "sol2"]
    assert str(layout(Template.parse("Hm."))) == "no slots; no options; no instruction"
