"""``paft demo``: what it prints and saves; the whole of it in the slow suite."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from paft.cli.demo import _print_next, _print_table
from paft.experiments.demo import DemoResult

NUMBERS = {"std": 0.1, "std_corrected": 0.05, "min": 0.3, "q05": 0.35, "top": {"threshold": 0.85, "share": 0.5}}


@pytest.fixture
def result(tmp_path: Path) -> DemoResult:
    """A demo's result with made-up numbers."""
    methods = {
        name: {"mean": mean, **NUMBERS, "per_prompt": {"a": mean - 0.1, "b": mean + 0.1}}
        for name, mean in (("base", 0.2), ("user", 0.5), ("static-mix", 0.7), ("paft", 0.8))
    }
    return DemoResult(methods, 2, 60, 90.4, tmp_path / "a folder", {"a": "{text}:", "b": "{text} ->"})


def test_the_table(result: DemoResult, capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(result)
    table = capsys.readouterr().out
    assert "Accuracy (%) over 2 unseen prompts x 60 test examples" in table
    rows = [line.split()[:2] for line in table.splitlines() if line.split()[:1] != []]
    for row in (["base", "20.0"], ["user", "50.0"], ["static-mix", "70.0"], ["paft", "80.0"]):
        assert row in rows


def test_what_to_do_next_can_be_copied(result: DemoResult, capsys: pytest.CaptureFixture[str], paft: Callable) -> None:
    _print_next(result)
    commands = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("paft ")]
    assert len(commands) == 5
    sweep = shlex.split(commands[0])
    assert sweep[sweep.index("--model") + 1] == str(result.output / "work/demo/paft-seed0/run")
    for command in commands:  # every flag is one that the verb knows
        found = paft(*shlex.split(command)[1:])
        assert "unknown flag" not in found.err
        assert "needs" not in found.err


def test_a_folder_with_other_things_is_refused(paft: Callable, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    found = paft("demo", "--output", tmp_path)
    assert found.code == 2
    assert len(found.err.splitlines()) <= 3
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    assert paft("demo", "--output", tmp_path / "new", "--seed", -1).code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_whole_demo(paft: Callable, tmp_path: Path) -> None:
    found = paft("demo", "--output", tmp_path / "demo")
    assert found.code == 0, found.err
    results = json.loads((tmp_path / "demo/results.json").read_text())
    assert list(results["methods"]) == ["base", "user", "static-mix", "paft"]
    assert (results["format_version"], results["seed"], results["prompts"]) == (1, 0, 50)
    assert results["methods"]["paft"]["mean"] > results["methods"]["user"]["mean"]
    for name, numbers in results["methods"].items():
        assert f"{100 * numbers['mean']:.1f}" in next(line for line in found.out.splitlines() if name in line)
    assert (tmp_path / "demo/report/index.html").is_file()
    assert (tmp_path / "demo/report/figures/methods-demo.png").is_file()
    again = paft("demo", "--output", tmp_path / "demo")
    assert again.code == 0
    assert again.out == found.out
