"""Tables like the paper's from saved records, against numbers computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report.making import SETTINGS, make_comparison

from paft.errors import DataError
from paft.experiments import paper
from paft.files import read_json, write_json
from paft.report.ablations import ablation_sheets
from paft.report.accuracy import accuracy, accuracy_sheets, differences, task_averages
from paft.report.comparison import Comparison
from paft.report.costs import inference, prompt_sources, selections, training
from paft.report.facts import failures, samples, settings
from paft.report.paper_sheets import paper_sheets
from paft.report.reporting import all_sheets
from paft.report.sheet import Sheet

VARIANTS = [
    {"examples_per_prompt": 1},
    {"examples_per_prompt": 8},
    {"num_train_epochs": 6},
    {"examples_per_prompt": 1, "num_train_epochs": 6},
    {"limit": 200},
    {"train_prompts": 1},
    {"train_prompts": 10},
    {"lora_r": 2},
    {"lora_r": 2, "learning_rate": 0.001},
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two tasks, one of them the paper's, with all methods and variants."""
    folder = tmp_path_factory.mktemp("full")
    return Comparison.load(make_comparison(folder, ("pets", "piqa"), variants=VARIANTS, failures=1))


def column(sheet: Sheet, head: str, group: str = "") -> dict[str, str]:
    """First cell of each row -> its cell under a head."""
    place = next(i for i, c in enumerate(sheet.columns) if (c.head, c.group) == (head, group))
    return {r.cells[0].text: r.cells[place].text for r in sheet.rows}


def accuracies(c: Comparison, task: str, method: str, **variant: object) -> list[np.ndarray]:
    """The per-prompt accuracies of each seed."""
    found = [r for r in c.records if (r.task, r.method, dict(r.variant)) == (task, method, variant)]
    return [r.unseen.correct_pn.mean(axis=1) for r in found]


