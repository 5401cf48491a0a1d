"""``init_task`` where a table can be read in two ways: read right, or refused with the flag that decides."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from paft.cli.main import main
from paft.errors import DataError, InputError
from paft.tasks import SPLITS, load_task
from paft.tasks.base import Example
from paft.tasks.guess import Hints
from paft.tasks.init import InitReport, init_task

HEAD = "question,option_a,option_b,option_c,option_d,answer\n"


def examples(report: InitReport) -> list[Example]:
    task = load_task(report.task_file)
    found = [example for split in SPLITS for example in task.examples(split)]
    return sorted(found, key=lambda example: int(example.id.split(":")[1]))


def quiz(path: Path, low: int, high: int, answers: list[str] | None = None, rows: int = 40) -> tuple[Path, list[int]]:
    """A quiz whose options are four different whole numbers, and the right option of each row: 0, 1, 2, 3, 0 ..."""
    draw = random.Random(3)
    options = [[str(n) for n in draw.sample(range(low, high), 4)] for _ in range(rows)]
    golds = [n % 4 for n in range(rows)]
    right = answers or [row[gold] for row, gold in zip(options, golds, strict=True)]
    lines = [f"how many of the {n} are left?,{','.join(row)},{right[n]}\n" for n, row in enumerate(options)]
    path.write_text(HEAD + "".join(lines))
    return path, golds


def jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_numbers_as_options_and_the_answer_as_text(tmp_path: Path) -> None:
    path, golds = quiz(tmp_path / "q.csv", 1, 20)
    report = init_task(path, tmp_path / "out")
    found = examples(report)
    assert [example.gold for example in found] == golds
    stored = [line.split(",")[-1] for line in path.read_text().splitlines()[1:]]
    assert [example.options[example.gold] for example in found] == stored
    assert any("answers are the options' own texts" in line for line in report.guesses)
    assert "\nanswer_is: text\n" in report.task_file.read_text()


def test_numbers_that_may_be_texts_or_places(tmp_path: Path) -> None:
    path, golds = quiz(tmp_path / "q.csv", 1, 5)
    with pytest.raises(
        InputError, match="own texts or places counted from 1: .*--answer-is text or --answer-is index1"
    ):
        init_task(path, tmp_path / "out")
    report = init_task(path, tmp_path / "text", hints=Hints(answer_is="text"))
    assert [example.gold for example in examples(report)] == golds
    stored = [int(line.split(",")[-1]) for line in path.read_text().splitlines()[1:]]
    report = init_task(path, tmp_path / "places", hints=Hints(answer_is="index1"))
    assert [example.gold for example in examples(report)] == [number - 1 for number in stored]


def test_places_that_no_row_settles(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(HEAD + "".join(f"what is {n}?,a{n},b{n},c{n},d{n},{1 + n % 3}\n" for n in range(30)))
    with pytest.raises(
        InputError, match="counted from 0 or places counted from 1: .*--answer-is index0 or --answer-is i"
    ):
        init_task(path, tmp_path / "out")
    for way, first in (("index0", 1), ("index1", 0)):
        report = init_task(path, tmp_path / way, hints=Hints(answer_is=way))
        assert [example.gold for example in examples(report)] == [first + n % 3 for n in range(30)]


def test_places_written_as_fractions(tmp_path: Path) -> None:
    """As a data frame writes whole numbers of a column with gaps."""
    path = tmp_path / "q.csv"
    path.write_text(HEAD + "".join(f"what is {n}?,a{n},b{n},c{n},d{n},{n % 4}.0\n" for n in range(30)))
    assert [example.gold for example in examples(init_task(path, tmp_path / "out"))] == [n % 4 for n in range(30)]


def test_letters_that_are_options_too(tmp_path: Path) -> None:
    """Which of A and B comes first: the letter and the text disagree in half of the rows."""
    path = tmp_path / "q.csv"
    lines = [f"{n} or not?,{'A,B' if n % 2 else 'B,A'},{'AB'[n % 3 == 0]}\n" for n in range(30)]
    path.write_text("question,option_a,option_b,answer\n" + "".join(lines))
    with pytest.raises(InputError, match="own texts or letters: every row fits; say which with --answer-is text or "):
        init_task(path, tmp_path / "out")
    report = init_task(path, tmp_path / "letters", hints=Hints(answer_is="letter"))
    assert [example.gold for example in examples(report)] == [int(n % 3 == 0) for n in range(30)]


def test_one_answer_that_is_no_option(tmp_path: Path) -> None:
    path, _ = quiz(tmp_path / "q.csv", 11, 30)
    lines = path.read_text().splitlines()
    lines[5] = lines[5].rpartition(",")[0] + ",99"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="most answers .* are the options' own texts, but '99' in row 5 is none"):
        init_task(path, tmp_path / "out")
    assert load_task(init_task(path, tmp_path / "free", hints=Hints(type="free")).task_file).type == "free"


def test_what_a_choice_task_needs(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "".join(f"some text {n},{'xy'[n % 2]}\n" for n in range(20)))
    for hints in (Hints(answer_is="text"), Hints(type="choice")):
        with pytest.raises(InputError, match="a choice task needs a column for each option"):
            init_task(path, tmp_path / "out", hints=hints)
    with pytest.raises(InputError, match="--answer-is is for choice tasks, and --type is label"):
        init_task(path, tmp_path / "out", hints=Hints(type="label", answer_is="text"))


@pytest.mark.parametrize("labels", [("0", "0.0", "1"), ("1", "01", "2"), ("Yes", "yes", "no"), ("1e1", "10", "2")])
def test_labels_written_in_two_ways(tmp_path: Path, labels: tuple[str, ...]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "".join(f"some text {n},{labels[n % 3]}\n" for n in range(30)))
    with pytest.raises(InputError, match=r"may be one label written in several ways; say --alike one .*--alike apart"):
        init_task(path, tmp_path / "out")
    found = examples(init_task(path, tmp_path / "one", hints=Hints(alike="one")))
    one = min(labels[:2], key=lambda label: (len(label), sorted(labels[:2]).index(label)))
    assert [example.answer for example in found] == [labels[2] if n % 3 == 2 else one for n in range(30)]
    if labels[0].casefold() != labels[1].casefold():
        found = examples(init_task(path, tmp_path / "apart", hints=Hints(alike="apart")))
        assert [example.answer for example in found] == [labels[n % 3] for n in range(30)]


def test_numbers_of_two_kinds_in_json(tmp_path: Path) -> None:
    rows = [{"text": f"some text {n}", "label": [0, 0.0, 1, 1.0][n % 4]} for n in range(30)]
    path = jsonl(tmp_path / "t.jsonl", rows)
    with pytest.raises(InputError, match="column 'label' holds '0', '0.0'"):
        init_task(path, tmp_path / "out")
    found = examples(init_task(path, tmp_path / "one", hints=Hints(alike="one")))
    assert [example.answer for example in found] == ["01"[n % 4 > 1] for n in range(30)]


def test_words_that_other_readers_take_for_nothing(tmp_path: Path) -> None:
    """Labels are text: none is a gap, a truth value, a number or a date."""
    words = ["NA", "None", "nan", "null", "true", "007", "1-2", "2024-01-02", "N/A"]
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "".join(f"some text {n},{words[n % 9]}\n" for n in range(90)))
    assert [example.answer for example in examples(init_task(path, tmp_path / "out"))] == words * 10
    rows = [{"text": f"some text {n}", "label": n % 2 == 0} for n in range(20)]
    found = examples(init_task(jsonl(tmp_path / "t.jsonl", rows), tmp_path / "json"))
    assert [example.answer for example in found] == ["true", "false"] * 10


def test_options_that_some_rows_lack(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"what is {n}?",
            "A": f"x{n}",
            "B": f"y{n}",
            "C": None if n % 3 else f"z{n}",
            "answer": "AB"[n % 2],
        }
        for n in range(20)
    ]
    report = init_task(jsonl(tmp_path / "q.jsonl", rows), tmp_path / "out")
    task = load_task(report.task_file)
    assert task.choices == ("A", "B", "C")
    assert any("column 'C' is null in 13 rows, which have fewer options" in line for line in report.guesses)
    found = examples(report)
    assert [example.slots["C"] for example in found] == ["" if n % 3 else f"z{n}" for n in range(20)]
    assert [example.answer for example in found] == ["AB"[n % 2] for n in range(20)]
    rows = [{**row, "C": f"z{n}"} for n, row in enumerate(rows)]
    del rows[5]["C"]
    with pytest.raises(DataError, match="line 6: no column 'C'; found question, A, B, answer"):
        init_task(jsonl(tmp_path / "q.jsonl", rows), tmp_path / "other")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"stem": "what is it?"}, "line 1: column 'question' holds a dict"),
        (["a", "b"], "line 1: column 'question' holds a list"),
        ([1, 2], "line 1: column 'question' holds a list"),
        ({"of": {"parts": [1]}}, "line 1: column 'question' holds a dict"),
    ],
)
def test_columns_in_columns_are_not_left_out_in_silence(tmp_path: Path, value: object, words: str, parquet) -> None:
    rows = [{"question": value, "hint": f"a hint of {n}", "answer": "xy"[n % 2]} for n in range(20)]
    for path in (jsonl(tmp_path / "q.jsonl", rows), parquet(tmp_path / "q.parquet", rows)):
        with pytest.raises(InputError) as asks:
            init_task(path, tmp_path / "out")
        assert words in str(asks.value).replace("row 1", "line 1")
        assert "columns of their own" in str(asks.value)
        assert "--slots A,B" in str(asks.value)
        report = init_task(path, tmp_path / path.suffix, hints=Hints(slots=["hint"]))
        assert list(load_task(report.task_file).slots) == ["hint"]
        assert any(line.startswith("column 'question' is left out") for line in report.guesses)


def test_a_text_with_gaps_is_not_left_out_in_silence(tmp_path: Path) -> None:
    rows = [
        {"review": f"some words {n}" if n != 7 else None, "note": f"other words {n}", "label": "xy"[n % 2]}
        for n in range(20)
    ]
    path = jsonl(tmp_path / "t.jsonl", rows)
    with pytest.raises(
        InputError, match=r"line 8: column 'review' is null.*\n1 of 20 rows lack it: fill them.*--slots"
    ):
        init_task(path, tmp_path / "out")
    with pytest.raises(DataError, match="line 8: column 'review' is null"):
        init_task(path, tmp_path / "out", hints=Hints(slots=["review"]))


def test_slots_that_cannot_be(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", [{"text": f"some words {n}", "label": "xy"[n % 2]} for n in range(20)])
    with pytest.raises(InputError, match="column 'txt' cannot be a slot, it is not there; the columns are text, label"):
        init_task(path, tmp_path / "out", hints=Hints(slots=["txt"]))
    with pytest.raises(InputError, match="column 'label' cannot be a slot, it is the answer"):
        init_task(path, tmp_path / "out", hints=Hints(slots=["label"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("half \\ud83d of it", "line 6: column 'text' holds half of a surrogate pair, \\ud83d, at character 5"),
        ("a \\u0000 sign", "line 6: column 'text' holds a NUL character; remove it"),
    ],
)
def test_what_is_no_text_names_its_line(tmp_path: Path, text: str, words: str) -> None:
    lines = [f'{{"text": "{text if n == 5 else "a b"} {n}", "label": "{"xy"[n % 2]}"}}\n' for n in range(20)]
    (tmp_path / "t.jsonl").write_text("".join(lines))
    with pytest.raises(DataError) as bad:
        init_task(tmp_path / "t.jsonl", tmp_path / "out")
    assert words in str(bad.value)


def test_the_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same on the command line: refused with exit 2, then read as the flags say."""
    path = tmp_path / "t.tsv"
    rows = "".join(f"'a b {n}'\tja\t1\n'c d'\t3\t2\n" for n in range(8))
    path.write_bytes(f"wörter\tart, genau\tx\n{rows}".encode("cp1252"))
    call = [
        "init",
        str(path),
        "--output",
        str(tmp_path / "out"),
        "--header",
        "yes",
        "--quote",
        "'",
        "--delimiter",
        "tab",
    ]
    call += ["--encoding", "cp1252", "--slots", 'wörter,"art, genau"', "--answer", "x", "--type", "label"]
    assert main([*call, "--alike", "two"]) == 2
    assert "--alike" in capsys.readouterr().err
    assert main(call) == 0
    task = load_task(tmp_path / "out")
    assert sorted(example.slots["art_genau"] for split in SPLITS for example in task.examples(split))[0] == "3"
    assert "a b 3" in {example.slots["w_rter"] for split in SPLITS for example in task.examples(split)}
