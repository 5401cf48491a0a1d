"""Task YAMLs that do not fit: each error names the line and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from paft.errors import DataError
from paft.tasks import load_task

LABEL = """\
name: mood
type: label
files: {train: train.csv, test: test.csv}
columns: {slots: {text: words}, answer: mark}
labels: {yes: good, 0: bad, 2024-01-01: odd}
top_threshold: 0.5
user_prompt: "{text}\\nAnswer:"
description: A mood.
"""
CHOICE = """\
name: pick
type: choice
files: {train: train.csv}
columns: {id: key, slots: {question: q, first: one, second: two}, answer: right}
choices: [first, second]
"""


def task_file(folder: Path, text: str) -> Path:
    path = folder / "task.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("type: label", "typ: label"), 2, "unknown key 'typ'; did you mean 'type'?"),
        (("type: label", "type: lable"), 2, "`type` is 'lable'; expected one of choice, label, free"),
        (("type: label", "type: label\ntype: free"), 3, "the key 'type' stands twice"),
        (("type: label", "type: label\nchoices: [text]"), 3, "`choices` belongs to choice tasks; this one is label"),
        (("name: mood", "name: [mood"), 2, "not YAML"),
        (("name: mood", "name:"), 1, "expected text for `name`, found nothing"),
        (("train: train.csv", "tain: train.csv"), 3, "unknown key 'tain' in files; did you mean 'train'?"),
        (("{text: words}", "{te-xt: words}"), 4, "slot 'te-xt' is not a plain name"),
        (("{text: words}", "{}"), 4, "`columns.slots` is empty"),
        (("answer: mark", "anwser: mark"), 4, "unknown key 'anwser' in columns"),
        ((", answer: mark", ""), 4, "no `columns.answer`; add it"),
        (("labels: {yes: good, 0: bad, 2024-01-01: odd}\n", ""), 2, "a label task needs `labels`"),
        (("0: bad", "0: Good"), 5, "two label words differ in case alone"),
        (("0: bad, 2024-01-01: odd", "0: good"), 5, "expected at least two label words, found 1"),
        (("top_threshold: 0.5", "top_threshold: 50"), 6, "`top_threshold` is '50'; expected a number from 0 to 1"),
        (("top_threshold: 0.5", "top_threshold: high"), 6, "`top_threshold` is 'high'"),
        (("type: label", "type: label\nmatch: exact"), 3, "`match` belongs to free tasks"),
        (("type: label", "type: label\nformat: xlsx"), 3, "`format` is 'xlsx'; expected one of jsonl, csv"),
        (("type: label", "type: label\nformat: lines"), 3, "`format: lines` and `pattern` go together"),
        (("type: label", "type: label\nformat: lines\npattern: '('"), 4, "is not a regular expression"),
        (("type: label", "type: label\nformat: lines\npattern: '.*'"), 4, "no named group"),
        (("type: label", "type: label\nheader: words"), 3, "a list of names under `header`"),
        (("type: label", "type: label\ndelimiter: ab"), 3, "`delimiter` is 'ab'; expected one character"),
        (("type: label", "type: label\nquote: ab"), 3, "`quote` is 'ab'; expected one character, or none"),
        (("type: label", "type: label\nformat: jsonl\nquote: none"), 4, "`quote` belongs to csv and tsv files"),
        (("type: label", "type: label\nanswer_is: text"), 3, "`answer_is` belongs to choice tasks"),
        (("type: label", "type: label\nsplit: {test: 0.1}"), 3, "gives a share to test, which has a file of its own"),
        (("type: label", "type: label\nsplit: {validation: 1}"), 3, "expected less than 1"),
        (("type: label", "type: label\nsplit: {validation: 0.1, seed: x}"), 3, "`split.seed` is 'x'"),
        (("type: label", "type: label\nslots: {txt: a mood}"), 3, "unknown key 'txt' in slots; did you mean 'text'?"),
        (("type: label", "type: label\nslots: {text: }"), 3, "expected text for `slots.text`, found"),
        (("type: label", "type: label\nsplit: {dev: 0.1}"), 3, "unknown key 'dev' in split"),
    ],
)
def test_yaml_that_does_not_fit(tmp_path: Path, change: tuple[str, str], line: int, words: str) -> None:
    assert change[0] in LABEL
    path = task_file(tmp_path, LABEL.replace(*change))
    with pytest.raises(DataError) as bad:
        load_task(path)
    assert str(bad.value).startswith(f"{path}, line {line}: ")
    assert words in str(bad.value)
    assert len(str(bad.value).splitlines()) <= 3
    assert bad.value.exit_code == 2


def test_what_a_slot_holds(tmp_path: Path) -> None:
    task = load_task(task_file(tmp_path, CHOICE + "slots: {question: a riddle}\n"))
    assert task.slots == {
        "question": "a riddle",
        "first": "the text of column 'one'",
        "second": "the text of column 'two'",
    }
    assert task.choices == ("first", "second")


def test_choices_that_do_not_fit(tmp_path: Path) -> None:
    for change, words in [
        (("[first, second]", "[first, third]"), "choice 'third' is not a slot; the slots are question, first, second"),
        (("[first, second]", "[first]"), "expected 2 to 26 choices, found 1"),
        (("[first, second]", "[first, first]"), "names one thing twice"),
        (("choices: [first, second]\n", ""), "a choice task needs `choices`"),
        (("[first, second]", "[first, second]\nlabels: {0: A, 1: C}"), "gives 'C' for '1'; expected one of A, B"),
        (
            ("[first, second]", "[first, second]\nanswer_is: place"),
            "`answer_is` is 'place'; expected one of text, lett",
        ),
        (("[first, second]", "[first, second]\nanswer_is: text\nlabels: {0: A}"), "both say what a stored answer mea"),
    ]:
        with pytest.raises(DataError) as bad:
            load_task(task_file(tmp_path, CHOICE.replace(*change)))
        assert words in str(bad.value)
        assert ", line " in str(bad.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "# nothing\n", "a: &x [*x, \x07]"])
def test_yaml_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="task.yaml"):
        load_task(task_file(tmp_path, text))
