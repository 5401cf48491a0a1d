"""Quick sweeps: which cells, the estimates against the whole table, their intervals, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.sweep_tasks import make_task

import paft
from paft.cli.main import main
from paft.errors import InputError, OutputError
from paft.evaluation import SweepResult, sweep
from paft.evaluation.cells import read_cells
from paft.evaluation.results.choice import cell_count, choose
from paft.evaluation.results.estimate import estimate
from paft.evaluation.results.quick import QuickResult
from paft.evaluation.results.statistics import std_corrected
from paft.experiments.records import Measured
from paft.report.tables import sweep_lines
from paft.tasks import Task


def table(seed: int, prompts: int = 50, examples: int = 150, spread: float = 0.6, far: int = 0) -> np.ndarray:
    """Right and wrong answers; ``far`` prompts are much worse than the rest."""
    rng = np.random.default_rng(seed)
    ease_p = rng.normal(0.6, spread, prompts)
    ease_p[:far] -= 3
    chance = 1 / (1 + np.exp(-(ease_p[:, None] + rng.normal(0, 1.2, examples))))
    return rng.random((prompts, examples)) < chance


def estimated(correct_pn: np.ndarray, cells: int, seed: int):
    p, n = choose(*correct_pn.shape, cells, seed)
    return estimate(p, n, correct_pn[p, n], *correct_pn.shape)


@pytest.mark.parametrize(("prompts", "examples"), [(50, 150), (7, 40), (3, 30), (1, 20), (40, 5)])
def test_choice_is_balanced_the_same_again_and_holds_smaller_ones(prompts, examples):
    whole = choose(prompts, examples, prompts * examples, seed=3)
    assert len(set(zip(*map(np.ndarray.tolist, whole), strict=True))) == prompts * examples
    for cells in (prompts, prompts * examples // 3, prompts * examples - 1):
        p, n = choose(prompts, examples, cells, seed=3)
        assert (p == whole.prompt_c[:cells]).all()
        assert (n == whole.example_c[:cells]).all()
        assert np.ptp(np.bincount(p, minlength=prompts)) <= 2
        together = np.unique(n, return_counts=True)[1]
        assert np.sum(together < min(4, prompts)) <= 1  # the last one is under way
    assert (choose(prompts, examples, cells, seed=4).example_c != n).any()


def test_all_cells_give_the_whole_sweeps_numbers():
    for correct_pn in (table(0), table(1, 6, 20), table(2, 2, 9), np.ones((4, 6), bool)):
        found = estimated(correct_pn, correct_pn.size, 0)
        accuracy_p = correct_pn.mean(axis=1)
        for interval, number in (
            (found.mean, accuracy_p.mean()),
            (found.std, accuracy_p.std(ddof=1)),
            (found.std_corrected, std_corrected(correct_pn)),
        ):
            assert (interval.low, interval.estimate, interval.high) == pytest.approx((number,) * 3, abs=1e-9)


def test_spread_is_unbiased_before_the_root():
    """Against the estimator's definition, pair by pair, and on average against the whole table."""
    correct_pn = table(5, 9, 24)
    p, n = choose(9, 24, 80, seed=1)
    answers = {e: [(a, float(correct_pn[a, e])) for a, b in zip(p, n, strict=True) if b == e] for e in set(n.tolist())}
    left_p, matrix = {}, {}
    for e, rows in answers.items():
        mean = np.mean([c for _, c in rows])
        left_p[e], matrix[e] = np.zeros(9), np.zeros((9, 9))
        for a, c in rows:
            left_p[e][a] = c - mean
            matrix[e][a, [b for b, _ in rows]] -= 1 / len(rows)
            matrix[e][a, a] += 1
    pairs = [(i, j) for i in answers for j in answers if i != j]
    variance = sum(left_p[i] @ left_p[j] for i, j in pairs) / sum(np.trace(matrix[i] @ matrix[j]) for i, j in pairs)
    found = estimate(p, n, correct_pn[p, n], 9, 24).std_corrected
    assert found.estimate == pytest.approx(np.sqrt(max(0, variance)))

    correct_pn = table(6, 20, 60)
    squares = [estimated(correct_pn, 400, seed).std_corrected.estimate ** 2 for seed in range(150)]
    assert np.mean(squares) == pytest.approx(std_corrected(correct_pn) ** 2, rel=0.1)


