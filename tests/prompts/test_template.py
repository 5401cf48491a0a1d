"""The template parser and renderer."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paft.errors import InputError, TemplateError
from paft.prompts import Message, Template, escape

texts = st.text(max_size=200).filter(str.strip)
bracy = st.text(alphabet="{}ab.!:[]0 \n", min_size=1, max_size=40)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@given(texts)
def test_escaped_text_renders_to_itself(text: str) -> None:
    template = Template.parse(escape(text))
    assert template.slots == ()
    assert template.render({}) == text


@given(st.lists(st.tuples(st.text(max_size=20), names, st.text(max_size=50)), min_size=1, max_size=6), st.text())
def test_values_are_inserted_as_they_are(parts: list[tuple[str, str, str]], end: str) -> None:
    source = "".join(escape(literal) + "{" + name + "}" for literal, name, _ in parts) + escape(end)
    values = {name: value for _, name, value in parts}
    template = Template.parse(source)
    assert template.render(values) == "".join(literal + values[name] for literal, name, _ in parts) + end
    assert template.slots == tuple(dict.fromkeys(name for _, name, _ in parts))
    assert template.text == source


@given(bracy)
def test_what_is_parsed_agrees_with_python(source: str) -> None:
    """Whatever the parser lets through, ``str.format`` reads alike; nothing but TemplateError is raised."""
    with suppress(TemplateError):
        template = Template.parse(source)
        values = {name: f"<{name}>" for name in template.slots}
        assert template.render(values) == source.format(**values)


@pytest.mark.parametrize(
    ("source", "position", "reason"),
    [
        ("{x.__class__}", 0, "attribute access"),
        ("{x.y}", 0, "attribute access"),
        ("{x!r}", 0, "conversion"),
        ("{x:>10}", 0, "format spec"),
        ("{x:{y}}", 0, "not closed"),
        ("{x[0]}", 0, "indexing"),
        ("{}", 0, "names, not positions"),
        ("{0}", 0, "names, not positions"),
        ("{\n}", 0, "names, not positions"),
        ("{ x }", 0, "no spaces"),
        ("{x y}", 0, "not a plain name"),
        ("{1x}", 0, "not a plain name"),
        ("{x-y}", 0, "not a plain name"),
        ("{x", 0, "not closed"),
        ("{a{b}c}", 0, "not closed"),
        ("x}", 1, "closes nothing"),
        ("{{x}", 3, "closes nothing"),
        ("{x}}", 3, "closes nothing"),
    ],
)
def test_anything_but_a_plain_name_is_refused(source: str, position: int, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason) as caught:
        Template.parse("Ask: " + source)
    assert caught.value.code == "bad-syntax"
    assert caught.value.position == len("Ask: ") + position
    assert f"character {caught.value.position}" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("empty", ["", " ", "\n\t", []])
def test_an_empty_template_is_refused(empty: str | list[dict[str, str]]) -> None:
    with pytest.raises(TemplateError, match="empty") as caught:
        Template.parse(empty)
    assert caught.value.code == "empty"


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(TemplateError, match="character 3"):
        Template.parse("abc\ud800")


def test_literal_braces_beside_a_slot() -> None:
    assert Template.parse("{{{goal}}}").render({"goal": "x"}) == "{x}"
    assert Template.parse("{{}}").render({}) == "{}"


@pytest.mark.parametrize("value", ["{goal}", "{goal.__class__}", '"', "a\nb", "\\n", "🧵 {", "}{" * 50_000, "%s", ""])
def test_awkward_values(value: str) -> None:
    assert Template.parse("{goal}|{goal}").render({"goal": value}) == f"{value}|{value}"


def test_a_missing_value_is_named() -> None:
    with pytest.raises(TemplateError, match=r"no value for slot \{sol2\}; there are values for: goal") as caught:
        Template.parse("{goal} {sol2}").render({"goal": "x"})
    assert caught.value.code == "missing-slot"


def test_a_value_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match=r"\{goal\} must be text, found int"):
        Template.parse("{goal}").render({"goal": 3})  # type: ignore[dict-item]


def test_chat_templates_have_slots_in_every_message() -> None:
    turns = [
        {"role": "system", "content": "Labels: {labels}."},
        {"role": "user", "content": "{{example}}"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "{text} {labels}"},
    ]
    template = Template.parse(turns)
    assert template.is_chat
    assert template.slots == ("labels", "text")
    assert template.text == turns
    rendered = template.render({"labels": "a, b", "text": "{labels}"})
    assert rendered == [
        {"role": "system", "content": "Labels: a, b."},
        {"role": "user", "content": "{example}"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "{labels} a, b"},
    ]
    assert Template.parse([Message(t["role"], t["content"]) for t in turns]) == template


def test_a_chat_of_one_user_message_is_not_a_text() -> None:
    assert Template.parse([{"role": "user", "content": "x"}]) != Template.parse("x")


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}], "message 2: a system message"),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "last message must be from the user",
        ),
        ([{"role": "system", "content": "a"}], "last message must be from the user"),
        ([{"role": "robot", "content": "a"}], "unknown role 'robot'; expected one of system, user, assistant"),
        ([{"role": "user"}], "expected an object with role and content, found role"),
        ([{"role": "user", "content": "a", "name": "b"}], "found role, content, name"),
        ([{"role": "user", "content": 3}], "content must be text, found int"),
        (["user"], "found str"),
        ([{"role": "user", "content": "{x!r}"}], r"message 1 \(user\): character 0"),
        (3, "expected text or a list of messages, found int"),
    ],
)
def test_bad_chats_are_refused(turns: object, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        Template.parse(turns)  # type: ignore[arg-type]
