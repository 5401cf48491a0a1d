"""Text made fit for a figure: what is taken out, where it is cut and wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paft.report.figures.words import BREAK, ELLIPSIS, KEPT, clean, label, shorten, width, wrap
from paft.report.pairs import Piece


def joined(lines: list) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def test_control_and_bidi_marks_are_taken_out() -> None:
    dirty = "a\x00b\u202ec\u2066d\u200fe\ufeff\ud800\ufffff\r\ng\rh\ti"
    assert clean(dirty) == "abcdef\ng\nh    i"


def test_a_label_is_one_short_line() -> None:
    assert label("two\nlines\tof  it") == "two lines of it"
    assert label("x" * 50, 10) == "x" * 9 + ELLIPSIS


def test_lines_break_at_spaces_and_at_breaks() -> None:
    lines = wrap([Piece("one two ", False), Piece("three", True), Piece(" four\nfive", False)], 9, 9)
    assert joined(lines) == ["one two ", "three ", f"four{BREAK}", "five"]
    assert [[s.text for s in line if s.changed] for line in lines] == [[], ["three"], [], []]
    assert [s.start for s in lines[1]] == [0, 5]


def test_a_long_word_is_broken_and_wide_characters_take_two_cells() -> None:
    assert joined(wrap([Piece("x" * 25, True)], 10, 9)) == ["x" * 10, "x" * 10, "x" * 5]
    assert joined(wrap([Piece("分类问题", False)], 4, 9)) == ["分类", "问题"]
    assert width("e\u0301分") == 3


def test_too_many_lines_end_in_an_ellipsis() -> None:
    lines = joined(wrap([Piece("word " * 1000, False)], 20, 3))
    assert len(lines) == 3
    assert lines[-1].endswith(ELLIPSIS)


def test_what_is_near_a_change_stays() -> None:
    pieces = [Piece("far " * 200 + "near", False), Piece("CHANGED", True), Piece("close" + " away" * 200, False)]
    short = shorten(pieces)
    assert [p.changed for p in short] == [False, True, False]
    assert short[0].text.endswith("near")
    assert short[2].text.startswith("close")
    assert all(len(p.text) <= 2 * KEPT + 3 for p in short)


@pytest.mark.parametrize("cells", [8, 40])
@given(text=st.text(max_size=200), marks=st.booleans())
def test_no_line_is_wider_than_it_may_be(cells: int, text: str, marks: bool) -> None:
    tidy = clean(text)
    lines = wrap([Piece(tidy, marks)], cells, 300)
    for line in lines:
        assert sum(width(s.text.replace(BREAK, "")) for s in line) <= cells
    assert "".join(joined(lines)).replace(BREAK, "").replace(" ", "") == tidy.replace("\n", "").replace(
        BREAK, ""
    ).replace(" ", "")
