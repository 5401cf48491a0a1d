"""Every recipe is what ``paft compare`` reads, and says what the paper says where it claims to."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from recipes.conftest import RECIPES, ROOT, parse

from paft.cli.compare import OF_A_TASK
from paft.cli.init import VERB as INIT
from paft.errors import InputError, MissingFileError
from paft.experiments import paper
from paft.experiments.grid import AXES, DEFAULTS
from paft.experiments.preflight import check_grid
from paft.prompts import PromptSet, load_prompts

PAPER = sorted(path.name for path in RECIPES.glob("paper-*.yaml"))
ROWS, MANY_ROWS = 60, 5100  # an ablation over examples needs as many training rows as it asks for
MAIN = "paper-llama3-8b.yaml"


def small(prompts: PromptSet) -> PromptSet:
    return PromptSet(list(prompts)[:3])


def checked(grids: dict) -> dict:
    """The grids, with their options checked as before a run; two or three prompts stand for each set."""
    for grid in grids.values():
        check_grid(dataclasses.replace(grid, prompts=small(grid.prompts), unseen=small(grid.unseen)))
    return grids


def names(grid) -> list[str]:
    return [cell.name for cell in grid.cells]


@pytest.mark.parametrize("recipe", PAPER)
def test_recipes_of_the_paper_become_grids_over_official_files(recipe: str, official) -> None:
    rows = MANY_ROWS if recipe == "paper-data.yaml" else ROWS
    grids = checked(parse(recipe, "--data", official(rows)))
    assert tuple(grids) == paper.TASKS
    for name, grid in grids.items():
        assert grid.cells
        assert grid.model == "meta-llama/Meta-Llama-3-8B"
        assert len(grid.task.examples(grid.split)) == {"race-high": 14}.get(name, 12)
        assert len(grid.task.examples("train")) == rows + 2 * (name == "race-high")
        assert (len(grid.prompts), len(grid.unseen)) == (410, 50)
        assert grid.task.top_threshold == pytest.approx(paper.THRESHOLDS[name] / 100)
        settings = paper.SETTINGS["paft"]
        assert grid.train["lora_targets"] == "q_proj,v_proj"
        assert grid.train["lora_r"] == 8
        assert grid.train["learning_rate"] == settings["learning rate"]
        assert grid.train["limit"] == settings["training samples"]
        assert grid.train["max_length"] == settings["max length"]
        assert grid.train["num_train_epochs"] == settings["epochs"]
        assert grid.train["chat"] == grid.sweep["chat"] == "off"


def test_main_recipe_has_all_methods_and_the_headline_ks(official) -> None:
    for name, grid in parse(MAIN, "--data", official(ROWS)).items():
        methods = ("base", "user", "top-accuracy", "batprompt", "zopo", "static-mix", "paft")
        assert names(grid) == [f"{method}-seed0" for method in methods]
        assert grid.axes["examples_per_prompt"] == paper.HEADLINE_K[name]
        assert grid.sweep["scoring"] == "likelihood"
        assert set(grid.sweeps) == {"hostile", "train"}
        assert [p.text for p in grid.sweeps["hostile"].prompts] == [p.text for p in load_prompts(name, "hostile")]


def test_grid_of_k_and_t_is_table_3(official) -> None:
    for grid in parse("paper-k-t.yaml", "--data", official(ROWS)).values():
        settings = [{**grid.axes, **cell.variant} for cell in grid.cells]
        assert {(s["examples_per_prompt"], s["num_train_epochs"]) for s in settings} == set(paper.K_AND_T)
        assert len(settings) == len(paper.K_AND_T)


def test_numbers_of_prompts_and_of_examples(official) -> None:
    prompts = parse("paper-prompts.yaml", "--data", official(ROWS))["piqa"]
    assert names(prompts) == ["paft-seed0", *(f"paft-prompts{n}-seed0" for n in (1, 3, 10, 30, 100))]
    data = parse("paper-data.yaml", "--task", "piqa", "--data", official(MANY_ROWS))["piqa"]
    varied = [f"{method}-examples{n}-seed0" for method in ("user", "paft") for n in (200, 1000, 5000)]
    assert names(data) == ["user-seed0", "paft-seed0", *varied]


def test_generating_trains_and_chooses_as_the_main_recipe_does(official) -> None:
    main = parse(MAIN, "--data", official(ROWS))
    for name, grid in parse("paper-generate.yaml", "--data", official(ROWS)).items():
        assert (grid.sweep["scoring"], grid.sweep["max_new_tokens"]) == ("generate", 50)
        assert grid.train == main[name].train
        assert set(grid.methods) == {*main[name].methods} - {"static-mix"}
        for method, options in grid.select.items():
            assert options == {**main[name].select[method], "scoring": "likelihood", "max_new_tokens": None}


def test_without_a_folder_the_rows_are_the_hubs() -> None:
    sources = {name: grid.task.source for name, grid in parse(MAIN).items()}
    assert sources == {
        "hellaswag": "hub:Rowan/hellaswag",
        "piqa": "hub:baber/piqa",
        "winogrande": "hub:allenai/winogrande:winogrande_xl",
        "race-middle": "hub:ehovy/race:middle",
        "race-high": "hub:ehovy/race:high",
    }


def test_flags_change_model_seeds_rows_and_methods_and_take_one_task() -> None:
    words = ("--model", "Qwen/Qwen2.5-7B", "--seeds", 0, 1, 2, "--limit", "none", "--methods", "base", "paft")
    grids = parse(MAIN, "--task", "race-high", *words)
    assert list(grids) == ["race-high"]
    grid = grids["race-high"]
    assert (grid.model, grid.limit, grid.seeds) == ("Qwen/Qwen2.5-7B", None, (0, 1, 2))
    assert names(grid) == ["base-seed0", "paft-seed0", "paft-seed1", "paft-seed2"]
    with pytest.raises(InputError, match="no entry of tasks is of the task 'trec'"):
        parse(MAIN, "--task", "trec")


def test_an_entry_adds_to_what_all_tasks_share() -> None:
    grids = parse(MAIN)
    assert grids["race-high"].train["on_long"] == grids["race-high"].sweep["on_long"] == "drop"
    assert "on_long" not in grids["piqa"].train
    assert grids["race-high"].train["learning_rate"] == grids["piqa"].train["learning_rate"] == 1e-4
    assert grids["race-high"].sweep["dtype"] == "bfloat16"


def test_a_folder_per_hub_id_is_found_too(official, tmp_path: Path) -> None:
    (tmp_path / "baber").mkdir()
    (tmp_path / "baber" / "piqa").symlink_to(official(ROWS) / "piqa")
    grid = parse(MAIN, "--task", "piqa", "--data", tmp_path)["piqa"]
    assert len(grid.task.examples("validation")) == 12
    with pytest.raises(MissingFileError, match="Rowan/hellaswag"):
        parse(MAIN, "--task", "hellaswag", "--data", tmp_path)


@pytest.mark.parametrize("name", ["hellaswag", "piqa", "winogrande", "race-middle"])
def test_main_recipe_reads_the_real_official_files(name: str, shared_data: Path) -> None:
    grid = parse(MAIN, "--task", name, "--data", shared_data)[name]
    split = {"hellaswag": "train", "race-middle": "validation"}.get(name, grid.split)  # what is there of each
    example = grid.task.examples(split)[0]
    for prompt in grid.unseen:
        assert all(grid_text in prompt.render(example.slots) for grid_text in example.options)


@pytest.mark.parametrize("name", ["trec", "sst2"])
def test_recipes_of_the_embedded_model_become_grids(name: str, shared_data: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    grid = checked(parse(f"{name}.yaml", "--data", shared_data / name))[name]
    assert (grid.model, len(grid.methods)) == ("embedded", 7)
    assert len(names(grid)) > 7


@pytest.mark.parametrize("name", ["trec", "sst2"])
def test_recipes_of_gemma_become_grids(name: str, shared_data: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    grid = checked(parse(f"gemma-{name}.yaml", "--model", "FOLDER", "--data", shared_data / name))[name]
    assert grid.model == "FOLDER"
    trained = [f"{method}-seed{seed}" for seed in range(3) for method in ("static-mix", "paft", "user")]
    assert sorted(names(grid)) == sorted(["base-seed0", *trained, *(f"paft-K4-seed{seed}" for seed in range(3))])


def test_own_task_works_on_what_init_writes(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    words = [f"order {i} came {'late' if i % 2 else 'in time'},{'bad' if i % 2 else 'good'}" for i in range(40)]
    Path("DATA.csv").write_text("\n".join(["text,label", *words]) + "\n", encoding="utf-8")
    assert INIT.run(["DATA.csv", "--output", "mine"]) == 0
    prompts = list(PromptSet.load("mine/prompts.jsonl"))
    PromptSet(prompts[2:]).save(Path("mine/prompts/train.jsonl"))
    PromptSet(prompts[:2]).save(Path("mine/prompts/test.jsonl"))
    (grid,) = checked(parse("own-task.yaml")).values()
    assert len(names(grid)) == 1 + 4 * 3
    assert grid.axes["limit"] == len(grid.task.examples("train")) < 40


def test_readme_lists_every_key_every_recipe_and_no_other() -> None:
    text = (RECIPES / "README.md").read_text(encoding="utf-8")
    keys = text[text.index("## Keys") :]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", keys, re.M)) == {*OF_A_TASK, "tasks"}
    assert set(re.findall(r"`([a-z_]+)`", re.search(r"^\| `ablations` \|.*$", keys, re.M)[0])) >= set(AXES)
    assert set(DEFAULTS) <= set(AXES)
    recipes = {path.name for path in RECIPES.glob("*.yaml")}
    assert set(re.findall(r"([\w-]+\.yaml)", text)) - {"task.yaml", "mine.yaml"} == recipes