@pytest.mark.parametrize(
    ("shape", "cells"),
    [
        ({}, 1000),
        ({"far": 3}, 1000),  # some prompts far off: the noise of theirs counts most
        ({"spread": 0.0}, 750),
        ({"prompts": 8, "examples": 100}, 160),
        ({"examples": 1000}, 1000),  # most examples are never seen
    ],
)
def test_intervals_hold_their_level(shape, cells):
    """Of 80 quick sweeps, at least 90% must hold the whole sweep's numbers, in 95% intervals."""
    held = []
    for seed in range(80):
        correct_pn = table(seed % 8, **shape)
        found = estimated(correct_pn, cells, 100 + seed)
        held.append(
            [
                i.low - 1e-9 <= number <= i.high + 1e-9
                for i, number in (
                    (found.mean, correct_pn.mean()),
                    (found.std, correct_pn.mean(axis=1).std(ddof=1)),
                    (found.std_corrected, std_corrected(correct_pn)),
                )
            ]
        )
    assert (np.mean(held, axis=0) >= 0.9).all(), np.mean(held, axis=0)


def test_better_than_some_examples_under_all_prompts():
    """The same budget in complete rows errs more, for the mean many times as much."""
    correct_pn = table(11)
    ours, rows = [], []
    for seed in range(60):
        ours.append(estimated(correct_pn, 750, seed).mean.estimate)
        rows.append(correct_pn[:, np.random.default_rng(seed).choice(150, 15, replace=False)].mean())
    errors = [np.sqrt(np.mean((np.array(x) - correct_pn.mean()) ** 2)) for x in (ours, rows)]
    assert errors[0] < errors[1] / 3


def test_nothing_wrong_among_some_is_not_nothing_wrong():
    found = estimated(np.ones((50, 150), bool), 750, 0)
    assert found.mean.estimate == found.mean.high == 1
    assert 0.95 < found.mean.low < 0.999
    assert found.std_corrected.estimate == 0
    assert 0 < found.std_corrected.high < 0.05


def test_number_of_cells():
    assert cell_count(True, 50, 150) == 1000  # 20 a prompt
    assert cell_count(True, 50, 1000) == 5000  # a tenth
    assert cell_count(True, 5, 500) == 400
    assert cell_count(0.2, 50, 150) == 1500
    assert cell_count(300, 50, 150) == 300
    for wrong in (0.0, -0.1, 1, 1.5, float("nan"), float("inf")):
        with pytest.raises(InputError, match="a share of the cells below 1"):
            cell_count(wrong, 50, 150)
    with pytest.raises(InputError, match="at least 250 cells"):
        cell_count(0.01, 50, 150)
    with pytest.raises(InputError, match="leave out --quick"):
        cell_count(True, 5, 9)


def test_damaged_cells_are_refused():
    with pytest.raises(InputError, match="only 1 of 2 prompts"):
        estimate([0, 0], [0, 1], [1, 1], 2, 2)
    with pytest.raises(InputError, match="outside"):
        estimate([0, 2], [0, 1], [1, 1], 2, 2)
    with pytest.raises(InputError, match="do not match"):
        estimate([0, 1], [0], [1, 1], 2, 2)


@pytest.fixture(scope="module")
def llama(tiny_model_dir):
    return str(tiny_model_dir("llama"))


