"""Reasoning in front of an answer, worked solutions, and options that a row does not have."""

from __future__ import annotations

import pytest

from paft.tasks import Example, Task
from paft.tasks.base import is_worked
from paft.tasks.reasoning import left_open, without_reasoning

LABEL = Task(name="t", type="label", slots={"q": ""}, answers=("money", "post"))
MONEY = Example("1", {"q": "x"}, "money", 0)


@pytest.mark.parametrize(
    ("text", "left", "still_open"),
    [
        ("<think>post</think>money", "money", False),
        ("<think>\npost\n</think>\n\nmoney", "\n\nmoney", False),
        ("post, I think\n</think>\nmoney", "\nmoney", False),
        ("<think>post, I thi", "", True),
        ("Well. <think>post</think> money", "Well.  money", False),
        ("<thinking>post</thinking>money", "money", False),
        ("[THINK]post[/THINK]money", "money", False),
        ("<seed:think>post</seed:think>money", "money", False),
        ("<think>a</think><think>b</think>money", "money", False),
        ("<think>a <think> b</think>money", "money", False),
        ("<think>a</think>post</think>money", "money", False),
        ("<think></think>money", "money", False),
        ("I think money", "I think money", False),
        ("a < b > c", "a < b > c", False),
    ],
)
def test_reasoning_is_taken_off(text: str, left: str, still_open: bool) -> None:
    read = without_reasoning(text)
    assert (read.text, read.open, read.reasoned) == (left, still_open, left != text)
    if "money" in left and "Well" not in left and "I think" not in left:
        assert LABEL.judge(MONEY, text) == (0, True)


def test_no_line_of_reasoning_completes_an_answer() -> None:
    for text in ("<think>\n", "<think>\npost\n", "post\n<think>\n"):
        assert not LABEL.settled(text)
        assert not LABEL.complete(MONEY, text)
    assert LABEL.complete(MONEY, "<think>\npost\n</think>\nmoney\n")
    free = Task(name="t", type="free", slots={"q": ""})
    example = Example("1", {"q": "x"}, "42")
    assert not free.complete(example, "<think>\nsix by seven\n")
    assert not free.complete(example, "<think>\nsix by seven\n</think>\n42")
    assert free.complete(example, "<think>\nsix by seven\n</think>\n42\n")
    assert free.judge(example, "<think>\nsix by seven\n</think>\n42\nmore") == (-1, True)
    assert free.judge(Example("1", {"q": "x"}, "<think>a</think>42"), "<think>b</think>42") == (-1, True)


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [("Sort: x <think>\n", "<think>"), ("x [THINK]", "[THINK]"), ("<think>\n\n</think>\n\n", ""), ("think:", "")],
)
def test_a_prompt_may_leave_reasoning_open(prompt: str, mark: str) -> None:
    assert left_open(prompt) == mark


WORKED = Example("1", {"q": "x"}, "She has 4+7=<<4+7=11>>11 pens,\nthen 1,000 more.\n#### 1,011")


@pytest.mark.parametrize(
    ("said", "correct"),
    [
        ("11 pens; with 1000 that is 1011.\n#### 1011", True), ("#### 1,011", True), ("#### 1,011\n\nQ: more", True),
        ("so\nmany\nlines\nof\nwork\n#### 1011", True), ("it is 1011 #### 1011", True), ("1011", True),
        ("<think>#### 7</think>\n#### 1011", True), ("#### 5\nno:\n#### 1011", True), ("1011\nyes", True),
        ("#### 1012", False), ("#### 11", False), ("#### -1011", False), ("#### 101.1", False), ("####", False),
        ("", False),
    ],
)  # fmt: skip
def test_of_worked_solutions_the_final_answer_is_compared(said: str, correct: bool) -> None:
    task = Task(name="t", type="free", slots={"q": ""}, match="normalized")
    assert task.judge(WORKED, said) == (-1, correct)


def test_a_worked_solution_is_complete_with_its_final_line() -> None:
    task = Task(name="t", type="free", slots={"q": ""}, match="normalized")
    assert not task.complete(WORKED, "a\nb\nc\nd\n")
    assert not task.complete(WORKED, "a\n#### 10")
    assert task.complete(WORKED, "a\n#### 10\n")
    assert is_worked(WORKED.answer)
    assert is_worked("x\n#### $5\n")
    assert not any(map(is_worked, ("42", "#### Head\nand a text", "a #### b", "x\n####", "# 5")))


def test_an_option_that_is_not_there_is_no_answer() -> None:
    task = Task(name="t", type="choice", slots={"q": ""}, answers=("A", "B", "C"))
    few = Example("1", {"q": "x"}, "C", 2, ("one", " ", "three"))
    assert task.offered(few) == (0, 2)
    assert task.judge(few, "B") == (-1, False)
    assert task.judge(few, "C") == (2, True)
    assert task.offered(Example("1", {"q": "x"}, "C", 2, ("one", "two", "three"))) == (0, 1, 2)
    assert LABEL.offered(MONEY) == (0, 1)
