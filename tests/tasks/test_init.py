"""``init_task``: what it guesses of realistic tables, and that what it writes loads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from paft.errors import DataError, InputError, MissingFileError, OutputError
from paft.prompts import PromptSet
from paft.tasks import SPLITS, Task, load_task
from paft.tasks.init import InitReport, init_task


def write_csv(path: Path, rows: list[list], encoding: str = "utf-8", **style) -> Path:
    with path.open("w", newline="", encoding=encoding) as out:
        csv.writer(out, **style).writerows(rows)
    return path


def write_json(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentiment(count: int = 40) -> list[list]:
    rows = [[n, f'film {n}, "good" or\n{{not}} 🎬', n % 5, ["pos", "neg", "so_so"][n % 3]] for n in range(count)]
    return [["", "Review text", "stars", "sentiment"], *rows]


def check(report: InitReport) -> Task:
    """What is written loads: all rows in some split, prompts without a fault."""
    task = load_task(report.task_file)
    assert {split: len(task.examples(split)) for split in SPLITS} == report.rows
    prompts = PromptSet.load(report.prompts_file)
    assert len(prompts) == report.prompts >= 12
    assert prompts.check(task).problems == []
    assert PromptSet.from_texts([task.user_prompt]).check(task).problems == []
    return task


def test_sentiment_csv(tmp_path: Path) -> None:
    report = init_task(write_csv(tmp_path / "films.csv", sentiment()), tmp_path / "out")
    task = check(report)
    assert (task.name, task.type, task.answers) == ("films", "label", ("neg", "pos", "so so"))
    assert list(task.slots) == ["review_text"]
    assert report.rows == {"train": 32, "validation": 4, "test": 4}
    assert task.examples("train")[0].slots["review_text"].endswith("or\n{not} 🎬")
    said = "\n".join(report.guesses)
    assert "answer: column 'sentiment', by its name" in said
    assert "left out, no running text: column 1, stars" in said
    assert "32 train, 4 validation, 4 test" in said


@pytest.mark.parametrize("answers", ["ABC", "abc", "123", "012"])
def test_multiple_choice_csv(tmp_path: Path, answers: str) -> None:
    rows = [[f"what is thing {n}?", f"x{n}", f"y {n}", f"z{n}", answers[n % 3]] for n in range(30)]
    header = ["question", "option_a", "option_b", "option_c", "answer"]
    task = check(init_task(write_csv(tmp_path / "quiz.csv", [header, *rows]), tmp_path / "out"))
    assert (task.type, task.answers) == ("choice", ("A", "B", "C"))
    assert list(task.slots) == header[:4]
    for example in task.examples("train"):
        assert example.gold == int(example.id.split(":")[1]) % 3


def test_options_with_answers_as_text(tmp_path: Path) -> None:
    rows = [
        {"id": f"k{n}", "q": f"what is thing {n}?", "A": f"x{n}", "B": f"y{n}", "gold": "xy"[n % 2] + str(n)}
        for n in range(20)
    ]
    task = check(init_task(write_json(tmp_path / "quiz.jsonl", rows), tmp_path / "out"))
    assert task.type == "choice"
    assert all(example.gold == int(example.id[1:]) % 2 for example in task.examples("train"))


def test_two_sentences_and_a_number_are_no_choice(tmp_path: Path) -> None:
    rows = [[f"a cat sat on {n}", f"on {n} a cat sat", str(n % 2)] for n in range(20)]
    report = init_task(
        write_csv(tmp_path / "pairs.csv", [["sentence1", "sentence2", "label"], *rows]), tmp_path / "out"
    )
    task = check(report)
    assert (task.type, task.answers) == ("label", ("0", "1"))
    assert any("the labels are numbers" in line for line in report.guesses)


def test_questions_and_answers_jsonl(tmp_path: Path) -> None:
    rows = [{"question": f"how much is {n} and {n}?", "answer": 2 * n, "meta": {"n": n}} for n in range(25)]
    report = init_task(write_json(tmp_path / "qa.jsonl", rows), tmp_path / "out")
    task = check(report)
    assert (task.type, list(task.slots)) == ("free", ["question"])
    assert any(line.startswith("column 'meta' is left out") for line in report.guesses)
    assert {e.answer for split in SPLITS for e in task.examples(split)} == {str(2 * n) for n in range(25)}


def test_semicolons_and_an_old_encoding(tmp_path: Path) -> None:
    rows = [[f"Schöne Grüße, Zimmer {n}", ["Büro", "nein", "ja"][n % 3]] for n in range(30)]
    path = write_csv(tmp_path / "de.csv", [["Text", "Thema"], *rows], encoding="cp1252", delimiter=";")
    report = init_task(path, tmp_path / "out")
    assert check(report).answers == ("Büro", "ja", "nein")
    assert any("cp1252" in line for line in report.guesses)
    assert any("delimiter: ';'" in line for line in report.guesses)


@pytest.mark.parametrize("first", ["the film was good fun\tgood\n", "no good\t1\n"])
def test_a_table_without_header(tmp_path: Path, first: str) -> None:
    rows = "".join(f"the film number {n} was fun\t{first.split()[-1] if n % 2 else 'zero'}\n" for n in range(20))
    (tmp_path / "reviews.tsv").write_text(first + rows)
    report = init_task(tmp_path / "reviews.tsv", tmp_path / "out")
    task = check(report)
    assert sum(report.rows.values()) == 21
    assert list(task.slots) == ["text"]
    assert any("no header line" in line for line in report.guesses)


def test_parquet(tmp_path: Path, parquet) -> None:
    path = parquet(tmp_path / "p.parquet", [{"text": f"a long text {n}", "label": n % 4} for n in range(40)])
    assert check(init_task(path, tmp_path / "out")).answers == ("0", "1", "2", "3")


def test_awkward_label_words_come_back(tmp_path: Path) -> None:
    words = ["yes", "null", "3: x", "{a}", 'say "b"', "#c", "ü🦊"]
    rows = [[f"some text {n}", words[n % 7]] for n in range(70)]
    task = check(init_task(write_csv(tmp_path / "a.csv", [["text", "label"], *rows]), tmp_path / "out"))
    assert set(task.answers) == set(words)


def test_the_answer_may_be_named(tmp_path: Path) -> None:
    rows = [[f"some text {n}", "xy"[n % 2], "uvw"[n % 3]] for n in range(30)]
    path = write_csv(tmp_path / "a.csv", [["text", "label", "kind"], *rows])
    assert check(init_task(path, tmp_path / "out", answer="kind")).answers == ("u", "v", "w")
    with pytest.raises(InputError, match="no column 'nope' to be the answer; the columns are text, label, kind"):
        init_task(path, tmp_path / "other", answer="nope")


def test_the_task_may_stand_beside_the_data(tmp_path: Path) -> None:
    report = init_task(write_csv(tmp_path / "films.csv", sentiment()), tmp_path)
    assert "files: {train: films.csv}" in report.task_file.read_text()
    check(report)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "films.csv", sentiment())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prompts.jsonl").write_text("mine")
    with pytest.raises(OutputError, match="is there already and is not written over"):
        init_task(path, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["prompts.jsonl"]
    assert (tmp_path / "out" / "prompts.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("text,label\n" + "a b,x\n" * 20 + "a,b,c\n", DataError, "line 22: expected 2 fields (text, label), found 3"),
        ("text,label\n" + "a b,x\nb c,y\n" * 9 + "a b,\n", DataError, "line 20: column 'label' is empty"),
        ("text,label\na b,x\nc d,y\n", DataError, "holds 2 rows; expected at least 10"),
        ("", DataError, "the file is empty"),
        ("text\n" + "some words\n" * 20, InputError, "found only text"),
        ("one,two\n" + "".join(f"w {n},v {n}\n" for n in range(20)), InputError, "no column looks like the answer"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, content: str, error: type, words: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(error) as bad:
        init_task(tmp_path / "a.csv", tmp_path / "out")
    assert words in str(bad.value)
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_there_or_no_table(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        init_task(tmp_path / "a.csv", tmp_path / "out")
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(InputError, match="does not tell the format"):
        init_task(tmp_path / "a.docx", tmp_path / "out")
    write_json(tmp_path / "a.jsonl", [{"q": "x y z", "answer": None if n == 4 else "v"} for n in range(20)])
    with pytest.raises(DataError, match="line 5: column 'answer' is null"):
        init_task(tmp_path / "a.jsonl", tmp_path / "out")


def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "films.csv", sentiment())
    one, two = (init_task(path, tmp_path / name) for name in ("one", "two"))
    assert one.task_file.read_text() == two.task_file.read_text()
    assert one.prompts_file.read_text() == two.prompts_file.read_text()
    assert one.guesses == two.guesses
