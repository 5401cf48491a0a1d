"""The prompt grammar: templates for any task, without a model."""

from __future__ import annotations

import random
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz import fuzz, process

from paft.errors import InputError
from paft.prompts import Prompt, Template, check
from paft.prompts.generation import grammar
from paft.prompts.generation.grammar import grammar_templates
from paft.prompts.generation.grammar_phrases import expand, rules
from paft.prompts.generation.grammar_words import view
from paft.prompts.similarity import comparable
from paft.tasks import load_task
from paft.tasks.base import Task

TREC = Path(__file__).resolve().parents[3] / "examples" / "trec" / "task.yaml"
RECIPE = """
name: recipe
type: free
files: {train: train.jsonl}
columns: {slots: {recipe: r, guest_count: n, diet_notes: d}, answer: a}
"""
EXAMPLES = [
    "[A] {sol1}\n[B] {sol2}\nGoal: {goal}\nPick the better plan.\nPlan:",
    "{goal}?\n[A] {sol1}\n[B] {sol2}\nVote:",
]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    recipe = tmp_path_factory.mktemp("task") / "task.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    options = {"late": "", "goal": "", "early": ""}
    awkward = {"text": "", "x": "", "y_2": "a {brace} here", "B": ""}
    return {
        **{name: load_task(name) for name in ("piqa", "hellaswag", "winogrande", "race", "demo")},
        "trec": load_task(TREC),
        "recipe": load_task(recipe),
        "swapped": Task("swapped", "choice", options, ("A", "B"), choices=("early", "late")),
        "inside": Task("inside", "choice", {"q": ""}, ("A", "B", "C", "D")),
        "alone": Task("alone", "choice", {"cause1": "", "cause2": ""}, ("A", "B")),
        "awkward": Task("awkward", "label", awkward, ("{no}", "yes sir", "[do]"), description="What? {x} [do] (maybe"),
        "many": Task("many", "label", {"text": ""}, tuple(f"intent {n}" for n in range(77))),
    }


NAMES = ("piqa", "hellaswag", "winogrande", "race", "demo", "trec", "recipe", "swapped", "inside", "alone", "awkward")


def make(task: Task, count: int = 80, seed: int = 0) -> list[str]:
    return list(islice(grammar_templates(task, seed), count))


@pytest.mark.parametrize("name", [*NAMES, "many"])
def test_every_template_is_sound(tasks: dict[str, Task], name: str) -> None:
    task = tasks[name]
    texts = make(task, 100)
    assert len(set(texts)) == 100
    report = check([Prompt.from_text(text) for text in texts], task)
    assert report.problems == []
    for text in texts:
        template = Template.parse(text)
        assert sorted(slot for pieces in template.parsed for slot in pieces.slots) == sorted(task.slots)
        assert not text.endswith((" ", "\t"))
        assert 5 <= len(template.mask(" ").split()) <= 120


@pytest.mark.parametrize(
    ("name", "slots"), [("piqa", ("sol1", "sol2")), ("race", "ABCD"), ("swapped", ("early", "late"))]
)
def test_letters_never_leave_their_slots(tasks: dict[str, Task], name: str, slots: tuple[str, ...]) -> None:
    for text in make(tasks[name], 100):
        for letter, slot in zip("ABCD", slots, strict=False):
            before = text[: text.index(f"{{{slot}}}")]
            assert re.findall(r"(?<!\w)[A-D](?!\w)", before)[-1] == letter, text


@pytest.mark.parametrize("name", ["piqa", "trec", "demo", "recipe"])
def test_diversity_of_200(tasks: dict[str, Task], name: str) -> None:
    forms = [comparable(Template.parse(text)) for text in make(tasks[name], 200)]
    alike = (process.cdist(forms, forms, scorer=fuzz.ratio) / 100)[np.triu_indices(200, 1)]
    assert alike.max() < 0.9
    assert alike.mean() < 0.55


