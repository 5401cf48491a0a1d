"""The paper's figures: they fit together as the remarks say, and only so."""

from __future__ import annotations

from statistics import mean

import pytest

from paft.experiments import paper


def averages(method: str) -> tuple[float, float, float]:
    scores = [paper.ACCURACY[method][task] for task in paper.TASKS]
    return mean(s.mean for s in scores), mean(s.std for s in scores), mean(s.top for s in scores)


def remark(*words: str) -> bool:
    """Whether one remark holds all these words."""
    return any(all(word in each.text for word in words) for each in paper.REMARKS)


def test_tables_are_whole() -> None:
    assert tuple(paper.ACCURACY) == paper.METHODS
    for by_task in (*paper.ACCURACY.values(), *paper.K_AND_T.values(), paper.IMPROVEMENT):
        assert tuple(by_task) == (*paper.TASKS, paper.AVERAGE)
    for by_set in (*paper.INFERENCE_HOURS.values(), *paper.TRAINING_HOURS.values(), paper.PROMPT_TOKENS):
        assert tuple(by_set) == (*paper.DATA_SETS, paper.AVERAGE)


@pytest.mark.parametrize("method", paper.METHODS)
def test_averages_of_table_1_are_right_but_for_those_that_are_remarked(method: str) -> None:
    found, said = averages(method), paper.ACCURACY[method][paper.AVERAGE]
    wrong = {
        name
        for name, value, figure, digits in zip(said._fields, found, said, (2, 2, 0), strict=True)
        if round(value, digits) != figure
    }
    expected = {"paft": {"mean", "std", "top"}, "top-accuracy": {"std"}, "batprompt": {"mean"}}
    assert wrong == expected.get(method, set())


def test_remarks_on_averages_tell_the_right_figures() -> None:
    paft_mean, paft_std, paft_top = averages("paft")
    assert remark(f"{paft_std:.2f}, not 1.57", f"{paft_mean:.2f}, not 87.57", f"{paft_top:.0f}, not 94")
    assert remark(f"{averages('top-accuracy')[1]:.2f}, not 3.63", f"{averages('batprompt')[0]:.2f}, not 81.56")
    best_other = min(paper.ACCURACY[m][paper.AVERAGE].std for m in paper.METHODS if m != "paft")
    assert remark(f"{paft_std - best_other:.2f} instead of -1.94")


def test_improvement_is_against_the_second_best() -> None:
    for name in (*paper.TASKS, paper.AVERAGE):
        own = paper.ACCURACY["paft"][name]
        others = [paper.ACCURACY[m][name] for m in paper.METHODS if m != "paft"]
        best = (max(s.mean for s in others), min(s.std for s in others), max(s.top for s in others))
        assert paper.IMPROVEMENT[name] == pytest.approx([x - y for x, y in zip(own, best, strict=True)], abs=0.005)


def test_the_headline_row_takes_another_k_for_each_data_set() -> None:
    for task, k in paper.HEADLINE_K.items():
        score = paper.ACCURACY["paft"][task]
        same = [kt for kt, by_task in paper.K_AND_T.items() if by_task[task] == (score.mean, score.std)]
        assert same == [(k, 3)], task
    assert len(set(paper.HEADLINE_K.values())) == 4
    assert remark("8 for HellaSwag", "1 for PIQA", "2 for WinoGrande", "4 for both", "87.46")
    assert paper.K_AND_T[4, 3][paper.AVERAGE].mean == 87.46


def test_no_prompt_at_the_threshold_and_a_mean_above_it() -> None:
    odd = [
        (method, task)
        for method in paper.METHODS
        for task in paper.TASKS
        if paper.ACCURACY[method][task].top == 0 and paper.ACCURACY[method][task].mean >= paper.THRESHOLDS[task]
    ]
    assert odd == [("user", "hellaswag")]
    assert remark("HellaSwag is 0%", "92.35")


def test_speed_up_is_against_the_fastest_other() -> None:
    for name, ratio in paper.SPEED_UP.items():
        hours = {m: by_set[name] for m, by_set in paper.INFERENCE_HOURS.items() if m != "paft"}
        fastest = min(hours, key=hours.__getitem__)
        assert fastest == ("zopo" if name == "piqa" else "base")
        assert hours[fastest] / paper.INFERENCE_HOURS["paft"][name] == pytest.approx(ratio, abs=0.05)
    user, own = (paper.INFERENCE_HOURS[m][paper.AVERAGE] for m in ("user", "paft"))
    assert remark("untouched model", "PIQA", f"{user / own:.2f}")


def test_winogrande_has_a_better_k_than_the_one_taken() -> None:
    by_k = {k: by_task["winogrande"].mean for (k, t), by_task in paper.K_AND_T.items() if t == 3}
    assert max(by_k, key=by_k.__getitem__) == 8
    assert remark(f"{by_k[8]:.2f}", f"{by_k[2]:.2f}")


def test_names_of_tasks() -> None:
    assert [paper.paper_task(name) for name in ("HellaSwag", "race", "race-high", "trec")] == [
        "hellaswag", "race", "race-high", None,
    ]  # fmt: skip