def shown(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def test_table_1_of_a_task(full: Comparison) -> None:
    sheet = accuracy(full, "pets")
    for method in ("base", "user", "paft"):
        per_seed = accuracies(full, "pets", method)
        assert column(sheet, "seeds")[method] == str(len(per_seed))
        assert column(sheet, "mean")[method] == shown(np.mean(per_seed))
        assert column(sheet, "std")[method] == shown(np.mean([a.std(ddof=1) for a in per_seed]))
        assert column(sheet, "min")[method] == shown(np.mean([a.min() for a in per_seed]))
        assert column(sheet, "5% quantile")[method] == shown(np.mean([np.quantile(a, 0.05) for a in per_seed]))
        assert column(sheet, "top ≥ 85")[method] == shown(np.mean([(a >= 0.85).mean() for a in per_seed]))
    mean = {m: np.mean(accuracies(full, "pets", m)) for m in full.methods("pets")}
    best = max(value for m, value in mean.items() if m != "paft")
    assert column(sheet, "mean")["paft − best other"] == f"{100 * (mean['paft'] - best):+.1f}".replace("-", "−")
    assert not [r for r in sheet.rows if r.kind == "paper"]


def test_the_paper_s_figures_stand_beside_its_tasks(full: Comparison) -> None:
    sheet = accuracy(full, "piqa")
    assert column(sheet, "mean")["paper: paft"] == "89.33"
    assert column(sheet, "top ≥ 85")["paper: zopo"] == "27"
    assert column(sheet, "min")["paper: paft"] == "–"
    assert any("LLaMA3-8B" in note and paper.SOURCE in note for note in sheet.notes)
    assert not any(c.bold or c.underline for r in sheet.rows if r.kind == "paper" for c in r.cells)


def test_table_1_of_several_tasks(full: Comparison) -> None:
    sheet = task_averages(full, ["pets", "piqa"])
    both = [np.mean(accuracies(full, task, "user")) for task in ("pets", "piqa")]
    assert column(sheet, "mean", "piqa")["user"] == shown(both[1])
    assert column(sheet, "mean", "average")["user"] == shown(np.mean(both))
    assert column(sheet, "mean", "piqa")["paper: paft"] == "89.33"
    assert column(sheet, "mean", "pets")["paper: paft"] == "–"
    assert column(sheet, "mean", "average")["paper: paft"] == "–"  # its average is over five tasks
    names = [s.name for s in accuracy_sheets(full, ["pets", "piqa"])]
    assert names[0] == "table-1"
    assert {"table-1-pets", "table-1-pets-differences", "table-1-hostile-piqa", "table-1-train-piqa"} <= set(names)
    assert len(set(names)) == len(names)


def test_the_paper_s_average_stands_with_its_five_tasks(tmp_path: Path) -> None:
    c = Comparison.load(make_comparison(tmp_path, paper.TASKS, ("base", "paft"), 1, 4, 8, sweeps=("unseen",)))
    assert column(task_averages(c, list(c.tasks)), "std", "average")["paper: paft"] == "1.57"


def test_an_average_needs_every_task(full: Comparison) -> None:
    records = [r for r in full.records if (r.task, r.method) != ("piqa", "zopo")]
    sheet = task_averages(replace(full, records=records), ["pets", "piqa"])
    assert column(sheet, "mean", "average")["zopo"] == "–"
    assert column(sheet, "mean", "pets")["zopo"] != "–"


def test_differences(full: Comparison) -> None:
    sheet = differences(full, "pets")[0]
    gain = np.mean(accuracies(full, "pets", "paft")) - np.mean(accuracies(full, "pets", "user"))
    assert column(sheet, "mean (95% interval)")["user"].startswith(f"{100 * gain:+.1f} (")
    assert column(sheet, "higher mean")["user"] == "3 of 3"
    assert list(column(sheet, "seeds")) == [m for m in full.methods("pets") if m != "paft"]
    without = replace(full, records=[r for r in full.records if r.method != "paft"])
    assert differences(without, "pets") == []


def test_hostile_prompts_that_differ_are_refused(full: Comparison) -> None:
    first = next(r for r in full.records if r.method == "user")
    other = replace(first.sweeps["hostile"], prompt_ids=["x", "y", "z", "w"])
    changed = replace(first, sweeps={**first.sweeps, "hostile": other})
    records = [changed if r is first else r for r in full.records]
    with pytest.raises(DataError, match="other prompts"):
        accuracy(replace(full, records=records), first.task, "hostile")


def test_table_2_says_when_nothing_was_generated(full: Comparison, tmp_path: Path) -> None:
    quiet = inference(full, ["pets"])
    assert any("do not tell how long" in note for note in quiet.notes)
    assert column(quiet, "tokens / answer")["paft"] == "–"
    seconds = np.mean([r.unseen.seconds for r in full.methods("pets")["user"]])
    assert column(quiet, "s / 1,000 answers")["user"] == f"{1000 * seconds / (12 * 40):.2f}"
    assert not [r for r in quiet.rows if r.kind == "sum"]
    c = Comparison.load(make_comparison(tmp_path, scoring="generate"))
    sheet = inference(c, ["pets"])
    assert column(sheet, "tokens / answer")["paft"] == "2.0"
    assert not any("do not tell" in note for note in sheet.notes)
    rate = {m: np.mean([r.unseen.seconds for r in group]) for m, group in c.methods("pets").items()}
    fastest = min(value for m, value in rate.items() if m != "paft")
    assert column(sheet, "s / 1,000 answers")["x fastest other"] == f"{fastest / rate['paft']:.2f}"


def test_table_3(full: Comparison) -> None:
    sheet = next(s for s in ablation_sheets(full, ["pets", "piqa"]) if s.name == "table-3")
    per_seed = accuracies(full, "pets", "paft", examples_per_prompt=8)
    cell = f"{shown(np.mean(per_seed))} (± {shown(np.mean([a.std(ddof=1) for a in per_seed]))})"
    assert column(sheet, "pets")["K = 8, T = 3"] == cell
    own = [r.cells[0].text for r in sheet.rows if r.kind == "own"]
    assert own == ["K = 1, T = 3", "K = 4, T = 3 (own)", "K = 8, T = 3", "K = 1, T = 6", "K = 4, T = 6"]
    assert column(sheet, "piqa")["paper: K = 2, T = 3"] == "88.37 (± 0.49)"
    assert column(sheet, "pets")["paper: K = 2, T = 3"] == "–"
    averaged = np.mean([per_seed, accuracies(full, "piqa", "paft", examples_per_prompt=8)])
    assert column(sheet, "average")["K = 8, T = 3"].startswith(shown(averaged))


def test_other_ablations(full: Comparison) -> None:
    sheets = {s.name: s for s in ablation_sheets(full, ["pets"])}
    prompts = sheets["ablation-train-prompts-pets"]
    assert list(column(prompts, "mean")) == ["1", "10", "100"]
    assert column(prompts, "mean")["1"] == shown(np.mean(accuracies(full, "pets", "paft", train_prompts=1)))
    changes = column(prompts, "minus own setting (95% interval)")
    gain = np.mean(accuracies(full, "pets", "paft", train_prompts=1)) - np.mean(accuracies(full, "pets", "paft"))
    assert changes["100"] == "own"
    assert changes["1"].startswith(f"{100 * gain:+.1f}".replace("-", "−"))
    assert list(column(sheets["ablation-limit-pets"], "mean")) == ["200", "1,000"]
    assert list(column(sheets["ablation-lora-r-pets"], "mean")) == ["2", "8"]
    other = sheets["ablation-other-pets"]
    assert [r.cells[0].text for r in other.rows] == ["learning rate 0.001, rank of LoRA 2"]
    assert "ablation-learning-rate-pets" not in sheets  # never varied alone


def test_no_variants_no_tables(tmp_path: Path) -> None:
    c = Comparison.load(make_comparison(tmp_path, methods=("user", "paft"), seeds=1))
    assert ablation_sheets(c, ["pets"]) == []


def test_tables_4_and_5(full: Comparison) -> None:
    sizes = samples(full, ["pets", "piqa"])
    assert column(sizes, "training examples") == {"pets": "1,000", "piqa": "1,000"}
    assert column(sizes, "unseen prompts")["pets"] == "12"
    assert column(sizes, "hostile prompts")["pets"] == "4"
    assert column(sizes, "swept examples")["pets"] == "40 (test)"
    table = settings(full, ["pets", "piqa"])[0]
    assert column(table, "paft")["learning_rate"] == f"{SETTINGS['learning_rate']:g}"
    assert column(table, "base")["learning_rate"] == "–"
    assert (column(table, "user")["prompts trained on"], column(table, "paft")["prompts trained on"]) == ("1", "100")


def test_table_6(full: Comparison) -> None:
    sheet = training(full, ["pets"])[0]
    assert "base" not in column(sheet, "seconds")
    assert column(sheet, "ms / example")["paft"] == "25.0"  # 0.2 s for a step of eight examples
    assert column(sheet, "x user")["paft"] == "1.00"
    assert column(sheet, "x user, processor")["paft"] == "2.00"
    assert column(sheet, "tokens / example") == {
        m: "40.0" if m in ("paft", "static-mix") else "20.0" for m in column(sheet, "steps")
    }
    only_base = replace(full, records=[r for r in full.records if r.method == "base"])
    assert training(only_base, ["pets"]) == []


def test_table_6_of_records_from_before_tokens_were_counted(full: Comparison) -> None:
    old = [replace(r, training=r.training and {**r.training, "tokens": None}) for r in full.records]
    for record in old:
        if record.training:
            del record.training["processor_seconds"]
    heads = [c.head for c in training(replace(full, records=old), ["pets"])[0].columns]
    assert heads == ["method", "seconds", "x user", "steps", "ms / example"]
    newer = [r if r.seed else o for r, o in zip(full.records, old, strict=True)]
    mixed = training(replace(full, records=newer), ["pets"])[0]
    assert column(mixed, "tokens / example")["user"] == "20.0"  # of the seeds that counted them


def test_table_7(full: Comparison, tmp_path: Path) -> None:
    found = prompt_sources(full, ["pets"])[0]
    assert [[c.text for c in r.cells] for r in found.rows] == [["pets", "llm, writer-0, zero-shot", "9", "12"]]
    assert any("not recorded" in note for note in found.notes)
    folder = make_comparison(tmp_path, methods=("paft",), seeds=1)
    facts = read_json(folder / "tasks/pets/task.json")
    row = {"model": "writer-0", "strategy": "zero-shot", "prompt_tokens": 1200, "completion_tokens": 34}
    write_json(folder / "tasks/pets/task.json", {**facts, "usage": [row, {**row, "model": "other"}]})
    spent = prompt_sources(Comparison.load(folder), ["pets"])[0]
    assert [c.text for c in spent.rows[0].cells][-1] == "1,234"
    costs = selections(full, ["pets"])[0]
    assert [c.text for c in costs.rows[0].cells] == [
        "pets", "top-accuracy", "3", "110", "2,200", "31", "60.0", "1",
    ]  # fmt: skip


def test_failures(full: Comparison) -> None:
    assert [c.text for c in failures(full, ["pets"])[0].rows[0].cells] == [
        "pets", "zopo", "90", "–", "the run ended: no memory",
    ]  # fmt: skip
    assert failures(full, ["piqa"]) == []


def test_every_table_is_rectangular_and_named_once(full: Comparison) -> None:
    sheets = [*all_sheets(full), *paper_sheets().values()]
    assert len({s.name for s in sheets}) == len(sheets)
    for s in sheets:
        assert {len(r.cells) for r in s.rows} == {len(s.columns)}, s.name


@pytest.mark.parametrize(
    ("methods", "seeds", "prompts", "examples"),
    [(("paft",), 1, 1, 1), (("base",), 1, 2, 3), (("base", "paft"), 1, 1, 5), (("user", "mine"), 2, 3, 3)],
)
def test_little_is_no_crash(tmp_path: Path, methods: Sequence[str], seeds: int, prompts: int, examples: int) -> None:
    folder = make_comparison(tmp_path, ("pets",), methods, seeds, prompts, examples, texts=False)
    for s in all_sheets(Comparison.load(folder)):
        assert s.rows


def test_the_paper_s_own_tables() -> None:
    sheets = paper_sheets()
    assert list(sheets) == [f"table-{i}" for i in range(1, 8)]
    assert column(sheets["table-1"], "mean", "average")["paft"] == "87.57"
    assert column(sheets["table-1"], "std", "average")["improvement"] == "−1.94"
    assert column(sheets["table-2"], "piqa")["x fastest other"] == "2.23"
    assert column(sheets["table-6"], "race")["zopo"] == "3.83"
    assert column(sheets["table-7"], "average")["tokens"] == "11,750"
    notes = [note for s in sheets.values() for note in s.notes]
    assert all(any(remark.text == note for note in notes) for remark in paper.REMARKS)
    assert all("not measured here" in s.notes[0] for s in sheets.values())