def test_sweep_goes_on_to_larger_ones_and_to_the_whole(llama, prompts, tmp_path):
    task, out = make_task("label", 20), tmp_path / "out"
    alone = sweep(llama, task, prompts)
    quick = sweep(llama, task, prompts, quick=0.4, output=out)
    assert isinstance(quick, QuickResult)
    answers = {(c.prompt_id, c.example_id): c for c in read_cells(out)[0]}
    assert len(answers) == 40
    assert sorted(answers) == sorted((c.prompt_id, c.example_id) for c in quick.cells)
    p, n = choose(5, 20, 40, 0)
    found = estimate(p, n, alone.correct_pn[p, n], 5, 20)
    summary = json.loads((out / "summary.json").read_text())
    assert summary == quick.summary
    assert summary["mean"] == pytest.approx(found.mean.estimate)
    assert summary["std_corrected"] == pytest.approx(found.std_corrected.estimate)
    assert summary["quick"]["intervals"]["mean"] == pytest.approx({"low": found.mean.low, "high": found.mean.high})
    assert (summary["quick"]["cells"], summary["quick"]["of"]) == (40, 100)
    assert sum(row["cells"] for row in summary["quick"]["per_prompt"].values()) == 40
    missing = ("min", "q05", "max", "macro_f1", "flip_rate", "mean_interval", "per_prompt")
    assert {name: summary[name] for name in missing} == dict.fromkeys(missing)
    assert summary["top"]["share"] is None
    assert any("ESTIMATE from 40 of 100 cells" in line for line in sweep_lines(summary))

    larger = sweep(llama, task, prompts, quick=60, output=out)
    assert len(read_cells(out)[0]) == len(larger.cells) == 60
    again = sweep(llama, task, prompts, quick=0.4, output=out)
    assert again.mean == quick.mean
    assert len(SweepResult.load(out).cells) == 40
    whole = sweep(llama, task, prompts, output=out)
    assert len(read_cells(out)[0]) == 100
    assert {k: v for k, v in whole.summary.items() if k != "seconds"} == {
        k: v for k, v in alone.summary.items() if k != "seconds"
    }
    with pytest.raises(OutputError, match="holds a whole sweep"):
        sweep(llama, task, prompts, quick=0.4, output=out)


def test_what_a_quick_result_refuses(llama, prompts, tmp_path):
    task = make_task("label", 20)
    one = sweep(llama, task, prompts, quick=0.4, output=tmp_path)
    same = SweepResult.load(tmp_path)
    whole = sweep(llama, task, prompts)
    assert isinstance(same, QuickResult)
    assert one.compare(same).estimate == 0
    assert one.interval("std_corrected").high > one.std_corrected
    other = sweep(llama, task, prompts, quick=0.4, seed=1)
    for wrong in (
        lambda: one.compare(whole),
        lambda: whole.compare(one),
        lambda: one.compare(other),
        lambda: one.compare(same, "std"),
        lambda: one.correct_pn,
        lambda: one.per_prompt,
        lambda: one.top(),
        lambda: one.worst,
        lambda: Measured.of(one),
    ):
        with pytest.raises(InputError, match="quick"):
            wrong()
    assert one.min is None
    assert "40 of 100" in repr(one)


def test_dropped_examples_do_not_count(llama, prompts):
    task = make_task("label", 20)
    rows = list(task.examples("test"))
    rows[:6] = [replace(e, slots={**e.slots, "text": "quick " * 1100}) for e in rows[:6]]
    task = Task("label", "label", task.slots, task.answers, read=lambda split: rows)
    quick = sweep(llama, task, prompts, quick=0.5, on_long="drop")
    long = sorted(e.id for e in rows[:6])
    assert (quick.summary["dropped"], quick.summary["dropped_examples"]) == (6, long)
    assert quick.summary["quick"]["of"] == 5 * 14 == 5 * quick.summary["examples"]
    assert 0 < len(quick.cells) == quick.summary["quick"]["cells"] < 50
    assert {c.example_id for c in quick.cells}.isdisjoint(long)


def test_command_line(llama, tmp_path, capsys):
    demo = str(Path(paft.__file__).parent / "resources/demo/prompts-test.jsonl")
    call = ["sweep", "--model", llama, "--task", "demo", "--prompts", demo, "--limit", "30", "--output", str(tmp_path)]
    assert main([*call, "--quick", "--fail-under-min", "0.1"]) == 2
    assert "--fail-under-min needs" in capsys.readouterr().err
    assert main([*call, "--quick", "0.17", "--batch-tokens", "4096"]) == 0
    out = "".join(capsys.readouterr())
    assert "ESTIMATE from 255 of 1,500 cells (17 %), not the whole sweep" in out
    assert "worst prompt 0" not in out
