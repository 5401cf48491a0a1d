"""``compare``: equal to trainings and sweeps by hand, resumable, shared, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments.small_grid import TEMPLATES, TRAIN, USER, make_grid
from transformers import AutoTokenizer

from paft.errors import InputError, OutputError, PaftError
from paft.evaluation import sweep
from paft.experiments import Ablation, Event, Sweeping, compare, load_records
from paft.experiments.comparing import plan
from paft.experiments.records import Record, by_method
from paft.prompts import PromptSet
from paft.training import train

CELLS = (
    "base-seed0 user-seed0 top-accuracy-seed0 paft-seed0 user-seed1 top-accuracy-seed1 paft-seed1 "
    "paft-K1-prompts1-seed0 paft-K1-seed0 paft-prompts1-seed0"
).split()
TIMES = ("seconds", "processor_seconds")


@pytest.fixture(scope="module")
def model(tiny_model_dir) -> Path:
    return tiny_model_dir("llama")


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory) -> Path:
    """The folder of a comparison that was never interrupted."""
    output = tmp_path_factory.mktemp("whole") / "out"
    compare(make_grid(model), output, progress=False)
    return output


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "records").rglob("*.json"))


def plain(value: Any) -> Any:
    """JSON without what a clock decides."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in TIMES}
    return value


def outcome(folder: Path) -> dict[str, Any]:
    return {p.stem: plain(json.loads(p.read_text())) for p in (folder / "records").rglob("*.json")}


def child(model: Path, output: Path, kill_after: int = 0) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "experiments.small_grid", str(model), str(output), str(kill_after)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})


def test_every_cell_once_and_no_variant_twice(whole, model):
    assert names(whole) == sorted(CELLS)
    assert [cell.name for cell in make_grid(model).cells] == CELLS
    assert {record.seed for record in by_method(load_records(whole))["base"]} == {0}


def test_a_cell_is_what_training_and_sweeping_by_hand_give(whole, model, tmp_path):
    grid = make_grid(model)
    train(
        model=grid.model,
        task=grid.task,
        output=tmp_path / "run",
        prompts=PromptSet.from_texts(TEMPLATES[:4]),
        seed=1,
        num_train_epochs=2,
        per_device_train_batch_size=3,
        learning_rate=3e-3,
        chat="off",
        disable_tqdm=True,
        say=lambda text: None,
    )
    by_hand = sweep(tmp_path / "run", grid.task, grid.unseen, chat="off", progress=False)
    record = Record.load(whole / "records/notes/paft-seed1.json")
    assert (record.unseen.correct_pn == by_hand.correct_pn).all()
    assert (record.unseen.answer_pn == by_hand.prediction_pn).all()
    assert record.unseen.numbers["per_prompt"] == by_hand.per_prompt
    assert record.unseen.example_ids == by_hand.example_ids
    assert (record.training["steps"], record.training["prompts"], record.selection) == (6, 4, None)


def test_what_each_method_was_trained_on(whole):
    texts = {
        name: [p.text for p in PromptSet.load(whole / "work/notes" / name / "run/prompts.jsonl")]
        for name in CELLS
        if name != "base-seed0"
    }
    assert texts["user-seed0"] == [USER]
    assert sorted(texts["paft-seed0"]) == sorted(TEMPLATES[:4])
    chosen = Record.load(whole / "records/notes/top-accuracy-seed0.json").selection
    assert texts["top-accuracy-seed0"] == [chosen["text"]]
    assert len(texts["paft-prompts1-seed0"]) == 1
    assert set(texts["paft-prompts1-seed0"]) < set(TEMPLATES[:4])
    variant = Record.load(whole / "records/notes/paft-K1-prompts1-seed0.json")
    assert variant.variant == {"examples_per_prompt": 1, "train_prompts": 1}
    assert variant.training["prompts"] == 1


def test_fewer_prompts_are_part_of_more(model):
    grid = make_grid(model, ablations=(Ablation({"train_prompts": (1, 2, 3)}),))
    sets = [set(grid.training_prompts(cell).ids) for cell in grid.cells if cell.variant and cell.seed == 1]
    assert [len(s) for s in sets] == [1, 2, 3]
    assert sets[0] < sets[1] < sets[2]


def test_further_sweeps_are_for_the_methods_that_want_them(whole):
    swept = {path.stem: set(Record.load(path).sweeps) for path in (whole / "records").rglob("*.json")}
    assert swept.pop("base-seed0") == swept.pop("user-seed0") == swept.pop("user-seed1") == {"unseen", "train"}
    assert all(each == {"unseen"} for each in swept.values())