def test_same_arguments_same_stream(tasks: dict[str, Task]) -> None:
    task = tasks["piqa"]
    assert make(task, 30, seed=3) == make(task, 30, seed=3)
    assert not set(make(task, 30, seed=3)) & set(make(task, 30, seed=4))
    assert set(make(task, 30)) != set(islice(grammar_templates(task, 0, "few-shot"), 30))


def test_stream_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "LIMITS", (0.4, 0.45))
    texts = list(islice(grammar_templates(Task("tiny", "free", {"a": ""}), 0), 1000))
    assert 10 < len(texts) < 1000
    forms = [comparable(Template.parse(text)) for text in texts]
    assert (process.cdist(forms, forms, scorer=fuzz.ratio) / 100)[np.triu_indices(len(forms), 1)].max() < 0.451


def test_few_shot_takes_after_its_examples(tasks: dict[str, Task]) -> None:
    task = tasks["piqa"]

    def shares(texts: list[str]) -> tuple[float, float, float]:
        counts = [
            (t.endswith(("Plan:", "Vote:")), "[A] {sol1}" in t, t.index("{sol1}") < t.index("{goal}")) for t in texts
        ]
        plan, mark, first = np.mean(counts, axis=0)
        return plan, mark, first

    examples = [Template.parse(text) for text in EXAMPLES]
    like = shares(list(islice(grammar_templates(task, 0, "few-shot", examples), 100)))
    free = shares(make(task, 100))
    assert free[0] == 0
    assert like[0] > 0.2
    assert like[1] > free[1] + 0.2
    assert like[2] > free[2] + 0.05


def test_few_shot_examples_for_another_task_change_nothing(tasks: dict[str, Task]) -> None:
    task = tasks["demo"]
    with_them = grammar_templates(task, 0, "few-shot", [Template.parse(EXAMPLES[0])])
    assert list(islice(with_them, 20)) == list(islice(grammar_templates(task, 0, "few-shot"), 20))


def test_unknown_strategy(tasks: dict[str, Task]) -> None:
    with pytest.raises(InputError, match="zero-shot or few-shot"):
        grammar_templates(tasks["demo"], 0, "one-shot")  # type: ignore[arg-type]


def test_words_of_a_task(tasks: dict[str, Task]) -> None:
    piqa, trec, swapped = (view(tasks[name]) for name in ("piqa", "trec", "swapped"))
    assert piqa.options == ("sol1", "sol2")
    assert piqa.things[0] == ("solution", "solutions")
    assert set(piqa.nouns["goal"]) == {"goal", "everyday goal"}
    assert piqa.topic == "Physical common sense"
    assert set(trec.nouns["text"]) == {"question"}
    assert trec.things[0] == ("type", "types")
    assert (swapped.texts, swapped.options) == (("goal",), ("early", "late"))
    assert view(tasks["recipe"]).descriptions == ()
    assert not view(tasks["many"]).can_list


@pytest.mark.parametrize("kind", ["choice", "label", "free"])
def test_every_rule_of_the_grammar_is_known(kind: str) -> None:
    known = rules(kind)  # type: ignore[arg-type]
    given = {
        "adj", "pred", "n", "has_text", "listed", "listed_now", "single", "desc", "topic", "option", "options", "kind",
        "kinds", "letters_or", "letters_and", "letters_slash", "the_rest", "labels", "labels_or", "labels_and", "mark",
        "the_options", "the_text", "after_text", "quoted", "inline", "inline_or", "inline_and",
    }  # fmt: skip
    used = {name for lines in known.values() for line in lines for name in re.findall(r"\[\^?([a-z_]+)\]", line)}
    assert used <= given | set(known)
    assert all(len(set(lines)) > 2 for lines in known.values())


def test_expand_puts_words_in_as_they_are() -> None:
    known = {"start": ["[^who] [verb] [who].", "[none] never"], "verb": ["greets"]}
    words = {"who": ["[verb] {it}"], "who_again": ["them"], "none": []}
    assert expand("start", known, words, random.Random(0)) == "[verb] {it} greets them."
