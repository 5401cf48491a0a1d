"""The paper's recipe from end to end, on a tiny random model of the same build and the official file formats."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from recipes.conftest import RECIPES

from paft.cli.main import main
from paft.experiments import paper
from paft.experiments.records import Record, load_records
from paft.prompts import PromptSet, load_prompts

pytestmark = pytest.mark.slow
MANY = ["base", "user", "top-accuracy", "zopo", "static-mix", "paft"]
FEW = ["base", "paft"]
ROWS = 40
LONG = 2  # rows of RACE-high that are longer than 1,024 tokens, in each split


def cut(recipe: str, folder: Path) -> Path:
    """The recipe with fewer methods, prompts and rows, and one epoch; all else as it stands."""
    config: dict[str, Any] = yaml.safe_load((RECIPES / recipe).read_text(encoding="utf-8"))
    config["limit"] = 6
    config["train"] |= {"limit": 16, "num_train_epochs": 1}
    config["select"] = {"top-accuracy": {**config["select"]["top-accuracy"], "examples": 4}} | {
        "zopo": {**config["select"]["zopo"], "examples": 2}
    }
    if "sweeps" in config:
        config["sweeps"] = {"hostile": {"prompts": "bundled:hostile", "sample": 2, "methods": ["paft"]}}
    for entry in config["tasks"]:
        if entry["task"] == "race-high":  # all rows, so that the long ones are met
            entry["limit"] = None
            entry["train"]["limit"] = ROWS + LONG
        entry["methods"] = MANY if entry["task"] == "piqa" else FEW
        for key, split, count in (("prompts", "train", 4), ("unseen", "test", 3)):
            place = folder / f"{entry['task']}-{split}.jsonl"
            PromptSet(list(load_prompts(entry["task"], split))[:count]).save(place)
            entry[key] = str(place)
    place = folder / recipe
    place.write_text(yaml.safe_dump(config), encoding="utf-8")
    return place


def run(recipe: str, model: Path, data: Path, folder: Path, output: Path, *more: str) -> dict[tuple[str, str], Record]:
    """``paft compare`` on the cut recipe; the records by task and method."""
    words = ["--config", cut(recipe, folder), "--model", model, "--data", data, "--output", output, *more]
    assert main(["compare", *map(str, words)]) == 0
    return {(record.task, record.method): record for record in load_records([output])}


@pytest.fixture(scope="module")
def compared(llama3: Path, official, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The output folder of the main recipe, and its records."""
    folder = tmp_path_factory.mktemp("paper")
    return folder / "out", run("paper-llama3-8b.yaml", llama3, official(ROWS), folder, folder / "out")


def test_every_cell_of_every_task_has_a_record(compared) -> None:
    records = compared[1]
    methods = {task: MANY if task == "piqa" else FEW for task in paper.TASKS}
    assert set(records) == {(task, method) for task in methods for method in methods[task]}
    for (task, method), record in records.items():
        assert record.unseen.correct_pn.shape == (3, 12 if task == "race-high" else 6)
        assert set(record.sweeps) == {"unseen"} | ({"hostile"} if method == "paft" else set())
        assert (record.training is None) == (method == "base")
        assert (record.selection is None) == (method not in ("top-accuracy", "zopo"))
        assert record.settings.get("examples_per_prompt") in (None, paper.HEADLINE_K[task])
        assert record.unseen.numbers["top"]["threshold"] == pytest.approx(paper.THRESHOLDS[task] / 100)


def test_training_was_what_the_recipe_says(compared) -> None:
    from safetensors import safe_open

    output, records = compared
    for task in paper.TASKS:
        training = records[task, "paft"].training
        rows = ROWS + LONG if task == "race-high" else 16
        assert (training["examples"], training["epochs"], training["prompts"]) == (rows, 1, 4)
        assert training["steps"] == math.ceil(rows / 8)
        with safe_open(output / "work" / task / "paft-seed0" / "run" / "adapter_model.safetensors", "pt") as file:
            modules = {key.split(".lora_")[0].rsplit(".", 1)[-1] for key in file.keys()}  # noqa: SIM118
            assert modules == {"q_proj", "v_proj"}
            assert {min(file.get_slice(key).get_shape()) for key in file.keys()} == {8}  # noqa: SIM118


def test_rows_beyond_1024_tokens_are_left_out_of_race_high_alone(compared) -> None:
    records = compared[1]
    for task in paper.TASKS:
        assert records[task, "paft"].training["dropped"] == (LONG if task == "race-high" else 0)
    for method in FEW:
        assert records["race-high", method].unseen.example_ids == [f"high1.txt:{i}" for i in range(12)]


def test_generating_takes_over_what_was_trained(compared, llama3: Path, official, tmp_path: Path) -> None:
    """The way of recipes/README.md: runs and selections are copied, sweeps are not."""
    output, before = compared
    again = tmp_path / "generated"
    shutil.copytree(output, again, ignore=shutil.ignore_patterns("records", "sweep*", "report", "locks"))
    records = run("paper-generate.yaml", llama3, official(ROWS), tmp_path, again, "--task", "piqa")
    assert set(records) == {("piqa", method) for method in MANY}
    for (task, method), record in records.items():
        assert record.unseen.scoring == "generate"
        assert record.unseen.tokens_generated > 0
        assert record.training == before[task, method].training  # seconds too: nothing was trained again
        assert record.selection == before[task, method].selection
