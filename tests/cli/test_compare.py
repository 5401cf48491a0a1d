"""``paft compare``: a YAML into cells, what is printed, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from paft.cli.compare import Options, make_grids
from paft.cli.options import options_of
from paft.cli.parser import Group, Parser

CONFIG = """\
task: task.yaml
prompts: prompts-train.jsonl
unseen: prompts-test.jsonl
methods: [base, paft]
sweeps: {again: prompts-train.jsonl, few: {prompts: prompts-train.jsonl, sample: 2, methods: [base]}}
train: {learning-rate: 1e-3, num_train_epochs: 1, per_device_train_batch_size: 4}
ablations:
  - {examples_per_prompt: [1, 4], seeds: 3}
"""


@pytest.fixture
def place(case, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small task's folder with a configuration; the working directory of the test."""
    (case.folder / "grid.yaml").write_text(CONFIG)
    monkeypatch.chdir(case.folder)
    return case.folder


@pytest.fixture
def compare(paft: Callable, place: Path, tiny_model_dir: Callable) -> Callable:
    def call(*more: object):
        return paft("compare", "--config", "grid.yaml", "--model", tiny_model_dir(), "--output", "out", *more)

    return call


def record(place: Path, name: str) -> dict:
    return json.loads((place / f"out/records/pets/{name}.json").read_text())


def test_a_grid_from_a_file(compare: Callable, place: Path) -> None:
    planned = compare("--dry-run")
    assert (planned.code, (place / "out").exists()) == (0, False)
    cells = ["base-seed0", "paft-seed0", "paft-K1-seed3", "paft-seed3"]
    assert [line.split()[-1] for line in planned.out.splitlines()[:-1]] == cells
    assert planned.out.splitlines()[-1].startswith("4 cells to do, about ")
    found = compare()
    assert found.code == 0, found.err
    lines = [line for line in found.err.splitlines() if line.startswith("[")]
    assert lines[0].startswith("[0/4] 4 cells to do, about 1 min left")
    assert [line.split(":")[0] for line in lines[1:]] == [f"[{i}/4] pets {c}" for i, c in enumerate(cells, start=1)]
    mean = record(place, "paft-seed0")["sweeps"]["unseen"]["mean"]
    assert f"pets paft-seed0: mean {100 * mean:.1f} std" in found.err
    assert any(row.split()[:1] == ["paft"] for row in found.out.splitlines())
    assert "paft report out" in found.out
    settings = record(place, "paft-K1-seed3")["settings"]
    assert (settings["learning_rate"], settings["examples_per_prompt"], settings["lora_r"]) == (1e-3, 1, 8)
    assert set(record(place, "base-seed0")["sweeps"]) == {"unseen", "again", "few"}
    assert len(record(place, "base-seed0")["sweeps"]["few"]["per_prompt"]) == 2
    assert set(record(place, "paft-seed0")["sweeps"]) == {"unseen", "again"}
    about = json.loads((place / "out/compare.json").read_text())
    assert about["config"]["train"]["learning-rate"] == "1e-3"
    assert (about["environment"]["torch"], about["environment"]["device"]) == (torch.__version__, "cpu")
    again = compare()
    assert (again.code, again.out) == (0, found.out)
    assert "nothing to do" in again.err
    refused = compare("--limit", 2)
    assert refused.code == 2
    assert "give another --output" in refused.err


def test_what_prompts_took_is_kept_for_the_report(compare: Callable, paft: Callable, place: Path) -> None:
    row = {"model": "m1", "strategy": "zero-shot", "prompt_tokens": 1200, "completion_tokens": 345}
    (place / "all.usage.json").write_text(json.dumps({"rows": [row]}))
    sources = [
        {"text": text, "source": {"kind": "llm", "model": "m1", "strategy": "zero-shot"}}
        for text in ("{text} is", "Say what {text} is:")
    ]
    (place / "made.jsonl").write_text("".join(json.dumps(s) + "\n" for s in sources))
    words = ("--methods", "base", "--ablations", "none", "--sweeps", "none", "--prompts", "made.jsonl")
    found = compare(*words, "--usage", "all.usage.json")
    assert found.code == 0, found.err
    told = paft("report", "out", "--formats", "md")
    assert told.code == 0, told.err
    assert "1,545" in (place / "out/report/report.md").read_text()
    (place / "all.usage.json").write_text("[]")
    assert compare(*words, "--usage", "all.usage.json").code == 2


