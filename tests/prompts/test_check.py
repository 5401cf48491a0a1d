"""Checks: every code is found where it is, and nothing is found in sound prompts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from paft.errors import DataError, InputError
from paft.prompts import Prompt, PromptSet, check_file, similarity
from paft.prompts.check import ERRORS, MAX_NEAR, WARNINGS
from paft.tasks.base import Task

BODY = "{goal}\nA. {sol1}\nB. {sol2}\n"
SOUND = BODY + "Answer:"


def codes(text: str | list[dict[str, str]], task: Task) -> list[str]:
    return [problem.code for problem in PromptSet.from_texts([text]).check(task).problems]


@pytest.mark.parametrize(
    "text",
    [
        SOUND,
        BODY + "Answer:.",
        "Choose A or B. {goal} A. {sol1} B. {sol2} You may choose from 'A', 'B'.\nAnswer:",
        "[Goal] {goal}\n[A] {sol1}\n[B] {sol2}\n[Answer]",
        "<goal>{goal}</goal>\n<A>{sol1}</A><B>{sol2}</B>\nThe better one is",
        "[goal]: {goal} A: {sol1} B: {sol2} Which?",
        "```\n{goal}\n```\nA) {sol1} B) {sol2}\nReply with one letter.",
        "1. Read {goal}\n2. Weigh {sol1} (A) against {sol2} (B).\n3. Write A or B.",
        '{{"goal": "{goal}", "A": "{sol1}", "B": "{sol2}", "answer":',
        "It costs $5, 100% sure: {goal} A. {sol1} B. {sol2} Pick one.",
        BODY + "Write A if the first is better; if not, the right answer is B.",
        "Example: 1+1? A. 2 B. 3\nAnswer: A\n\n" + SOUND,
        "Option: {sol1}\nOption: {sol2}\nfor {goal}. Labels:\nOption: A\nOption: B\n",
        BODY + "Form: A ....... B ....... Chosen . . .",
        [{"role": "system", "content": "Answer A or B."}, {"role": "user", "content": "{goal} A {sol1} B {sol2}"}],
        "Here is the goal: {goal}. Prompt reply wanted! {sol1} or {sol2}? A or B:",
        "He wrote [sic] what follows. [1] {goal} [2] {sol1} [3] {sol2} Which [A/B]:",
        "<b>Pick one</b> of [A] {sol1} and [B] {sol2} for <i>{goal}</i> [A or B]:",
        "[Question]\n{goal}\n\n[Options]\n[Option A] {sol1}\n[Option B] {sol2}\n\n[Answer]",
        "Is it [Option 1] or [Option 2]?\n[Option 1] {sol1}\n[Option 2] {sol2}\nThe goal: {goal}\nA or B:",
        "<question>{goal}</question>\n<options>\nA {sol1}\nB {sol2}\n</options>\n<answer>",
        "Put the letter into <answer> tags. {goal} A) {sol1} B) {sol2} Reply:",
        "{goal} A {sol1} B {sol2}\nReply in the format <answer>, and give nothing else.",
        "queue[question] = {goal}; list[text] = [{sol1}, {sol2}]. Which index, A or B?",
        "[Instructions] Pick A or B.\n[Goal] {goal}\nA: {sol1}\nB: {sol2}\nAnswer [one letter]:",
        "See [the text](https://example.org): {goal} A {sol1} B {sol2}?",
        "[x] {goal}\n[ ] A {sol1}\n[ ] B {sol2}\nTick [A] or [B]:",
    ],
)
def test_sound_prompts_have_no_problems(text: str | list[dict[str, str]], pairs_task: Task) -> None:
    assert codes(text, pairs_task) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{goal} A. {sol1}\nAnswer:", ["missing-slot"]),
        ("Answer:", ["missing-slot"] * 3),
        (SOUND + " {sol3}?", ["unknown-slot"]),
        ("{goal} " + SOUND, ["repeated-slot"]),
        (BODY, ["no-cue"]),
        ("Choose: " + BODY.strip() + ".", ["no-cue"]),
        (BODY + "Both look fine to me.", ["no-cue"]),
        (BODY + "\\nAnswer:", ["literal-newline"]),
        ("word " * 201 + SOUND, ["too-long"]),
        ("w" * 1501 + SOUND, ["too-long"]),
        (BODY + "Answer: {answer}", ["unknown-slot", "answer-leak", "no-cue"]),
        (BODY + "{label}?", ["unknown-slot", "answer-leak"]),
        (BODY + "Answer: A", ["answer-leak"]),
        (BODY + "Choose A or B.\nAnswer: B.", ["answer-leak"]),
        (BODY + "The answer is (a)", ["answer-leak"]),
        (BODY + "The correct answer is B. Answer:", ["answer-leak"]),
        (BODY + 'My choice -> "B"', ["answer-leak"]),
    ],
)
def test_codes(text: str, expected: list[str], pairs_task: Task) -> None:
    assert codes(text, pairs_task) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[goal] " + SOUND.replace("{goal}", "it"),
        "Think of [goal] first. " + SOUND,
        "Think of <goal> first. " + SOUND,
        "Think of <<goal>> first. " + SOUND,
        "Think of [[ question ]] first. " + SOUND,
        "Think of {{goal}} first. " + SOUND,
        "Think of ${goal}\nA. {sol1} B. {sol2}\nAnswer:",
        "Think of %s. " + SOUND,
        "Think of %(goal)s. " + SOUND,
        "Template 3: " + SOUND,
        "**Prompt 12:** " + SOUND,
        "### Variation #2 - " + SOUND,
        "14. Choose well. " + SOUND,
        "```\n" + SOUND + "\n```",
        "```text\n" + SOUND,
        "Here is a prompt that fits: " + SOUND,
        "Here are 10 diverse templates\n" + SOUND,
        "Sure! Here you go. " + SOUND,
        "Rewritten prompt: " + SOUND,
        SOUND + " I hope this helps!",
        "[INST] " + SOUND + " [/INST]",
        "<|user|>" + SOUND,
        "[insert question] " + SOUND,
        "Read this: [Passage]\n" + SOUND,
        "Dear [Name], " + SOUND,
        "[Name], help me. " + SOUND,
        SOUND + " [Your Name]",
        SOUND + " <your answer>",
        SOUND + " [Answer]",
        SOUND + " <answer>",
        BODY + "Answer:\n[Option letter]",
        "Question: [the question]. " + SOUND,
        "From [Option 1] and [Option 2] take one. " + SOUND,
        "You work at [Company]. " + SOUND,
        "Consider <the given text>. " + SOUND,
        "Think of [describe the situation] first. " + SOUND,
        "Think of <name of the person> first. " + SOUND,
        "Think of [placeholder]. " + SOUND,
        "[write your question] " + SOUND,
        SOUND + " <your answer here>",
        '"' + SOUND + '"',
    ],
)
def test_leftovers(text: str, pairs_task: Task) -> None:
    assert "leftover" in codes(text, pairs_task)


def test_an_answer_in_brackets_is_no_leftover() -> None:
    """Labels that are the names of things themselves."""
    task = Task("act", "label", {"text": ""}, ("question", "statement"))
    assert codes("{text}\nIs it a [question] or a <statement>? [question/statement]:", task) == []
    assert codes("{text}\nIs it a [question] or a [sentence]? Label:", task) == ["leftover"]


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("{text}\nSentiment: positive", True),
        ("{text}\nThe sentiment is negative.", True),
        ("{text}\nSentiment (positive or negative):", False),
        ("{text}\nChoose one label: positive, negative", False),
        ("{text}\nLabels:\npositive\nnegative\nYours:", False),
        ("{text}\nAnswer: positive or negative?", False),
        ("{text}\nIs it positive?", False),
        ("{text}\nLabel: positively", False),
    ],
)
def test_a_list_of_labels_is_no_leak(text: str, leak: bool, mood_task: Task) -> None:
    assert ("answer-leak" in codes(text, mood_task)) == leak


def test_a_slot_of_the_task_is_no_leak() -> None:
    task = Task("stance", "label", {"target": "", "text": ""}, ("for", "against"))
    assert codes("Of {target}: {text}\nStance:", task) == []


def test_aliases_stand_for_slots(blanks_task: Task) -> None:
    assert codes("{sentence} A. {option1} B. {only_option2}\nAnswer:", blanks_task) == []
    assert codes("{sentence} A. {option1} B. {only_option2} {prompt}?", blanks_task) == ["repeated-slot"]
    (problem,) = PromptSet.from_texts(["{option1} or {option2}?"]).check(blanks_task).problems
    assert problem.code == "missing-slot"
    assert "{prompt} (or {sentence})" in problem.message


def test_slots_of_all_messages_count_together(pairs_task: Task) -> None:
    turns = [{"role": "system", "content": "Goal: {goal}"}, {"role": "user", "content": "A {sol1} B {sol2}: which?"}]
    assert codes(turns, pairs_task) == []
    turns[1]["content"] += " {goal}"
    assert codes(turns, pairs_task) == ["repeated-slot"]


def test_unknown_slots_get_a_hint(pairs_task: Task) -> None:
    (problem,) = PromptSet.from_texts([SOUND + " {sol_1}?"]).check(pairs_task).errors
    assert "did you mean {sol1}?" in problem.message


def test_copies_name_the_earlier_prompt(pairs_task: Task) -> None:
    texts = [SOUND, "A quite different wording of it all, {goal}: {sol1} (A) or {sol2} (B)?"]
    texts += [SOUND.replace("Answer", " ANSWER") + "\n", SOUND.replace("Answer:", "Answers:")]
    prompts = PromptSet(Prompt.from_text(text, id=f"p{i}") for i, text in enumerate(texts))
    report = prompts.check(pairs_task)
    assert [(p.prompt_id, p.position, p.code, p.other_id) for p in report.problems] == [
        ("p2", 3, "duplicate", "p0"),
        ("p3", 4, "near-duplicate", "p0"),
    ]
    near = similarity(prompts["p0"].template, prompts["p3"].template)
    assert f"{near:.3f} similar to prompt 1" in report.problems[1].message
    assert prompts.check(pairs_task, threshold=1.0).problems == report.problems[:1]
    assert report.errors == []
    report.raise_if_bad()


def test_many_near_copies_are_capped_and_counted(pairs_task: Task) -> None:
    texts = [SOUND.replace("Answer", "Now, with all of this in mind, answer") + " " * i + "!" * i for i in range(30)]
    problems = PromptSet.from_texts(texts).check(pairs_task, threshold=0.5).problems
    per_prompt = Counter(p.position for p in problems if p.code == "near-duplicate")
    assert per_prompt[MAX_NEAR + 1] == MAX_NEAR == per_prompt[30]
    assert "one of 29 earlier prompts" in problems[-1].message


def test_rows_are_what_programs_read(pairs_task: Task) -> None:
    report = PromptSet.from_texts([SOUND, "Answer with {goal}, {sol1}, {sol2}, {which}:"]).check(pairs_task)
    (row,) = json.loads(json.dumps(report.rows()))
    assert set(row) == {"prompt_id", "position", "code", "severity", "message", "other_id"}
    assert (row["position"], row["code"], row["severity"], row["other_id"]) == (2, "unknown-slot", "error", None)


def test_raise_if_bad_names_the_first_errors(pairs_task: Task) -> None:
    prompts = PromptSet.from_texts([SOUND, "{goal}?", "{sol1}?"])
    with pytest.raises(
        InputError, match=r"2 of 3 prompts cannot be used: prompt 2 .*missing-slot.*and 2 more"
    ) as caught:
        prompts.check(pairs_task).raise_if_bad()
    assert str(caught.value).count("\n") <= 2


def test_files_are_checked_whole(tmp_path: Path, pairs_task: Task) -> None:
    rows = [
        {"id": "a", "text": "{goal} {x!r}"},
        {"id": "b", "text": "  "},
        {"text": SOUND},
        {"text": SOUND},
        {"id": "c", "text": [{"role": "robot", "content": "x"}]},
        {"id": "d", "text": "half \ud800"},
        {"id": "e", "text": BODY + "\\nAnswer: {gold}"},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    report = check_file(path, pairs_task)
    assert report.size == 7
    assert [(p.position, p.code, p.severity) for p in report.problems] == [
        (1, "bad-syntax", "error"),
        (2, "empty", "error"),
        (4, "duplicate", "error"),
        (5, "bad-syntax", "error"),
        (6, "bad-syntax", "error"),
        (7, "unknown-slot", "error"),
        (7, "answer-leak", "error"),
        (7, "no-cue", "warning"),
        (7, "literal-newline", "warning"),
        (7, "near-duplicate", "warning"),
    ]
    assert report.problems[0].prompt_id == "a"
    assert "character 7" in report.problems[0].message
    assert {p.code for p in report.problems} <= set(ERRORS + WARNINGS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no prompts"),
        ('{"text": "x", "colour": 1}', "line 1: unknown key 'colour'"),
        ('{"text": "x", "id": "a"}\n{"text": "y", "id": "a"}', "line 2: id 'a' already stands in line 1"),
    ],
)
def test_files_that_are_no_prompt_sets(tmp_path: Path, pairs_task: Task, content: str, reason: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=reason):
        check_file(path, pairs_task)


def test_thousands_of_prompts_are_checked_in_seconds(some_texts: Callable[..., list[str]], mood_task: Task) -> None:
    prompts = PromptSet.from_texts(dict.fromkeys(text + " {text}:" for text in some_texts(3000, seed=5)))
    start = time.process_time()
    prompts.check(mood_task)
    assert time.process_time() - start < 15
