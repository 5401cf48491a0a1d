"""Tasks of a user's own: what a task YAML may say, what rows become, and every way to be wrong."""

from __future__ import annotations

import csv
import pickle
from collections import Counter
from pathlib import Path

import pytest

from paft.errors import DataError, InputError, MissingFileError, PaftError
from paft.tasks import Task, load_task

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
FREE = """\
name: sums
type: free
files: {train: train.jsonl}
columns: {slots: [question], answer: answer}
match: normalized
"""


def table(path: Path, *rows: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(rows)
    return path


def task_file(folder: Path, text: str) -> Path:
    path = folder / "task.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_label_task(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["words", "mark"], ["a {b}\n🦊", "yes"], ["c", " 0 "], ["d", "2024-01-01"])
    table(tmp_path / "test.csv", ["mark", "words"], ["yes", "e"])
    task = load_task(task_file(tmp_path, LABEL))
    assert (task.name, task.type, task.answers) == ("mood", "label", ("good", "bad", "odd"))
    assert (task.top_threshold, task.user_prompt, task.description) == (0.5, "{text}\nAnswer:", "A mood.")
    first, second, third = task.examples("train")
    assert (first.id, dict(first.slots), first.answer, first.gold) == ("train:0", {"text": "a {b}\n🦊"}, "good", 0)
    assert (second.answer, third.answer, third.id) == ("bad", "odd", "train:2")
    assert [example.id for example in task.examples("test")] == ["test:0"]
    assert pickle.loads(pickle.dumps(task)).examples("train") == task.examples("train")


def test_label_order_and_shared_words(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["words", "mark"], ["a", "3"], ["b", "1"], ["c", "2"])
    text = LABEL.replace("{yes: good, 0: bad, 2024-01-01: odd}", "{3: good, 1: bad, 2: good}")
    task = load_task(task_file(tmp_path, text))
    assert task.answers == ("good", "bad")
    assert [example.gold for example in task.examples("train")] == [0, 1, 0]
    task = load_task(task_file(tmp_path, text.replace("{3: good, 1: bad, 2: good}", "[1, 2, 3]")))
    assert [example.answer for example in task.examples("train")] == ["3", "1", "2"]


@pytest.mark.parametrize(
    ("right", "gold"), [("A", 0), ("b", 1), ("first", 0), ("two", 1), ("a cat", 0), (" a dog ", 1)]
)
def test_choice_answers_in_every_form(tmp_path: Path, right: str, gold: int) -> None:
    table(tmp_path / "train.csv", ["key", "q", "one", "two", "right"], ["k1", "What?", "a cat", "a dog", right])
    example = load_task(task_file(tmp_path, CHOICE)).examples("train")[0]
    assert (example.id, example.gold, example.answer) == ("k1", gold, "AB"[gold])
    assert example.options == ("a cat", "a dog")
    assert dict(example.slots) == {"question": "What?", "first": "a cat", "second": "a dog"}


def test_choice_answers_that_are_numbers_need_labels(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["key", "q", "one", "two", "right"], ["k1", "What?", "a cat", "a dog", "1"])
    with pytest.raises(DataError, match=r"line 2: '1' in column 'right' is none of the options; expected one of A, B"):
        load_task(task_file(tmp_path, CHOICE)).examples("train")
    task = load_task(task_file(tmp_path, CHOICE + "labels: {0: A, 1: B}\n"))
    assert task.examples("train")[0].answer == "B"


def test_choice_answers_that_mean_two_things(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["key", "q", "one", "two", "right"], ["k1", "Which blood group?", "B", "A", "A"])
    with pytest.raises(DataError, match="line 2: 'A' in column 'right' could mean 2 of the options"):
        load_task(task_file(tmp_path, CHOICE)).examples("train")


@pytest.mark.parametrize(
    ("way", "right", "gold"),
    [
        ("text", "A", 1), ("letter", "A", 0), ("text", "2", 0), ("index1", "2", 1), ("index0", "0", 0),
        ("index0", "1.0", 1), ("column", "two", 1), ("column", "first", 0),
    ],
)  # fmt: skip
def test_the_way_in_which_answers_name_an_option(tmp_path: Path, way: str, right: str, gold: int) -> None:
    options = ["2", "1"] if right.isdigit() else ["B", "A"]
    table(tmp_path / "train.csv", ["key", "q", "one", "two", "right"], ["k1", "What?", *options, right])
    task = load_task(task_file(tmp_path, CHOICE + f"answer_is: {way}\n"))
    assert task.examples("train")[0].gold == gold


def test_an_answer_that_names_no_option_in_its_way(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["key", "q", "one", "two", "right"], ["k1", "What?", "a cat", "a dog", "2"])
    with pytest.raises(
        DataError, match="line 2: '2' in column 'right' is none of the options; expected one of 0 to 1,"
    ):
        load_task(task_file(tmp_path, CHOICE + "answer_is: index0\n")).examples("train")


def test_an_option_that_is_null_is_one_that_the_row_lacks(tmp_path: Path, jsonl) -> None:
    yaml, row = THREE.replace("train.csv", "train.jsonl"), {"key": "k", "one": "a cat", "three": "a cow", "right": "A"}
    jsonl(tmp_path / "train.jsonl", [{**row, "q": "What?", "two": None}])
    assert load_task(task_file(tmp_path, yaml)).examples("train")[0].options == ("a cat", "", "a cow")
    jsonl(tmp_path / "train.jsonl", [{**row, "q": None, "two": "a dog"}])
    with pytest.raises(DataError, match="line 1: column 'q' is null"):
        load_task(task_file(tmp_path, yaml)).examples("train")


def test_free_task_from_jsonl(tmp_path: Path, jsonl) -> None:
    jsonl(tmp_path / "train.jsonl", [{"question": "1+1?", "answer": 2}, {"question": "half?", "answer": 0.5}])
    task = load_task(task_file(tmp_path, FREE))
    assert [(e.answer, e.gold, e.options) for e in task.examples("train")] == [("2", -1, ()), ("0.5", -1, ())]
    assert (task.match, task.answers) == ("normalized", ())
    jsonl(tmp_path / "train.jsonl", [{"question": "1+1?", "answer": " "}])
    with pytest.raises(DataError, match="line 1: column 'answer' is empty"):
        load_task(task_file(tmp_path, FREE)).examples("train")


@pytest.mark.parametrize(
    ("rows", "line", "words"),
    [
        ([["words", "mark"], ["a", "yes"], ["b", "no"]], 3, "'no' in column 'mark' is not among the labels"),
        ([["words", "mark"], ["a", ""]], 2, "'' in column 'mark' is not among the labels; expected one of yes, 0"),
        ([["word", "mark"], ["a", "yes"]], 2, "no column 'words'; found word, mark"),
        ([["words", "mark"], ["a", "yes"], ["b"]], 3, "expected 2 fields"),
    ],
)
def test_rows_that_do_not_fit(tmp_path: Path, rows, line: int, words: str) -> None:
    path = table(tmp_path / "train.csv", *rows)
    with pytest.raises(DataError) as bad:
        load_task(task_file(tmp_path, LABEL)).examples("train")
    assert str(bad.value).startswith(f"{path}, line {line}: ")
    assert words in str(bad.value)


def test_ids_that_repeat_or_are_empty(tmp_path: Path) -> None:
    header = ["key", "q", "one", "two", "right"]
    path = table(tmp_path / "train.csv", header, ["k", "?", "x", "y", "A"], ["k", "?", "x", "y", "A"])
    with pytest.raises(DataError, match="line 3: the id 'k' was used at .*line 2; ids must be unique"):
        load_task(task_file(tmp_path, CHOICE)).examples("train")
    table(path, header, [" ", "?", "x", "y", "A"])
    with pytest.raises(DataError, match="line 2: column 'key' is empty; expected an id"):
        load_task(task_file(tmp_path, CHOICE)).examples("train")


def test_files_missing_empty_or_badly_encoded(tmp_path: Path) -> None:
    task = load_task(task_file(tmp_path, LABEL))
    with pytest.raises(MissingFileError, match=r"task\.yaml, line 3: no such file: .*train\.csv; mend `files`"):
        task.examples("train")
    with pytest.raises(InputError, match="no validation split in .*; there is train, test"):
        task.examples("validation")
    for content, words in [
        (b"", "the file is empty"),
        (b"words,mark\ncaf\xe9,yes\n", "line 2: byte 0xe9 is not utf-8"),
        (b"words,mark\n", "the train split of .* holds no examples"),
    ]:
        (tmp_path / "train.csv").write_bytes(content)
        with pytest.raises(PaftError, match=words):
            load_task(task_file(tmp_path, LABEL)).examples("train")
    (tmp_path / "train.csv").write_bytes(b"words,mark\ncaf\xe9,yes\n")
    task = load_task(task_file(tmp_path, LABEL + "encoding: latin-1\n"))
    assert task.examples("train")[0].slots["text"] == "café"
    with pytest.raises(DataError, match="unknown encoding 'klingon'"):
        load_task(task_file(tmp_path, LABEL + "encoding: klingon\n")).examples("train")


def test_data_takes_the_place_of_the_folder_or_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    yaml = task_file(tmp_path, LABEL)
    table(tmp_path / "elsewhere" / "train.csv", ["words", "mark"], ["far", "yes"])
    task = load_task(yaml, tmp_path / "elsewhere")
    assert task.examples("train")[0].slots["text"] == "far"
    single = table(tmp_path / "rows.csv", ["words", "mark"], ["single", "0"])
    for split in ("train", "test"):
        assert load_task(yaml, single).examples(split)[0].slots["text"] == "single"
    with pytest.raises(InputError, match="no train split in .*test.csv; there is test"):
        load_task(yaml, table(tmp_path / "test.csv", ["words", "mark"], ["single", "0"])).examples("train")
    with pytest.raises(MissingFileError, match="no such file or folder: ./nowhere"):
        load_task(yaml, "./nowhere")


def test_hub_shaped_folder_for_a_yaml_without_files(tmp_path: Path, parquet) -> None:
    yaml = task_file(tmp_path, LABEL.replace("files: {train: train.csv, test: test.csv}\n", ""))
    with pytest.raises(InputError, match="has no data"):
        load_task(yaml).examples("train")
    parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet", [{"words": "x", "mark": 0}])
    assert load_task(yaml, tmp_path / "hub").examples("train")[0].answer == "bad"


def test_header_and_pattern(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("good film,yes\n")
    task = load_task(task_file(tmp_path, LABEL + "header: [words, mark]\n"))
    assert task.examples("train")[0].slots["text"] == "good film"
    (tmp_path / "train.csv").write_text("yes: good film\n")
    task = load_task(task_file(tmp_path, LABEL + "format: lines\npattern: '(?P<mark>\\w+): (?P<words>.*)'\n"))
    assert task.examples("train")[0].slots["text"] == "good film"


def test_split_parts_one_file(tmp_path: Path) -> None:
    rows = [[f"text {n}", "yes" if n % 2 else "0"] for n in range(200)] + [["twin", "yes"]] * 40
    table(tmp_path / "train.csv", ["words", "mark"], *rows)
    text = LABEL.replace("files: {train: train.csv, test: test.csv}", "files: {train: train.csv}")
    yaml = task_file(tmp_path, text + "split: {validation: 0.1, test: 0.2, seed: 3}\n")
    task = load_task(yaml)
    parts = {split: task.examples(split) for split in ("train", "validation", "test")}
    ids = Counter(example.id for part in parts.values() for example in part)
    assert ids == Counter(f"train:{n}" for n in range(240))
    owners = {split for split, part in parts.items() for example in part if example.slots["text"] == "twin"}
    assert len(owners) == 1
    assert [int(e.id.split(":")[1]) for e in parts["train"]] == sorted(int(e.id.split(":")[1]) for e in parts["train"])
    assert 24 <= len(parts["validation"]) < 24 + 40
    assert 48 <= len(parts["test"]) < 48 + 40
    again = pickle.loads(pickle.dumps(task))
    assert again.examples("test") == parts["test"]
    other = load_task(task_file(tmp_path, yaml.read_text().replace("seed: 3", "seed: 4")))
    assert other.examples("test") != parts["test"]


def test_split_beside_a_test_file(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", ["words", "mark"], *[[f"text {n}", "yes"] for n in range(20)])
    table(tmp_path / "test.csv", ["words", "mark"], ["other", "0"])
    task = load_task(task_file(tmp_path, LABEL + "split: {validation: 0.25}\n"))
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [15, 5, 1]


def test_from_jsonl(tmp_path: Path, jsonl) -> None:
    rows = [{"q": f"{n}+1?", "a": n + 1, "key": f"k{n}"} for n in range(3)]
    path = jsonl(tmp_path / "sums.jsonl", rows)
    task = Task.from_jsonl(path, slots={"question": "q"}, answer="a", id="key", match="normalized")
    assert (task.name, task.type, task.match) == ("sums", "free", "normalized")
    assert [(e.id, e.slots["question"], e.answer) for e in task.examples("train")][2] == ("k2", "2+1?", "3")
    task = Task.from_jsonl({"test": path}, slots=["q"], answer="a", type="label", labels={1: "one", 2: "two", 3: "six"})
    assert [e.answer for e in task.examples("test")] == ["one", "two", "six"]
    with pytest.raises(DataError, match="Task.from_jsonl: unknown key 'lables'; did you mean 'labels'"):
        Task.from_jsonl(path, slots=["q"], answer="a", type="label", lables={1: "one"})


def test_questions_without_answers(tmp_path: Path) -> None:
    task = load_task(task_file(tmp_path, CHOICE))
    asked = task.questions(table(tmp_path / "new.csv", ["q", "one", "two"], ["?", "x", "y"]))
    assert [(e.id, e.options, e.gold, e.answer) for e in asked] == [("row:0", ("x", "y"), -1, "")]
    with pytest.raises(DataError, match="line 2: no column 'two'"):
        task.questions(table(tmp_path / "bad.csv", ["q", "one"], ["?", "x"]))
    with pytest.raises(InputError, match="holds no rows"):
        task.questions(table(tmp_path / "none.csv", ["q", "one", "two"]))


def test_reading_grows_in_step_with_the_rows(tmp_path: Path, jsonl) -> None:
    """Twenty thousand rows with ids and shares read in seconds; anything quadratic would take minutes."""
    rows = [{"question": f"what is {n}?", "answer": n, "id": f"k{n}"} for n in range(20_000)]
    path = jsonl(tmp_path / "many.jsonl", rows)
    task = Task.from_jsonl(path, slots=["question"], answer="answer", id="id", split={"test": 0.5})
    assert len(task.examples("train")) == len(task.examples("test")) == 10_000
    assert task.examples("train") is task.examples("train")


def test_demo_task() -> None:
    task = load_task("demo")
    assert task.type == "label"
    for split in ("train", "validation", "test"):
        golds = Counter(example.gold for example in task.examples(split))
        assert set(golds) == set(range(len(task.answers)))


ROWS = (["key", "q", "one", "two", "three", "right"], ["k1", "Which?", "a nail", "a cork", "a coin", "three"])
THREE = CHOICE.replace("second: two}", "second: two, third: three}").replace(
    "[first, second]", "[first, second, third]"
)


def test_rows_with_fewer_options(tmp_path: Path, jsonl) -> None:
    table(
        tmp_path / "train.csv",
        *ROWS,
        ["k2", "Which?", "a nail", "a cork", " ", "B"],
        ["k3", "W?", "x", "", "y", "third"],
    )
    task = load_task(task_file(tmp_path, THREE))
    found = [(e.answer, e.options, task.offered(e)) for e in task.examples("train")]
    assert found == [
        ("C", ("a nail", "a cork", "a coin"), (0, 1, 2)),
        ("B", ("a nail", "a cork", " "), (0, 1)),
        ("C", ("x", "", "y"), (0, 2)),
    ]
    jsonl(tmp_path / "train.jsonl", [{"key": "k1", "q": "W?", "one": "a", "two": "b", "three": None, "right": "A"}])
    task = load_task(task_file(tmp_path, THREE.replace("train.csv", "train.jsonl")))
    assert [task.offered(e) for e in task.examples("train")] == [(0, 1)]
    assert [e.options for e in task.questions(tmp_path / "train.jsonl")] == [("a", "b", "")]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["k2", "Which?", "a nail", "a cork", "", "C"], r"'C', is an option .* not have; expected one of A, B"),
        (["k2", "Which?", "a nail", "", "a coin", "two"], r"'two', .* expected one of A, C, since column 'two'"),
        (["k2", "Which?", "", "a cork", "", "B"], r"expected at least two options .* one, two, three; found 1"),
    ],
)  # fmt: skip
def test_an_answer_must_be_an_option_that_is_there(tmp_path: Path, row: list[str], words: str) -> None:
    table(tmp_path / "train.csv", *ROWS, row)
    task = load_task(task_file(tmp_path, THREE))
    with pytest.raises(DataError, match=rf"train\.csv, line 3: .*{words}"):
        list(task.examples("train"))