def test_a_failed_cell_is_exit_code_1(compare: Callable, place: Path) -> None:
    grid = (place / "grid.yaml").read_text().replace("examples_per_prompt: [1, 4]", "lora_r: [0, 2]")
    (place / "grid.yaml").write_text(grid)
    found = compare("--methods", "base")
    assert found.code == 1
    assert "[1/3] pets paft-r0-seed3 failed: LoRA needs r" in found.err
    assert found.err.splitlines()[-1].startswith("failed: pets paft-r0-seed3: LoRA needs r")
    assert (place / "out/records/pets/paft-r2-seed3.json").is_file()


def test_several_tasks_share_what_they_do_not_say(place: Path) -> None:
    (place / "data").mkdir()
    for split in ("train", "validation", "test"):
        (place / f"{split}.jsonl").rename(place / "data" / f"{split}.jsonl")
    (place / "other.yaml").write_text((place / "task.yaml").read_text().replace("pets", "others"))
    second = {"task": "other.yaml", "data": "data", "seeds": ["1", "2"], "limit": "2", "train": {"max_steps": "3"}}
    tasks = [{"task": "task.yaml", "data": "data"}, second]
    shared = {"model": "m", "prompts": "prompts-train.jsonl", "unseen": "prompts-test.jsonl"}
    shared["train"] = {"learning_rate": "1e-3"}
    one, other = make_grids(Options(output="out", data=".", tasks=tasks, methods=["base", "paft"], **shared))
    assert (one.task.name, one.seeds, one.limit) == ("pets", (0,), None)
    assert (other.task.name, other.seeds, other.limit) == ("others", (1, 2), 2)
    assert (one.train, other.train) == ({"learning_rate": 1e-3}, {"learning_rate": 1e-3, "max_steps": 3})
    assert len(other.task.examples("train")) == 12
    (only,) = make_grids(Options(output="out", data=".", tasks=tasks, task="other.yaml", **shared))
    assert only.task.name == "others"


def test_on_and_off_are_words(place: Path) -> None:
    text = CONFIG.replace(
        "train: {", "sweep: {chat: on}\nselect: {zopo: {chat: off}}\ntrain: {chat: off, packing: no, "
    )
    (place / "grid.yaml").write_text(text)
    words = ["--config", "grid.yaml", "--model", "m", "--output", "out"]
    values = Parser("compare", [Group("options", options_of(Options))]).parse(words)
    (grid,) = make_grids(Options(**values))
    assert (grid.train["chat"], grid.train["packing"]) == ("off", "off")
    assert (grid.sweep["chat"], grid.select["zopo"]["chat"]) == ("on", "off")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("methods: [base, paft]", "methods: [base, best]", "unknown method 'best'"),
        ("methods:", "method:", "unknown key 'method'"),
        ("learning-rate: 1e-3", "learning-rate: fast", "train, learning_rate: expected a number, found 'fast'"),
        ("learning-rate: 1e-3", "learn: 1", "unknown option 'learn'"),
        ("examples_per_prompt: [1, 4]", "examples_per_prompt: [few]", "expected numbers, found 'few'"),
        ("examples_per_prompt: [1, 4], ", "", "names no setting"),
        ("seeds: 3", "seeds: x", "seeds: expected whole numbers, found 'x'"),
        ("again: prompts-train.jsonl", "again: 3", "sweeps, again: expected a prompt file"),
        ("again: prompts-train.jsonl", "again: none.jsonl", "no such file: none.jsonl"),
        ("task: task.yaml", "", "needs --task"),
        ("unseen: prompts-test.jsonl", "unseen: prompts-train.jsonl", "unseen prompts are among those trained on"),
    ],
)
def test_wrong_files(compare: Callable, place: Path, old: str, new: str, message: str) -> None:
    (place / "grid.yaml").write_text(CONFIG.replace(old, new))
    found = compare()
    assert found.code == 2
    assert message in found.err
    assert not (place / "out").exists()


def test_tasks_with_an_unknown_key(paft: Callable, place: Path) -> None:
    (place / "grid.yaml").write_text(f"{CONFIG}model: m\ntasks:\n  - {{epochs: 3}}\n")
    found = paft("compare", "--config", "grid.yaml", "--output", "out")
    assert found.code == 2
    assert "tasks, entry 1: unknown key 'epochs'" in found.err