def test_texts_for_a_report_stand_beside_the_records(whole):
    facts = json.loads((whole / "tasks/notes/task.json").read_text())
    assert (facts["answers"], facts["user_prompt"]) == (["location", "description"], USER)
    rows = [json.loads(line) for line in (whole / "tasks/notes/examples.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == Record.load(whole / "records/notes/base-seed0.json").unseen.example_ids
    assert {p.stem for p in (whole / "tasks/notes/prompts").iterdir()} == {"unseen", "train", "user"}


def test_killed_and_resumed_gives_the_same(whole, model, tmp_path):
    killed = child(model, tmp_path / "out", kill_after=4)
    begun = killed.communicate(timeout=300)[0].split()
    assert killed.returncode == -9
    assert names(tmp_path / "out") == sorted(CELLS[:4])
    events: list[Event] = []
    compare(make_grid(model), tmp_path / "out", progress=False, watch=events.append)
    assert begun + [e.cell.name for e in events if e.kind == "start"] == CELLS  # no cell twice
    assert outcome(tmp_path / "out") == outcome(whole)


@pytest.mark.slow
def test_processes_share_a_folder_and_do_no_cell_twice(whole, model, tmp_path):
    children = [child(model, tmp_path / "out") for _ in range(2)]
    begun = [each.communicate(timeout=300)[0].split() for each in children]
    assert [each.returncode for each in children] == [0, 0]
    assert sorted(begun[0] + begun[1]) == sorted(CELLS)
    assert outcome(tmp_path / "out") == outcome(whole)


def test_a_failed_cell_is_told_and_the_rest_go_on(model, tmp_path):
    grid = make_grid(model, methods=("user",), seeds=(0,), sweeps={}, ablations=(Ablation({"lora_r": (0, 2)}),))
    events: list[Event] = []
    found = compare(grid, tmp_path, progress=False, watch=events.append)
    assert [e.kind for e in events] == ["begin", "start", "done", "start", "failed", "start", "done"]
    assert names(tmp_path) == ["paft-r2-seed0", "user-seed0"]
    assert list(found.failures) == ["notes paft-r0-seed0"]
    failure = json.loads((tmp_path / "failures/notes/paft-r0-seed0.json").read_text())
    assert (failure["task"], failure["method"], failure["variant"]) == ("notes", "paft", {"lora_r": 0})
    assert "LoRA needs r" in failure["error"]
    again = compare(grid, tmp_path, progress=False)
    assert list(again.failures) == list(found.failures)


def test_a_cell_that_another_process_failed_at_is_not_tried_again(model, tmp_path):
    grid = make_grid(model, methods=("user",), seeds=(0,), sweeps={}, ablations=(Ablation({"lora_r": (0,)}),))
    others: list[Any] = []

    def watch(event: Event) -> None:
        if event.kind == "begin" and not others:  # a second process comes and goes while this one waits
            others.append(compare(grid, tmp_path, progress=False))
        elif event.kind == "start":
            others.append(event)

    found = compare(grid, tmp_path, progress=False, watch=watch)
    assert len(others) == 1
    assert found.failures == others[0].failures
    assert "LoRA needs r" in found.failures["notes paft-r0-seed0"]
    assert names(tmp_path) == ["user-seed0"]


def test_more_seeds_and_sweeps_later(model, tmp_path):
    small = make_grid(model, methods=("base", "user"), seeds=(0,), ablations=(), sweeps={})
    compare(small, tmp_path, progress=False)
    before = (tmp_path / "work/notes/user-seed0/run/result.json").stat().st_mtime_ns
    hostile = {"hostile": Sweeping(PromptSet.from_texts(["{text}???"]))}
    events: list[Event] = []
    compare(replace(small, seeds=(0, 1), sweeps=hostile), tmp_path, progress=False, watch=events.append)
    assert [e.cell.name for e in events if e.kind == "start" and e.cell] == ["base-seed0", "user-seed0", "user-seed1"]
    assert all(set(record.sweeps) == {"unseen", "hostile"} for record in load_records(tmp_path))
    assert (tmp_path / "work/notes/user-seed0/run/result.json").stat().st_mtime_ns == before


def test_done_is_done(whole, model):
    events: list[Event] = []
    found = compare(make_grid(model), whole, progress=False, watch=events.append)
    assert [(e.kind, e.done, e.total) for e in events] == [("begin", 10, 10)]
    assert len(found.records) == 10


def test_the_plan_tells_what_is_left_and_how_long(whole, model, tmp_path):
    assert all(done for _, done, _ in plan([make_grid(model)], whole))
    found = plan([make_grid(model)], tmp_path / "none")
    assert [name for name, _, _ in found] == [f"notes {cell}" for cell in CELLS]
    assert all(not done and seconds is not None and seconds > 0 for _, done, seconds in found)
    assert not (tmp_path / "none").exists()
    learned = plan([make_grid(model, seeds=(0, 1, 2))], whole)
    left = {name: seconds for name, done, seconds in learned if not done}
    assert set(left) == {"notes user-seed2", "notes top-accuracy-seed2", "notes paft-seed2"}
    took = [r.training["seconds"] for r in load_records(whole) if r.training]
    assert left["notes paft-seed2"] > 0.5 * np.median(took)


def test_records_alone_are_gone_on_from(whole, model, tmp_path):
    shutil.copytree(whole / "records", tmp_path / "records")
    events: list[Event] = []
    compare(make_grid(model, seeds=(0, 1, 2)), tmp_path, progress=False, watch=events.append)
    assert [e.cell.name for e in events if e.kind == "start" and e.cell] == [
        "user-seed2",
        "top-accuracy-seed2",
        "paft-seed2",
    ]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"train": {**TRAIN, "num_train_epochs": 1}}, "num_train_epochs"),
        ({"limit": 3}, "examples"),
        ({"prompts": PromptSet.from_texts(TEMPLATES[:3]), "ablations": ()}, "prompts"),
    ],
)
def test_other_settings_are_refused(whole, model, changes, name):
    before = outcome(whole)
    with pytest.raises(OutputError, match=name):
        compare(make_grid(model, **changes), whole, progress=False)
    assert outcome(whole) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("base", "pafft")}, "unknown method 'pafft'"),
        ({"ablations": (Ablation({"depth": (1,)}),)}, "unknown setting of an ablation 'depth'"),
        ({"ablations": (Ablation({"train_prompts": (9,)}),)}, "train_prompts 9"),
        ({"ablations": (Ablation({"lora_r": (4,)}, ("base",)),)}, "not trained"),
        ({"train": {"learning_rat": 1}}, "unknown option 'learning_rat'"),
        ({"train": {"output_dir": "x"}}, "unknown option 'output_dir'"),
        ({"train": {"learning_rate": "fast"}}, "learning_rate: expected a number"),
        ({"sweep": {"prompts": "x"}}, "unknown option 'prompts'"),
        ({"select": {"zopo": {"depth": 3}}}, "unknown option 'depth'"),
        ({"unseen": PromptSet.from_texts(TEMPLATES[:2])}, "2 of 2 unseen prompts"),
        ({"unseen": PromptSet.from_texts(["{question}"])}, "question"),
        ({"model": "./no-such-model"}, "no-such-model"),
        ({"sweeps": {"unseen": Sweeping(PromptSet.from_texts(["{text}"]))}}, "cannot be called"),
        ({"seeds": (-1,)}, "at least 0"),
    ],
)
def test_wrong_grids_leave_no_trace(model, tmp_path, changes, message):
    with pytest.raises(PaftError, match=message):
        compare(make_grid(**{"model": model, **changes}), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_and_two_grids_of_one_name(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="holds no comparison"):
        compare(make_grid(model), tmp_path, progress=False)
    with pytest.raises(InputError, match="two grids for one task"):
        compare([make_grid(model), make_grid(model)], tmp_path / "out", progress=False)


def test_a_model_that_changed_is_other_work(model, tmp_path):
    folder, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(model, folder)
    grid = make_grid(folder, methods=("base",), ablations=(), sweeps={})
    compare(grid, out, progress=False)
    about = json.loads((out / "compare.json").read_text())
    assert set(about["bases"][str(folder)]) == {"tokenizer", "weights"}  # no chat template is used
    compare(grid, out, progress=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["note"])
    tokenizer.save_pretrained(folder)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for more in (grid, replace(grid, methods=("base", "user"))):
        with pytest.raises(OutputError, match=r"the tokenizer of .* changed since its first cell\n.*another --output"):
            compare(more, out, progress=False)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    (out / "compare.json").write_text(json.dumps({k: v for k, v in about.items() if k != "bases"}))
    compare(grid, out, progress=False)  # of an earlier version
