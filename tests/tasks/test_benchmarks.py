"""The benchmarks from official files and from rows as the hub has them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from paft.errors import DataError, InputError, MissingFileError
from paft.tasks import CATALOGUE, LETTERS, SPLITS, load_task
from paft.tasks.hellaswag import clean
from paft.tasks.sources import split_of

SHARD = "-00000-of-00001.parquet"


def spread(path: Path, rows: list[dict], parquet) -> None:
    """Rows in two shards, the first with one row."""
    parquet(path.with_name(path.name + "-00000-of-00002.parquet"), rows[:1])
    parquet(path.with_name(path.name + "-00001-of-00002.parquet"), rows[1:])


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "demo"])
def test_catalogue(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert task.answers == tuple(LETTERS[: len(task.answers)])
    options = zip(task.answers, task.choices, strict=True)
    assert all(f"{letter}. {{{slot}}}" in task.user_prompt for letter, slot in options)
    assert task.top_threshold == {"hellaswag": 0.9, "winogrande": 0.8}.get(name, 0.85)
    assert task.user_prompt.endswith("Answer:")
    assert task.description.endswith(".")
    assert all(f"{{{slot}}}" in task.user_prompt for slot in task.slots)
    assert all(task.slots.values())
    with pytest.raises(InputError, match="has no data; give --data"):
        task.examples("train")


def test_unknown_task() -> None:
    with pytest.raises(InputError, match=r"unknown task 'hellaswg'; did you mean 'hellaswag'\? expected one of piqa, "):
        load_task("hellaswg")
    with pytest.raises(MissingFileError, match=r"no such file: nowhere/task\.yaml"):
        load_task("nowhere/task.yaml")


@pytest.mark.parametrize("name", ["piqa", "hellaswag", "winogrande", "race"])
@pytest.mark.parametrize("layout", ["data", "root", "config", "folder", "shards", "file", "jsonl"])
def test_hub_rows_in_every_layout(tmp_path: Path, made, parquet, jsonl, name: str, layout: str) -> None:
    rows, data = made[name], tmp_path
    config = {"winogrande": "winogrande_xl", "race": "all"}.get(name, "default")
    if layout == "data":
        parquet(tmp_path / "data" / f"train{SHARD}", rows)
    elif layout == "root":
        parquet(tmp_path / "train.parquet", rows)
    elif layout == "config":
        parquet(tmp_path / config / f"train{SHARD}", rows)
    elif layout == "folder":
        parquet(tmp_path / config / "train" / "0000.parquet", rows)
    elif layout == "shards":
        spread(tmp_path / config / "train", rows, parquet)
    elif layout == "file":
        data = parquet(tmp_path / "my_train_rows.parquet", rows)
    else:
        data = jsonl(tmp_path / "train.jsonl", rows)
    task = load_task(name, data)
    examples = task.examples("train")
    assert len(examples) == len(rows)
    for example in examples:
        assert set(example.slots) == {*task.slots, *task.aliases}
        assert task.answers[example.gold] == example.answer
        assert len(example.options) == len(task.answers)
    golds = {"piqa": "AB", "hellaswag": "AC", "winogrande": "AB", "race": "ADAD"}
    assert "".join(example.answer for example in examples) == golds[name]
    with pytest.raises(InputError, match="no test split in .*; there is train"):
        task.examples("test")
    assert task.examples("train") is examples
    again = pickle.loads(pickle.dumps(task))
    assert again.examples("train") == examples


def test_what_piqa_and_winogrande_rows_become(tmp_path: Path, made, jsonl) -> None:
    example = load_task("piqa", jsonl(tmp_path / "dev.jsonl", made["piqa"])).examples("validation")[1]
    assert example.id == "validation:1"
    assert example.slots == {"goal": "dry a {wet} sock", "sol1": "hold it under a tap", "sol2": "hang it on a line "}
    assert example.options == ("hold it under a tap", "hang it on a line ")
    example = load_task("winogrande", jsonl(tmp_path / "train.jsonl", made["winogrande"])).examples("train")[0]
    sentence = "The cup did not fit the box, as the _ was big."
    assert example.slots["prompt"] == example.slots["sentence"] == sentence
    assert example.slots["only_option1"] == example.slots["option1"] == "cup"
    assert example.options == ("cup", "box")


def test_hellaswag_marks_go_and_nothing_else(tmp_path: Path, made, jsonl) -> None:
    example = load_task("hellaswag", jsonl(tmp_path / "train.jsonl", made["hellaswag"])).examples("train")[1]
    assert example.slots["ctx"] == "How to fold a shirt. Lay it flat. Use a table."
    assert example.options == ("Eat it.", "Run. and hide.", "Fold the sleeves. Then the rest.", "Stop")
    assert [example.slots[letter] for letter in "ABCD"] == list(example.options)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("no marks  here [sic]", "no marks  here [sic]"),
        ("[title] One", "One"),
        ("One [step]", "One"),
        ("Is it? [step] Yes", "Is it? Yes"),
        ('He said "go." [step] Then', 'He said "go." Then'),
        ("One[title]two", "One. two"),
        ("[header] [title] One", "One"),
        ("[header]", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_piqa_official_files(tmp_path: Path, made, jsonl) -> None:
    bare = [{key: row[key] for key in ("goal", "sol1", "sol2")} for row in made["piqa"]]
    for split in ("train", "valid"):
        jsonl(tmp_path / f"{split}.jsonl", bare)
        (tmp_path / f"{split}-labels.lst").write_text("1\n0\n")
    jsonl(tmp_path / "tests.jsonl", bare)
    task = load_task("piqa", tmp_path)
    assert [example.answer for example in task.examples("validation")] == ["B", "A"]
    with pytest.raises(DataError, match=r"tests\.jsonl, line 1: no answer under 'label'; PIQA keeps"):
        task.examples("test")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("1\n", "holds 1 labels, but .* holds 2 rows"),
        ("1\n0\n1\n", "holds 3 labels, but .* holds 2 rows"),
        ("", "holds 0 labels"),
        ("1\n\n0\n", "holds 3 labels"),
        ("1\n2\n", "line 2: label is '2'; expected one of 0, 1"),
        ("1\n\n", "holds 1 labels"),
    ],
)
def test_piqa_labels_that_do_not_fit(tmp_path: Path, made, jsonl, labels: str, words: str) -> None:
    jsonl(tmp_path / "valid.jsonl", [{k: v for k, v in row.items() if k != "label"} for row in made["piqa"]])
    (tmp_path / "valid-labels.lst").write_text(labels)
    with pytest.raises(DataError, match=words):
        load_task("piqa", tmp_path).examples("validation")


def test_labels_that_contradict_the_rows(tmp_path: Path, made, jsonl) -> None:
    jsonl(tmp_path / "dev.jsonl", made["winogrande"])
    (tmp_path / "dev-labels.lst").write_text("1\n1\n")
    with pytest.raises(DataError, match=r"line 2: answer is '2', but line 2 of .*dev-labels.lst says '1'"):
        load_task("winogrande", tmp_path).examples("validation")


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("piqa", "label", -1, "no answer under 'label'"),
        ("piqa", "label", 7, "label is '7'; expected one of 0, 1"),
        ("piqa", "sol2", None, "column 'sol2' is null"),
        ("piqa", "goal", ["x"], "column 'goal' holds a list"),
        ("hellaswag", "label", "", "no answer under 'label'"),
        ("hellaswag", "label", "4", "label is '4'"),
        ("hellaswag", "endings", ["a", "b"], "a list of 4 under 'endings', found 2"),
        ("hellaswag", "endings", "abcd", "a list of 4 under 'endings', found str"),
        ("winogrande", "answer", "", "no answer under 'answer'"),
        ("winogrande", "answer", "0", "answer is '0'; expected one of 1, 2"),
        ("race", "answer", "E", "answer is 'E'; expected one of A, B, C, D"),
        ("race", "options", ["a", "b", "c"], "a list of 4 under 'options', found 3"),
        ("race", "example_id", "college1.txt", "expected it to begin with middle or high"),
    ],
)
def test_rows_that_do_not_fit(tmp_path: Path, made, jsonl, name: str, key: str, value, words: str) -> None:
    rows = made[name]
    rows[1][key] = value
    path = jsonl(tmp_path / "test.jsonl", rows)
    with pytest.raises(DataError) as bad:
        load_task(name, path).examples("test")
    assert str(bad.value).startswith(f"{path}, line 2: ")
    assert words in str(bad.value)
    del rows[1][key]
    with pytest.raises(DataError, match="line 2: "):
        load_task(name, jsonl(path, rows)).examples("test")


def test_bad_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"goal": \n')
    with pytest.raises(DataError, match="line 1: expected one JSON object per line"):
        load_task("piqa", tmp_path).examples("train")


def test_winogrande_takes_the_largest_size_and_says_so(tmp_path: Path, made, jsonl, parquet) -> None:
    for size in ("xs", "s", "l", "debiased"):
        jsonl(tmp_path / "official" / f"train_{size}.jsonl", made["winogrande"][: 2 if size == "l" else 1])
    jsonl(tmp_path / "official" / "dev.jsonl", made["winogrande"])
    task = load_task("winogrande", tmp_path / "official")
    assert len(task.examples("train")) == 2
    assert task.source.endswith("(train: size l, the largest of debiased, xs, s, l)")
    for size in ("xs", "xl"):
        for split in ("train", "validation"):
            parquet(tmp_path / "hub" / f"winogrande_{size}" / f"{split}{SHARD}", made["winogrande"])
    assert "size xl" in load_task("winogrande", tmp_path / "hub").source


def race_folder(root: Path, article: dict, levels=("middle", "high")) -> None:
    for level in levels:
        for number in (12, 3):
            path = root / "train" / level / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**article, "id": f"{level}{number}.txt"}))


def test_race_official_folder(tmp_path: Path, article) -> None:
    race_folder(tmp_path / "RACE", article)
    ids = [example.id for example in load_task("race", tmp_path).examples("train")]
    assert ids == [f"{level}{number}.txt:{q}" for level in ("middle", "high") for number in (3, 12) for q in (0, 1)]
    task = load_task("race-high", tmp_path / "RACE")
    assert [example.id for example in task.examples("train")] == ids[4:]
    assert task.examples("train")[1].slots["D"] == "Old."
    assert task.examples("train")[1].answer == "D"
    with pytest.raises(InputError, match="no validation split in .*; there is train"):
        task.examples("validation")


def test_race_level_that_is_not_there(tmp_path: Path, article) -> None:
    race_folder(tmp_path, article, levels=("middle",))
    with pytest.raises(InputError, match="no articles of level high"):
        load_task("race-high", tmp_path)


def test_race_levels_of_hub_rows(tmp_path: Path, made, parquet) -> None:
    parquet(tmp_path / "all" / f"train{SHARD}", made["race"])
    assert [e.id for e in load_task("race-middle", tmp_path).examples("train")] == ["middle12.txt:0", "middle12.txt:1"]
    for level in ("middle", "high"):
        rows = [row for row in made["race"] if row["example_id"].startswith(level)]
        parquet(tmp_path / "levels" / level / f"train{SHARD}", rows)
    assert len(load_task("race", tmp_path / "levels").examples("train")) == 4
    assert len(load_task("race-high", tmp_path / "levels").examples("train")) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answers": ["A"]}, r"as many questions, options and answers, found \[2, 2, 1\]"),
        ({"options": None}, r"found \[2, -1, 2\]"),
        ({"answers": ["A", "a"]}, "question 2: answer is 'a'"),
        ({"options": [["x"] * 4, ["x"] * 5]}, "question 2: expected a list of 4 under 'options', found 5"),
    ],
)
def test_race_articles_that_do_not_fit(tmp_path: Path, article, change: dict, words: str) -> None:
    race_folder(tmp_path, {**article, **change}, levels=("middle",))
    with pytest.raises(DataError, match=words) as bad:
        load_task("race", tmp_path).examples("train")
    assert "3.txt" in str(bad.value)


def test_race_files_that_are_no_articles(tmp_path: Path, article) -> None:
    race_folder(tmp_path, article, levels=("middle",))
    path = tmp_path / "train" / "middle" / "3.txt"
    for content, words in [("{", "line 1: not JSON"), ("[]", "expected a JSON object"), ("{}", "no key article")]:
        path.write_text(content)
        with pytest.raises(DataError, match=words):
            load_task("race", tmp_path).examples("train")


def test_layouts_that_do_not_fit(tmp_path: Path, made, jsonl, parquet) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing fits in .*\nexpected train.jsonl.*\nfound an empty folder"):
        load_task("piqa", tmp_path / "empty")
    jsonl(tmp_path / "two" / "dev.jsonl", made["piqa"])
    jsonl(tmp_path / "two" / "valid.jsonl", made["piqa"])
    with pytest.raises(InputError, match="more than one validation split: dev.jsonl, valid.jsonl"):
        load_task("piqa", tmp_path / "two")
    parquet(tmp_path / "part" / "train-00001-of-00003.parquet", made["piqa"])
    with pytest.raises(DataError, match="expected 3 files like train-00001-of-00003.parquet, found 1"):
        load_task("piqa", tmp_path / "part")
    with pytest.raises(InputError, match="does not say which split"):
        load_task("piqa", jsonl(tmp_path / "rows.jsonl", made["piqa"]))
    with pytest.raises(MissingFileError, match="no such file or folder: .*nowhere"):
        load_task("piqa", tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match="no such file or folder: valid.jsonl"):
        load_task("piqa", "valid.jsonl")


def test_unknown_split(tmp_path: Path, made, jsonl) -> None:
    task = load_task("piqa", jsonl(tmp_path / "train.jsonl", made["piqa"]))
    with pytest.raises(InputError, match="unknown split 'dev'; expected one of train, validation, test"):
        task.examples("dev")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train_xl", "train"), ("hellaswag_val", "validation"), ("dev", "validation"), ("tests", "test"),
        ("Train", "train"), ("train-00000-of-00001", "train"), ("training", "train"), ("rows", None),
        ("train_test", None), ("contest", None), ("developer", None), ("valid-dev", "validation"),
    ],
)  # fmt: skip
def test_split_of_a_name(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_questions_without_answers(tmp_path: Path, made, jsonl) -> None:
    rows = [{key: row[key] for key in ("goal", "sol1", "sol2")} for row in made["piqa"]]
    asked = load_task("piqa").questions(jsonl(tmp_path / "new.jsonl", rows))
    assert [(e.id, e.answer, e.gold) for e in asked] == [("row:0", "", -1), ("row:1", "", -1)]
    assert asked[0].options == (rows[0]["sol1"], rows[0]["sol2"])


def test_splits_are_the_three() -> None:
    assert SPLITS == ("train", "validation", "test")
