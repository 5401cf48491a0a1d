"""Wrong inputs of every verb: exit code 2, one to three lines on stderr, and nothing written or changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from paft.cli.main import main

CONTENTS = {
    "an unknown task": ("TASK", "pigqa"),
    "a task YAML that is not there": ("TASK", "none.yaml"),
    "a task YAML that is no YAML": ("TASK", "broken.yaml"),
    "a task with a wrong column": ("TASK", "column.yaml"),
    "a task with an unknown key": ("TASK", "key.yaml"),
    "rows in another encoding": ("TASK", "latin.yaml"),
    "an empty data file": ("TASK", "empty.yaml"),
    "prompts that are not there": ("PROMPTS", "none.jsonl"),
    "an empty prompt file": ("PROMPTS", "empty.jsonl"),
    "prompts in another encoding": ("PROMPTS", "latin.jsonl"),
    "prompts that are no JSON": ("PROMPTS", "words.jsonl"),
    "a slot the task lacks": ("PROMPTS", "slot.jsonl"),
    "attribute access in a slot": ("PROMPTS", "attribute.jsonl"),
    "a format spec in a slot": ("PROMPTS", "spec.jsonl"),
    "prompts with the same id": ("PROMPTS", "twice.jsonl"),
    "a model that is not there": ("MODEL", "./no-model"),
    "a model folder without a tokenizer": ("MODEL", "no-tokenizer"),
    "a model folder without weights": ("MODEL", "no-weights"),
    "a folder that is no model": ("MODEL", "."),
    "an output folder with other work": ("OUTPUT", "taken"),
    "an output that is a file": ("OUTPUT", "task.yaml"),
    "a length too short for one example": ("LENGTH", "5"),
    "a limit of nothing": ("LIMIT", "0"),
    "a device that is not there": ("DEVICE", "cuda:77"),
    "an unknown dtype": ("DTYPE", "float7"),
    "an unknown split": ("SPLIT", "dev"),
}
VERBS = {
    "train": "train --model MODEL --task TASK --prompts PROMPTS --output OUTPUT --max-length LENGTH --limit LIMIT "
    "--device DEVICE --dtype DTYPE --max-steps 1",
    "select": "select --model MODEL --task TASK --prompts PROMPTS --output OUTPUT --max-length LENGTH --limit LIMIT "
    "--device DEVICE --dtype DTYPE --split SPLIT --examples 2",
    "sweep": "sweep --model MODEL --task TASK --prompts PROMPTS --output OUTPUT --max-length LENGTH --limit LIMIT "
    "--device DEVICE --dtype DTYPE --split SPLIT",
    "compare": "compare --model MODEL --task TASK --prompts PROMPTS --unseen prompts-test.jsonl --output OUTPUT "
    "--limit LIMIT --split SPLIT",
    "predict": "predict train.jsonl --model MODEL --task TASK --prompts PROMPTS --output OUTPUT --max-length LENGTH "
    "--device DEVICE --dtype DTYPE",
    "render": "prompts render --model MODEL --task TASK --prompts PROMPTS --max-length LENGTH --split SPLIT",
    "check": "prompts check PROMPTS --task TASK",
    "split": "prompts split PROMPTS --test 1 --output OUTPUT",
    "show": "prompts show PROMPTS",
    "stats": "prompts stats PROMPTS --task TASK",
    "import": "prompts import PROMPTS --output OUTPUT",
}
# what a verb has no reason to refuse
FINE = {
    ("show", "a slot the task lacks"),
    ("split", "a slot the task lacks"),
    ("stats", "a slot the task lacks"),
    ("stats", "rows in another encoding"),  # the task is read, its rows are not
    ("stats", "an empty data file"),
    ("stats", "a task with a wrong column"),
    ("import", "a slot the task lacks"),
    ("check", "rows in another encoding"),  # a check reads no rows
    ("check", "an empty data file"),
    ("check", "a task with a wrong column"),
    ("render", "a model folder without weights"),  # only the tokenizer is read
    ("split", "an output folder with other work"),  # two new files beside the others
    ("predict", "rows in another encoding"),  # predict reads its own rows alone
    ("predict", "an empty data file"),
}


def cases() -> list[tuple[str, str]]:
    found = []
    for verb, words in VERBS.items():
        found += [(verb, what) for what, (key, _) in CONTENTS.items() if key in words and (verb, what) not in FINE]
    return found


@pytest.fixture
def place(case, tiny_model_dir: Callable, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small task's folder with everything wrong beside what is right; the working directory of the test."""
    here = case.folder
    task = case.task.read_text()
    (here / "broken.yaml").write_text("name: [\n")
    (here / "column.yaml").write_text(task.replace("text: text", "text: words"))
    (here / "key.yaml").write_text(task + "colour: red\n")
    (here / "latin.yaml").write_text(task.replace("train.jsonl", "l.jsonl").replace("test.jsonl", "l.jsonl"))
    (here / "empty.yaml").write_text(task.replace("train.jsonl", "empty.jsonl").replace("test.jsonl", "empty.jsonl"))
    (here / "l.jsonl").write_bytes('{"text": "café", "kind": "c"}\n'.encode("latin-1"))
    (here / "empty.jsonl").write_text("")
    (here / "latin.jsonl").write_bytes('{"text": "café {text}:"}\n'.encode("latin-1"))
    (here / "words.jsonl").write_text("Text: {text}\nAnswer:\n")
    for name, text in (("slot", "{txt}"), ("attribute", "{text.__class__}"), ("spec", "{text:>{text}}")):
        (here / f"{name}.jsonl").write_text(json.dumps({"text": f"{text} Answer:"}) + "\n")
    (here / "twice.jsonl").write_text('{"id": "a", "text": "{text}:"}\n{"id": "a", "text": "So {text}:"}\n')
    for name, left_out in (("no-tokenizer", "tokenizer*"), ("no-weights", "*.safetensors")):
        shutil.copytree(tiny_model_dir(), here / name, ignore=shutil.ignore_patterns(left_out))
    (here / "taken").mkdir()
    (here / "taken" / "thesis.txt").write_text("years of work")
    monkeypatch.chdir(here)
    return here


