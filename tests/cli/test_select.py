"""``paft select``: what it prints and leaves, and training on its pick."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest

from paft.prompts import PromptSet


@pytest.fixture
def select(paft: Callable, case, tiny_model_dir: Callable) -> Callable:
    """Pick from the small task's training prompts; more flags may be given."""

    def call(*more: object, output: str = "pick"):
        where = ("--task", case.task, "--prompts", case.train_prompts, "--output", case.folder / output)
        return paft("select", "--model", tiny_model_dir(), *where, *more)

    return call


def test_the_pick_is_printed_and_trained_on(select: Callable, paft: Callable, case) -> None:
    found = select("--examples", 6)
    assert found.code == 0, found.err
    record = json.loads((case.folder / "pick/selection.json").read_text())
    assert f"picked {record['prompt_id']}, accuracy {100 * record['score']:.1f} % over 6 examples" in found.out
    assert "4 queries, 24 answers of the model" in found.out
    for prompt_id in ("train0", "train1", "train2", "train3"):
        assert prompt_id in found.out
    command = shlex.split(found.out.splitlines()[-1])
    assert command[:4] == ["paft", "train", "--method", "user"]
    trained = paft(*command[1:], "--num-train-epochs", 1, "--max-steps", 1)
    assert trained.code == 0, trained.err
    run = PromptSet.load(case.folder / "pick-run/prompts.jsonl")
    assert run.ids == [record["prompt_id"]]
    assert run[record["prompt_id"]].text == record["text"]
    assert run[record["prompt_id"]].source == {"kind": "selection", "strategy": "top-accuracy"}


def test_a_pick_is_continued_and_other_work_refused(select: Callable, case) -> None:
    assert select("--examples", 3, "--show", 2).code == 0
    before = (case.folder / "pick/selection.json").read_bytes()
    again = select("--examples", 3, "--show", 2)
    assert (again.code, "nothing to do" in again.err, "2 more" in again.out) == (0, True, True)
    refused = select("--examples", 3, "--halving")
    assert refused.code == 2
    assert "holds another selection: its halving is False, not True" in refused.err
    assert (case.folder / "pick/selection.json").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("--method", "best"),
        ("--show", 0),
        ("--examples", 0),
        ("--seed", -1),
        ("--embeddings", "model"),
        ("--method", "zopo", "--providers", "p.yaml"),
        ("--method", "batprompt", "--providers", "none.yaml"),
    ],
)
def test_wrong_flags(select: Callable, case, words: tuple) -> None:
    found = select(*words)
    assert (found.code, found.out) == (2, "")
    assert 1 <= len(found.err.splitlines()) <= 3
    assert not (case.folder / "pick").exists()
