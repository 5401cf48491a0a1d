"""Sweeps by several processes: the same result as by one, and all end where one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation.sweep_tasks import make_task
from evaluation.teams import alike, in_team, keys
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import EncodingError, InputError, MissingFileError, OutputError, PaftError, RunError
from paft.evaluation import ServerModel, SweepResult, sweep
from paft.evaluation.cells import Cell
from paft.evaluation.pairs import Pair
from paft.evaluation.sharing import deal, packed, unpacked
from paft.processes import current


@pytest.fixture(scope="module")
def llama(tiny_model_dir):
    return str(tiny_model_dir("llama"))


def test_shares_are_whole_and_balanced(prompts):
    pairs = [Pair(p, e) for p in prompts for e in make_task("label", 40).examples("test")]
    parts = deal(pairs, 3)
    assert sorted(p.key for part in parts for p in part) == sorted(p.key for p in pairs)
    sizes = [sum(len(p.prompt.render(p.example.slots)) for p in part) for part in parts]
    assert max(sizes) < 1.05 * min(sizes)
    homes = [{p.example.id for p in part} for part in parts]
    assert sum(map(len, homes)) == 40
    assert [[p.key for p in part] for part in parts] == [[p.key for p in part] for part in deal(list(pairs), 3)]
    one_example = deal([p for p in pairs if p.example.id == "test:0"], 2)
    assert sorted(map(len, one_example)) == [2, 3]
    assert deal([], 2) == [[], []]


def test_cells_travel_unchanged():
    cells = [Cell("p", f"{i}", 0, 1, "é\n", False, (-1.5, float("-inf")), 7, 2) for i in range(3)]
    assert unpacked(packed(cells)) == cells


@pytest.mark.parametrize(("kind", "scoring", "count"), [("choice", "continuation", 9), ("free", "auto", 9)])
@pytest.mark.parametrize("world", [2, 3])
def test_any_number_sweeps_alike(world, kind, scoring, count, llama, prompts, tmp_path):
    task = make_task(kind, count)
    one = sweep(llama, task, prompts, scoring=scoring, output=tmp_path / "one")
    seen = []

    def work(rank: int) -> SweepResult:
        seen.append(current().rank)
        return sweep(llama, task, prompts, scoring=scoring, output=tmp_path / f"of-{rank}")

    results = in_team(world, work)
    assert sorted(seen) == list(range(world))
    assert all(alike(one, result) for result in results)
    assert alike(one, SweepResult.load(tmp_path / "of-0"))
    assert sorted(keys(tmp_path / "of-0")) == sorted(keys(tmp_path / "one"))
    assert [p.name for p in tmp_path.glob("of-*")] == ["of-0"]  # the others write nothing
    assert read(tmp_path / "of-0" / "sweep.json") == read(tmp_path / "one" / "sweep.json")


def read(path: Path):
    return json.loads(path.read_text())


def failing(folder: str, after: int):
    """The model with a failure in its forward pass number ``after``."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    calls = []

    def hook(*_: object) -> None:
        calls.append(1)
        if len(calls) > after:
            raise RuntimeError("the card fell off the bus")

    model.model.register_forward_pre_hook(hook)
    return model, tokenizer


def test_an_error_in_one_ends_all_and_they_go_on_in_another_number(llama, prompts, tmp_path):
    """Nothing is lost or computed twice, by 2 processes, then 3, then 1."""
    task, out = make_task("label", 30), tmp_path / "out"
    one = sweep(llama, task, prompts, batch_tokens=300)
    there: list[tuple[str, str]] = []
    for world in (2, 3):
        models = [failing(llama, 4 if rank == 1 else 10**6) for rank in range(world)]  # not loaded by several threads

        def work(rank: int, models: list = models) -> SweepResult:
            return sweep(models[rank], task, prompts, output=out, batch_tokens=300, flush_seconds=0)

        found = in_team(world, work)
        assert "fell off" in str(found[1])
        assert isinstance(found[1], RuntimeError)
        assert all(isinstance(found[r], RunError) for r in range(world) if r != 1)
        assert f"process 1 of {world} stopped with an unexpected RuntimeError: the card" in str(found[0])
        assert keys(out)[: len(there)] == there
        assert len(there) < len(keys(out)) < 150
        there = keys(out)
        with pytest.raises(MissingFileError, match="not finished"):
            SweepResult.load(out)
    assert alike(one, sweep(llama, task, prompts, output=out, batch_tokens=300))
    assert keys(out)[: len(there)] == there
    assert len(keys(out)) == len(set(keys(out))) == 150
    again = in_team(2, lambda rank: sweep(llama, task, prompts, output=out))  # finished: nothing is left to share
    assert all(alike(one, result) for result in again)
    assert len(keys(out)) == 150


def test_wrong_inputs_are_told_to_all(llama, prompts, tiny_model_dir, tmp_path):
    task = make_task("label", 4)
    other = str(tiny_model_dir("qwen3"))
    found = in_team(2, lambda rank: sweep((llama, other)[rank], task, prompts))
    assert all(isinstance(bad, InputError) for bad in found)
    assert "its weights is" in str(found[0])
    assert str(found[0]) == f"process 1 of 2: {found[1]}"

    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    found = in_team(2, lambda rank: sweep(llama, task, prompts, output=tmp_path / "thesis"))
    assert all(isinstance(bad, OutputError) for bad in found)

    found = in_team(2, lambda rank: sweep(llama, task, prompts, max_length=8))
    assert all(isinstance(bad, EncodingError) for bad in found)

    served = ServerModel("m", "http://localhost:1/v1")
    found = in_team(2, lambda rank: sweep(served, task, prompts))
    assert all(isinstance(bad, InputError) and "one process, found 2" in str(bad) for bad in found)


def test_who_does_not_come_is_not_waited_for_for_ever(llama, prompts):
    def work(rank: int):
        return sweep(llama, make_task("label", 4), prompts) if rank == 0 else None

    found = in_team(2, work, silence=0.3)
    assert isinstance(found[0], RunError)
    assert "every process has to call sweep" in str(found[0])
    assert all(isinstance(bad, PaftError) for bad in found)


def test_alone(llama, prompts):
    task = make_task("label", 4)
    found = in_team(2, lambda rank: sweep(llama, task, prompts, alone=True) if rank == 0 else None)
    assert alike(found[0], sweep(llama, task, prompts))
