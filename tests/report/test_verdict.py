"""Who wins, by how much and how surely; in numbers and in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report.making import make_comparison, make_record, make_records

from paft.errors import InputError
from paft.experiments.records import Measured, Record
from paft.report.accuracy import accuracy
from paft.report.comparison import Comparison
from paft.report.verdict import compared, points, shared_seeds, signed, unequal_seeds, verdict


def comparison(records: list[Record]) -> Comparison:
    return Comparison(records, {r.task: None for r in records})  # type: ignore[arg-type]


def altered(record: Record, correct_pn: np.ndarray, **facts: object) -> Record:
    """The record with other answers."""
    m = record.unseen
    accuracy_p = correct_pn.mean(axis=1)
    numbers = {**m.numbers, "mean": float(accuracy_p.mean()), "std": float(accuracy_p.std(ddof=1))}
    made = Measured(numbers, m.prompt_ids, m.example_ids, correct_pn, None)
    return replace(record, sweeps={"unseen": made}, **facts)  # type: ignore[arg-type]


def test_the_clear_winner_is_named_with_interval_and_seeds() -> None:
    v = verdict(comparison(make_records(methods=("base", "user", "paft"))), "pets")
    assert (v.winner, v.runner_up, v.clear) == ("paft", "user", True)
    d = next(d for d in v.differences if d.other == "user")
    assert d.mean is not None
    size = 100 * d.mean.estimate
    assert v.sentence == (
        f"paft beats user by +{size:.1f} points ({100 * d.mean.low:.1f} to {100 * d.mean.high:.1f}), 3 of 3 seeds."
    )
    assert (d.seeds, d.higher, d.behind) == (3, 3, 0)
    assert [d.other for d in v.differences] == ["base", "user"]


def test_estimates_are_the_plain_differences_of_means() -> None:
    records = make_records(methods=("user", "paft"))
    d = verdict(comparison(records), "pets").differences[0]
    mean = {m: np.mean([r.unseen.correct_pn.mean() for r in records if r.method == m]) for m in ("user", "paft")}
    std = {
        m: np.mean([r.unseen.correct_pn.mean(axis=1).std(ddof=1) for r in records if r.method == m])
        for m in ("user", "paft")
    }
    assert d.mean is not None
    assert d.std is not None
    assert d.mean.estimate == pytest.approx(mean["paft"] - mean["user"])
    assert d.std.estimate == pytest.approx(std["paft"] - std["user"])


def test_no_difference_is_said_plainly_and_the_best_single_prompt_is_marked() -> None:
    v = verdict(comparison(make_records()), "pets")
    assert "no difference that these seeds could show between paft and static-mix (" in v.sentence
    assert "the best single prompt" in v.sentence
    assert v.sentence.endswith(").")
    assert not v.clear


def test_two_that_show_no_difference_are_told_in_one_clause() -> None:
    user = [make_record(method="user", seed=s) for s in range(3)]
    mixed = [altered(r, r.unseen.correct_pn[::-1].copy(), method="static-mix") for r in user]
    paft = [altered(r, r.unseen.correct_pn[:, ::-1].copy(), method="paft") for r in user]
    better = mixed[0].unseen.correct_pn.copy()
    better[0, np.flatnonzero(~better[0])[0]] = True
    mixed[0] = altered(mixed[0], better)
    sentence = verdict(comparison([*user, *mixed, *paft]), "pets").sentence
    assert sentence.startswith("No difference that these seeds could show between paft and user (")
    assert ", nor between paft and static-mix (" in sentence


def test_a_loss_is_told_from_the_winner_s_side() -> None:
    records = make_records(methods=("user", "static-mix", "paft"))
    swapped = [replace(r, method={"paft": "user", "user": "paft"}.get(r.method, r.method)) for r in records]
    v = verdict(comparison(swapped), "pets")
    assert v.winner == "user"
    assert v.sentence.startswith("user beats paft by +")
    assert v.sentence.endswith("3 of 3 seeds.")
    assert any("spreads more than user" in note for note in v.further)


def test_ties_are_no_win_on_a_seed() -> None:
    base = make_record(method="user")
    flat = np.ones_like(base.unseen.correct_pn)
    a = [altered(base, flat, method="paft", seed=s) for s in range(3)]
    b = [altered(base, flat & (s == 0), seed=s) for s in range(3)]
    d = compared("paft", "user", {"paft": a, "user": b})
    assert (d.higher, d.behind, d.lower) == (2, 0, 0)


def test_seeds_are_paired_by_their_number_and_base_stands_for_all() -> None:
    paft = [make_record(method="paft", seed=s) for s in (0, 1, 2)]
    user = [make_record(method="user", seed=s) for s in (2, 5, 1)]
    base = [make_record(method="base")]
    assert [(a.seed, b.seed) for a, b in zip(*shared_seeds(paft, user), strict=True)] == [(1, 1), (2, 2)]
    assert [b.method for b in shared_seeds(paft, base)[1]] == ["base"] * 3
    apart = compared("paft", "user", {"paft": paft[:1], "user": user})
    assert (apart.mean, apart.std, apart.seeds) == (None, None, 0)
    v = verdict(comparison([*paft[:1], *user]), "pets")
    assert v.sentence == "paft and user have no seed in common."


def test_a_seed_that_paft_has_not_yet_changes_no_comparison_with_it() -> None:
    records = make_records(seeds=3)
    lucky = make_record(method="user", seed=3, sizes={"unseen": 12, "hostile": 4, "train": 12})
    lucky = altered(lucky, np.ones_like(lucky.unseen.correct_pn))
    whole, under_way = comparison(records), comparison([*records, lucky])
    before, after = verdict(whole, "pets"), verdict(under_way, "pets")
    assert (after.sentence, after.runner_up) == (before.sentence, before.runner_up)
    assert after.further == [*before.further, *unequal_seeds(under_way.methods("pets"))]
    tables = [accuracy(c, "pets") for c in (whole, under_way)]
    sums = [[[c.text for c in r.cells] for r in t.rows if r.kind == "sum"] for t in tables]
    assert sums[0] == sums[1]
    assert "same seeds" in tables[1].notes[-1]
    assert "same seeds" not in "".join(tables[0].notes)


def test_one_seed_one_method_one_prompt() -> None:
    one = verdict(comparison(make_records(seeds=1)), "pets")
    assert any("no interval over seeds" in note for note in one.further)
    assert "one seed" in one.sentence
    two = verdict(comparison(make_records(seeds=2)), "pets")
    assert any("Fewer than three seeds" in note for note in two.further)
    alone = verdict(comparison(make_records(methods=("paft",))), "pets")
    assert alone.sentence == "Only paft was run; there is nothing to compare it with."
    assert (alone.runner_up, alone.lead, alone.differences) == (None, None, [])
    single = verdict(comparison(make_records(prompts=1)), "pets")
    assert all(d.std is None and d.lower is None and d.mean is not None for d in single.differences)


def test_without_paft_the_winner_is_compared() -> None:
    v = verdict(comparison(make_records(methods=("base", "user", "static-mix"))), "pets")
    assert v.winner == "static-mix"
    assert v.sentence.startswith("static-mix beats user by +")


def test_a_task_without_records(tmp_path: Path) -> None:
    loaded = Comparison.load(make_comparison(tmp_path, methods=("user", "paft")))
    with pytest.raises(InputError, match="holds pets"):
        verdict(loaded, "plants")


def test_small_forms() -> None:
    assert [signed(x) for x in (0.303, -0.0004, 0.0, -0.02)] == ["+30.3", "0.0", "0.0", "−2.0"]
    assert points(None) == "–"
