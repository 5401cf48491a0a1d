"""Types of fields, and text turned into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from paft.cli.options import MISSING, Option, option, options_of


def make(hint: Any, default: Any = MISSING) -> Option:
    return Option("some_field", hint, default, "")


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "3", 3),
        (int | None, "none", None),
        (int | None, "7", 7),
        (float, "1e-4", 1e-4),
        (float, "3", 3.0),
        (str, "3", "3"),
        (str | None, None, None),
        (str | None, "none", "none"),
        (str | list[str] | None, "none", "none"),
        (bool, "true", True),
        (bool, "off", False),
        (bool | str, "offload", "offload"),
        (bool | None, "no", False),
        (Literal["a", "b"], "b", "b"),
        (list[int], ["1", "2"], [1, 2]),
        (list[str] | None, "x", ["x"]),
        (str | list[str] | None, ["x"], "x"),
        (str | list[str] | None, ["x", "y"], ["x", "y"]),
        (tuple[float, ...], ["1", "2"], (1.0, 2.0)),
        (dict | str | None, '{"a": 1}', '{"a": 1}'),
        (dict[str, Any] | str | None, {"a": 1}, {"a": 1}),
    ],
)
def test_convert(hint: Any, text: Any, value: Any) -> None:
    found = make(hint).convert(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("hint", "text", "said"),
    [
        (int, "3.5", "expected a whole number, found '3.5'"),
        (float, "much", "expected a number, found 'much'"),
        (bool, "perhaps", "expected true or false, found 'perhaps'"),
        (bool | float, "abc", "expected true or false or a number, found 'abc'"),
        (Literal["a", "b"], "c", "expected one of a, b, found 'c'"),
        (str, ["a", "b"], "expected text, found a list"),
        (int, {"a": 1}, "expected a whole number, found a mapping"),
        (int, None, "expected a whole number, found nothing"),
        (str, None, "expected text, found nothing"),
        (list[int], ["1", "x"], "expected a whole number, found 'x'"),
    ],
)
def test_convert_refuses(hint: Any, text: Any, said: str) -> None:
    with pytest.raises(ValueError, match="expected") as bad:
        make(hint).convert(text)
    assert str(bad.value) == said


def test_options_stand_in_reading_order_with_their_defaults() -> None:
    @dataclass(kw_only=True)
    class First:
        one: int = option("the first", 1)

    @dataclass(kw_only=True)
    class Second:
        two: str = option("the second")

    @dataclass(kw_only=True)
    class Both(First, Second):
        three: bool = option("the third", False)
        one: int = option("another default", 5)

    found = options_of(Both)
    assert [o.name for o in found] == ["one", "two", "three"]
    assert found[0].default == 5
    assert found[0].help == "another default"
    assert found[1].default is MISSING


def test_both_spellings_and_an_alias() -> None:
    item = Option("output", str, MISSING, "", alias="output_dir")
    assert item.spellings == ["--output", "--output-dir", "--output_dir"]
    assert make(int).spellings == ["--some-field", "--some_field"]
