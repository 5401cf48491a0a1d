"""The lm-evaluation-harness on an export and a sweep on the prompts: the same answers, example by example."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paft.evaluation import SweepResult, sweep
from paft.prompts import Prompt, PromptSet, export_prompts
from paft.tasks import Example, Task

pytestmark = pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="the lm-evaluation-harness is not installed (pip install 'lm-eval[hf]')"
)

PROMPTS = PromptSet(
    Prompt.from_text(text, id=f"p{n}")
    for n, text in enumerate(
        [
            "{text}\nA. {one}\nB. {two}\nAnswer:",
            "Read the text, then choose: {one} or {two}?\n\nText: {text}\n",
            "Options {{one}} = \"{one}\" / '{two}' {{% raw %}} {{{{ x }}}}. {text} -> \t",
            "{{# {{{text}}} #}} ({one}, {two})\n\n ",
            "Is it {one} or {two}? {text} ",
        ]
    )
)
ROWS = [
    "the quick brown fox",
    "{{ 7 * 7 }} {% if %} {# gone #}",
    'a "quoted" \\n row, it\'s 3 of 12',
    "2009-01-01",
    "read the text 🙂 then say ö",
    "jumps  over\n\nthe lazy dog",
    "trailing space \t",
    "{text} {one}",
    "payment delivery return repair",
    "how far is it from here to there",
    "A or B, not C or D.",
    "only one.",
]


def make_task(kind: str, written: Sequence[str] = ("",) * len(ROWS)) -> Task:
    """``written``: the right answers of the free task."""
    answers = {"choice": ("A", "B"), "label": ("a box", "to do", "own", "lost"), "free": ()}[kind]
    examples = []
    for i, row in enumerate(ROWS):
        slots = {"text": row, "one": ROWS[i - 1], "two": ROWS[i - 2].rstrip()}
        gold = i % len(answers) if answers else -1
        examples.append(Example(f"r{i}", slots, answers[gold] if answers else written[i], gold))
    return Task(kind, kind, dict.fromkeys(("text", "one", "two"), ""), answers, read=lambda split: examples)  # type: ignore[arg-type]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the harness in this process on a folder of exports."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def run(model: Path, folder: Path, groups: list[str]) -> dict[str, Any]:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        found = simple_evaluate(
            model=HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=16),
            tasks=groups,
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            bootstrap_iters=0,
            log_samples=True,
            random_seed=None,
            numpy_random_seed=None,
            torch_random_seed=None,
        )
        assert found is not None
        return found

    return run


def check_samples(found: dict[str, Any], swept: SweepResult, group: str) -> None:
    """Every answer, and differences of log-likelihoods to 1e-3: the harness adds the tokens of a last line break."""
    for p, prompt_id in enumerate(swept.prompt_ids):
        samples = sorted(found["samples"][f"{group}_{p + 1:03d}_{prompt_id}"], key=lambda sample: sample["doc_id"])
        assert [sample["doc"]["example_id"] for sample in samples] == list(swept.example_ids)
        loglik_nk = np.array([[float(answer[0]) for answer in sample["filtered_resps"]] for sample in samples])
        mine_nk = np.asarray(swept.loglik_pnk[p], dtype=np.float64)
        assert loglik_nk - loglik_nk[:, :1] == pytest.approx(mine_nk - mine_nk[:, :1], abs=1e-3)
        assert (loglik_nk.argmax(axis=1) == swept.prediction_pn[p]).all()


def check_accuracies(found: dict[str, Any], swept: SweepResult, group: str, metric: str) -> None:
    accuracies = [found["results"][f"{group}_{n:03d}_{p}"][metric] for n, p in enumerate(swept.prompt_ids, 1)]
    assert accuracies == pytest.approx(list(swept.per_prompt.values()), abs=1e-12)
    assert found["groups"][group][metric] == pytest.approx(swept.mean, abs=1e-12)
    assert len(set(accuracies)) > 1  # or the agreement would say little


def test_candidates(harness: Callable, tiny_model_dir: Callable, tmp_path: Path) -> None:
    model, folder = tiny_model_dir("llama"), tmp_path / "exports"
    tasks = {kind: make_task(kind) for kind in ("choice", "label")}
    for kind, task in tasks.items():
        export_prompts(PROMPTS, folder / kind, "lm-eval", task)
    found = harness(model, folder, [f"paft_{kind}" for kind in tasks])
    for kind, task in tasks.items():
        swept = sweep(model, task, PROMPTS, chat="off")
        check_samples(found, swept, f"paft_{kind}")
        check_accuracies(found, swept, f"paft_{kind}", "acc,none")


def test_free_answers(harness: Callable, tmp_path: Path) -> None:
    """The right answers are lines that the model writes under some prompt: random ones would never be met."""
    longest, model = 30, Path(str(files("paft") / "resources" / "base"))
    room, prompts = longest + 4, PromptSet(list(PROMPTS)[:2])
    first = sweep(model, make_task("free"), prompts, chat="off", max_new_tokens=room)
    lines = [[cell.text.strip().partition("\n") for cell in row] for row in first.cells_pn]
    whole = [
        [line for line, end, _ in column if end and len(line.encode()) < longest] for column in zip(*lines, strict=True)
    ]
    answers = [found[0] if found else "none" for found in whole]
    answers[0] = "x" * longest  # the longest answer decides how much the harness writes
    task = make_task("free", answers)
    export_prompts(prompts, tmp_path / "free", "lm-eval", task)
    found = harness(model, tmp_path / "free", ["paft_free"])
    check_accuracies(
        found, sweep(model, task, prompts, chat="off", max_new_tokens=room), "paft_free", "exact_match,first-line"
    )


@pytest.mark.slow
def test_the_command_line(tiny_model_dir: Callable, tmp_path: Path) -> None:
    """The command that an export names; it indexes every task of the harness, which takes its time."""
    model, task = tiny_model_dir("llama"), make_task("label")
    report = export_prompts(PROMPTS, tmp_path / "label", "lm-eval", task)
    words = report.notes[1].removeprefix("run: lm_eval ").replace("MODEL", f"{model},dtype=float32").split()
    call = [sys.executable, "-m", "lm_eval", *words, "--device", "cpu", "--output_path", str(tmp_path / "results")]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    subprocess.run(call, env=env, check=True, capture_output=True, timeout=600)
    found = json.loads(next((tmp_path / "results").rglob("results_*.json")).read_text(encoding="utf-8"))
    check_accuracies(found, sweep(model, task, PROMPTS, chat="off"), "paft_label", "acc,none")