def words_of(verb: str, wrong: str, model: Path) -> list[str]:
    key, value = CONTENTS[wrong]
    right = {"MODEL": str(model), "TASK": "task.yaml", "PROMPTS": "prompts-train.jsonl", "OUTPUT": "out"}
    right |= {"LENGTH": "256", "LIMIT": "4", "DEVICE": "cpu", "DTYPE": "float32", "SPLIT": "test"}
    filled = right | {key: value}
    return [filled.get(word, word) for word in VERBS[verb].split()]


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes; an empty folder does not count."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("verb", "wrong"), cases())
def test_wrong_input(
    verb: str, wrong: str, place: Path, tiny_model_dir: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(place)
    code = main(words_of(verb, wrong, tiny_model_dir()))
    err = capsys.readouterr().err
    assert code == 2, err
    complaint = err[err.index("error: ") :]
    assert complaint.startswith("error: ")
    assert 1 <= len(complaint.splitlines()) <= 3, complaint
    assert "Traceback" not in err
    assert snapshot(place) == before


@pytest.mark.parametrize("file", ["none.csv", "empty.csv", "one-column.csv", "noise.csv", "few.csv", "table.pdf"])
def test_wrong_data_for_init(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "one-column.csv").write_text("text\n" + "a\n" * 20)
    (tmp_path / "noise.csv").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "few.csv").write_text("text,label\na,b\n")
    (tmp_path / "table.pdf").write_text("%PDF")
    assert main(["init", str(tmp_path / file), "--output", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["t.docx", "no-text.csv", "none.xlsx", "broken.xlsx", "t.yaml", "latin.txt"])
def test_wrong_files_for_import(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.docx").write_text("x")
    (tmp_path / "no-text.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.xlsx").write_text("not a sheet")
    (tmp_path / "t.yaml").write_text("a: [")
    (tmp_path / "latin.txt").write_bytes("café {text}:\n".encode("latin-1"))
    assert main(["prompts", "import", str(tmp_path / file), "--output", str(tmp_path / "out.jsonl")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3
    assert not (tmp_path / "out.jsonl").exists()


def test_a_set_of_one_prompt_cannot_be_split(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "one.jsonl").write_text('{"text": "{text}:"}\n')
    assert main(["prompts", "split", "one.jsonl", "--test", "1", "--output", "parts"]) == 2
    assert "one prompt" in capsys.readouterr().err
    assert not (place / "parts").exists()


def test_an_adapter_of_another_base(
    paft: Callable, place: Path, tiny_model_dir: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "task.yaml", "--prompts", "prompts-train.jsonl", "--max-steps", "1", "--save-strategy", "no"]
    assert main(["train", "--model", str(tiny_model_dir("llama")), "--output", "run", *words]) == 0
    before = snapshot(place)
    other = ["--model", str(tiny_model_dir("gpt2")), "--adapter", "run"]
    data = ["--task", "task.yaml", "--prompts", "prompts-test.jsonl"]
    for call in (["sweep", *other, *data, "--output", "s"], ["merge", *other, "--output", "m"]):
        found = paft(*call)
        assert found.code == 2
        assert "does not fit" in found.err
        assert len(found.err.splitlines()) <= 3
        assert snapshot(place) == before


def test_odd_rows_go_through_whole(paft: Callable, place: Path, tiny_model_dir: Callable) -> None:
    texts = ["{text} and {x.__class__}", 'a "quoted" one', "two\nlines", "🙂🙃", "back\\slash \\n", " {{}} "]
    rows = [{"key": str(i), "text": text, "kind": "c"} for i, text in enumerate(texts)]
    (place / "test.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    words = ["--model", tiny_model_dir(), "--task", "task.yaml", "--prompts", "prompts-test.jsonl"]
    assert paft("sweep", *words, "--output", "out").code == 0
    assert json.loads((place / "out/summary.json").read_text())["examples"] == len(texts)
    shown = paft("prompts", "render", *words, "--split", "test", "--example", 0, "--format", "json")
    text = "".join(token["text"] for token in json.loads(shown.out)["tokens"])
    assert "{text} and {x.__class__}" in text


def test_a_row_of_100_kb_is_refused_by_name_or_dropped(paft: Callable, place: Path, tiny_model_dir: Callable) -> None:
    rows = [{"key": "huge", "text": "word " * 20_000, "kind": "c"}, {"key": "short", "text": "a word", "kind": "d"}]
    (place / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["sweep", "--model", tiny_model_dir(), "--task", "task.yaml", "--prompts", "prompts-test.jsonl"]
    refused = paft(*words, "--output", "out")
    assert refused.code == 2
    assert "huge" in refused.err
    assert len(refused.err) < 1000
    assert not list(place.glob("out/cells/*"))
    kept = paft(*words, "--output", "kept", "--on-long", "drop")
    assert kept.code == 0
    assert "1 examples were too long and left out" in kept.out
