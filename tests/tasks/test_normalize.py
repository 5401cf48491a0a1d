"""Free answers in one form: what reads alike is equal, and another number or word never is."""

from __future__ import annotations

from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given

from paft.tasks import Example, Task, normalize

TASK = Task(name="t", type="free", slots={"q": ""}, match="normalized")


def right(wanted: str, said: str) -> bool:
    return TASK.judge(Example("1", {"q": "x"}, wanted), said)[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-5", "5"), ("−5", "5"), ("1.5", "15"), ("3.14", "314"), ("1/2", "12"), ("10:30", "1030"), ("50%", "50"),
        ("x = -3", "x = 3"), ("2-1", "21"), ("2 - 1", "2 1"), ("C#", "C"), ("C++", "C"), (".NET", "NET"), ("A-", "A"),
        ("(1, 2)", "12"), ("(1, 2)", "1 2"), ("[0, 1)", "(0, 1]"), ("0.05", "005"), (".5", "5"), ("-.5", ".5"),
        ("1,5", "15"), ("1,5", "1.5"), ("0,123", "0123"), ("1,23", "123"), ("(1,234)", "1234"), ("1, 234", "1234"),
        ("½", "12"), ("1½", "112"), ("5²", "52"), ("①0", "10"), ("5!", "5"), ("5′", "5"), ("5'", "5"), ("$5", "€5"),
        ("$-5", "$5"), ("0.333...", "0.333"), ("50 %", "50"), ("1e-5", "1e5"), ("1.000", "1000"), ("- 5", "5"),
        ("don't", "don t"), ("1:30", "130"), ("H₂O", "H2O"), ("3:2", "32"), ("5-", "5"), ("f(x)", "f x"),
    ],
)  # fmt: skip
def test_what_is_another_number_or_word_stays_another(one: str, other: str) -> None:
    assert not right(one, other)
    assert not right(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,234", "1234"), ("1,234,567.5", "1234567.5"), ("-1,234", "−1234"), ("$1,234", "$1234."), ("42", "42."),
        ("1\u202f234", "1,234"), ("-5", "–5"), ("12", "１２"), ("3", "٣"), ("50 %", "50%"), ("1\u00a0kg", "1 kg"),
        ("Paris", "paris."), ("Paris", "“Paris”!"), ("Paris", "(Paris)"), ("Paris", "...Paris"), ("the Nile", "Nile"),
        ("42", '"42"'), ("42", "**42**"), ("42", "`42`"), ("42", "'42'"), ("5", "(5)"), ("(1, 2)", "(1,2)"),
        ("é", "e\u0301"), ("Don’t", "don't"), ("well‑known", "well-known"), ("five", "ﬁve"), ("Ｐａｒｉｓ", "paris"),
        ("1,234 or 5", "1234, or 5?"),
    ],
)  # fmt: skip
def test_what_reads_alike_is_the_same(one: str, other: str) -> None:
    assert right(one, other)
    assert right(other, one)


NUMBERS = st.tuples(st.sampled_from(["", "-", "−"]), st.integers(0, 10**7), st.integers(0, 999), st.integers(0, 3))


def written(sign: str, whole: int, rest: int, places: int, comma: bool) -> str:
    return sign + (f"{whole:,}" if comma else str(whole)) + (f".{rest:03}"[: places + 1] if places else "")


def value(sign: str, whole: int, rest: int, places: int) -> Fraction:
    size = Fraction(f"{whole}." + (f"{rest:03}"[:places] or "0"))
    return -size if sign else size


@given(one=NUMBERS, other=NUMBERS, commas=st.tuples(st.booleans(), st.booleans()), around=st.sampled_from(
    ["{}", "{}.", "({})", '"{}"', "**{}**", "x = {}", "{}, then", "a {}"]
))  # fmt: skip
def test_numbers_are_equal_only_where_their_values_are(one, other, commas, around: str) -> None:
    same = normalize(around.format(written(*one, commas[0]))) == normalize(around.format(written(*other, commas[1])))
    if value(*one) != value(*other):
        assert not same
    if one[1:] == other[1:] and bool(one[0]) == bool(other[0]):
        assert same


@given(text=st.text(st.sampled_from("aA1Béßﬁ.,-'\"()[]{}%#!/:; 　½²１٣٪\u0301\u00a0“”’–"), max_size=12))
def test_any_text_has_a_form_and_case_and_composition_do_not_change_it(text: str) -> None:
    import unicodedata

    form = normalize(text)
    assert normalize(unicodedata.normalize("NFD", text)) == form == normalize(unicodedata.normalize("NFC", text))
    assert form == " ".join(form.split())
    assert right("x" + text, "x" + text)
