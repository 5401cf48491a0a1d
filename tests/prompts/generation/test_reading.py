"""Templates out of whatever a model wrote."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paft.prompts import Template
from paft.prompts.generation.reading import clean, read_templates
from paft.tasks import load_task

ONE = "Goal: {goal}\nA. {sol1}\nB. {sol2}\nAnswer:"
TWO = "For {goal}, is (A) {sol1} or (B) {sol2} better? Letter:"
PIQA, RACE = load_task("piqa"), load_task("race")


@pytest.mark.parametrize(
    "written",
    [
        json.dumps({"templates": [ONE, TWO]}),
        json.dumps([ONE, TWO]),
        json.dumps({"templates": [{"id": 1, "text": ONE}, {"id": 2, "text": TWO}]}),
        json.dumps({"prompts": [{"template": ONE, "style": "plain"}, {"template": TWO, "style": "odd"}]}),
        json.dumps({"result": {"list": [ONE, TWO]}}),
        json.dumps({"1": ONE, "2": TWO}),
        json.dumps({"text": ONE}) + "\n" + json.dumps({"text": TWO}),
        f"Sure! Here you are:\n```json\n{json.dumps({'templates': [ONE, TWO]}, indent=2)}\n```\nLet me know!",
        f"Here is the list: {json.dumps([ONE, TWO])} I hope this helps.",
        json.dumps({"templates": [ONE, TWO, "A third {goal} that is"]})[:-12],
        json.dumps({"templates": [ONE, TWO]}).replace("\\n", "\n"),  # line breaks inside strings are not JSON
        f"<think>Let me see: [1] {{goal}}...</think>{json.dumps({'templates': [ONE, TWO]})}",
        f"1. {ONE}\n2. {TWO}\n",
        f"1) **{TWO}**\n\n2) {ONE}\n\nLet me know if you need more!",
        f'- "{TWO}"\n- {ONE}',
        f"**Template 1:** {ONE}\n\n**Template 2:** {TWO}",
        f"### Template 1\n{ONE}\n\n### Template 2\n{TWO}",
        f"```\n{ONE}\n```\nand\n```text\n{TWO}\n```",
        f"{ONE}\n\n{TWO}",
        json.dumps({"templates": [ONE, TWO]}).replace("{goal}", "{{goal}}").replace("{sol1}", "{{ sol1 }}"),
        json.dumps({"templates": [ONE, TWO]}).replace("{goal}", "<goal>").replace("{sol1}", "[sol1]"),
        json.dumps({"templates": [ONE, TWO]}).replace("{goal}", "${goal}").replace("{sol2}", "{ Sol2 }"),
        json.dumps({"templates": [f"{ONE} {{answer}}", f"{TWO} <answer>"]}),
        json.dumps({"templates": [ONE, TWO]}).replace("\\n", "\\\\n"),
        "\r\n".join(f"{n}. {t}" for n, t in enumerate((TWO, ONE.replace("\n", "\r\n")), 1)),
    ],
)
def test_two_templates_in_many_guises(written: str) -> None:
    found = read_templates(written, PIQA)
    assert sorted(found) == sorted([ONE, TWO])


def test_numbered_steps_inside_an_item() -> None:
    steps = "Do this:\n1. read {goal}\n2. weigh {sol1} (A)\n3. weigh {sol2} (B)\nLetter:"
    assert read_templates(f"1. {TWO}\n2. {steps}\n3. {ONE}", PIQA) == [TWO, steps, ONE]


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ('{"g": "{goal}", "o": {"A": "{sol1}{sol2}"}}', '{{"g": "{goal}", "o": {{"A": "{sol1}{sol2}"}}}}'),
        ('{{"g": "{goal}", "A": "{sol1}", "B": "{sol2}"}}', '{{"g": "{goal}", "A": "{sol1}", "B": "{sol2}"}}'),
        ("{{{goal}}} {sol1} {sol2}", "{{{goal}}} {sol1} {sol2}"),
        ("{goal} {sol1} {sol2} {label}", "{goal} {sol1} {sol2}"),
        ("{goal} {sol1} {sol2}\nLetter:\n{answer}", "{goal} {sol1} {sol2}\nLetter:\n"),
        ("{goal} {sol1} {sol2} {why}", "{goal} {sol1} {sol2} {why}"),  # check names it
        ("<goal>{goal}</goal> {sol1} {sol2}", "<goal>{goal}</goal> {sol1} {sol2}"),
    ],
)  # fmt: skip
def test_braces_and_marks(raw: str, meant: str) -> None:
    assert clean(raw, PIQA) == meant
    Template.parse(meant)


def test_letters_that_are_slots() -> None:
    text = "{article} {question} [A] {A} [B] {B} [C] {C} [D] {D} ?"
    assert clean(text, RACE) == text
    assert clean("{article} {question} <A> / <B> / <C> / <D>", RACE) == "{article} {question} {A} / {B} / {C} / {D}"


@pytest.mark.parametrize(
    "written", ["", "I cannot help with that.", "{", "[[[[", '{"templates": []}', "{}" * 3000, "[" * 5000]
)
def test_nothing_there(written: str) -> None:
    assert [text for text in read_templates(written, PIQA) if "{goal}" in text] == []


@given(st.text(alphabet='{}[]<>"\\\n ag01.:`*-', max_size=80))
def test_any_text_is_read(text: str) -> None:
    for template in read_templates(text, PIQA):
        assert template == template.lstrip().rstrip(" \t") != ""


@given(st.text(max_size=40), st.integers(0, 200))
def test_a_cut_list_keeps_its_whole_items(noise: str, cut: int) -> None:
    items = [ONE, f"{TWO} {len(noise)}", TWO]
    written = json.dumps({"templates": items})
    whole = [text for text in items if json.dumps(text) in written[: len(written) - cut]]
    assert read_templates(written[: len(written) - cut], PIQA) == whole
