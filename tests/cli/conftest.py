"""A small task, prompts and a way to call the command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from paft.cli.main import main

TASK = """\
name: pets
type: label
files: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl}
columns: {id: key, slots: {text: text}, answer: kind}
labels: {c: positive, d: negative}
user_prompt: "{text}\\nIs it positive or negative? Answer:"
"""
TEMPLATES = (
    "Text: {text}\nAnswer:",
    "Read the text and name its kind, positive or negative.\n{text}\nThe kind is:",
    "Which label fits, negative or positive? {text} Label:",
    "{text} ->",
    "Someone wrote: {text} Is that positive or negative? Reply:",
    "Choose one word for this: {text}\nWord:",
)


@dataclass(frozen=True)
class Outcome:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Case:
    """Files of a small task: 12 training, 4 validation and 6 test rows; 4 training and 2 test prompts."""

    folder: Path
    task: Path
    train_prompts: Path
    test_prompts: Path


@pytest.fixture
def paft(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call the command line in this process: ``paft("env", "--format", "json")``."""

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A fresh folder with the small task."""
    for split, count in (("train", 12), ("validation", 4), ("test", 6)):
        rows = [{"key": f"{split}{i}", "text": f"the {split} fox {i} jumps", "kind": "cd"[i % 2]} for i in range(count)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK)
    write_prompts(tmp_path / "prompts-train.jsonl", TEMPLATES[:4])
    write_prompts(tmp_path / "prompts-test.jsonl", TEMPLATES[4:])
    return Case(tmp_path, tmp_path / "task.yaml", tmp_path / "prompts-train.jsonl", tmp_path / "prompts-test.jsonl")


def write_prompts(path: Path, texts: tuple[str, ...]) -> None:
    """A prompt set file with ids p0, p1, ..."""
    stem = path.stem.split("-")[-1]
    path.write_text("".join(json.dumps({"id": f"{stem}{i}", "text": t}) + "\n" for i, t in enumerate(texts)))


@pytest.fixture
def refused(case, paft: Callable, monkeypatch: pytest.MonkeyPatch, tiny_model_dir: Callable) -> Callable[..., str]:
    """Call a verb that must refuse; its message. The working directory is the small task's folder."""
    monkeypatch.chdir(case.folder)

    def call(words: str, *more: object, model: object = None) -> str:
        found = paft(*words.split(), *more, "--model", model or tiny_model_dir())
        assert found.code == 2, found.err
        complaint = found.err[found.err.index("error: ") :]
        assert len(complaint.splitlines()) <= 3, complaint
        assert "error: unexpected" not in complaint
        assert "Traceback" not in found.err
        assert "Exception ignored" not in found.err
        out = case.folder / "out"
        assert not out.exists() or not list(out.iterdir())
        return complaint

    return call
