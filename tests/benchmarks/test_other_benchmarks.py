"""The benchmarks beside the two tables run, and their figures are of what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, output: Path, *options: str) -> tuple[dict[str, Any], str]:
    call = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), "--output", str(output), *options]
    subprocess.run(call, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=900)
    text = (output / f"{script}.md").read_text(encoding="utf-8")
    return json.loads((output / f"{script}.json").read_text(encoding="utf-8")), text


@pytest.mark.slow
def test_prompts_ratio(shared_data: Path, tmp_path: Path) -> None:
    options = ("--quick", "--prompts", "12", "--examples", "32", "--rounds", "2", "--starts", "2")
    results, text = run("prompts_ratio", tmp_path, *options)
    found = results["comparison"]
    assert found["same_tokens"]
    assert [side["prompts"] for side in found["sides"].values()] == [1, 1, 12, 1, 12]
    assert min(found["sides"]["alike, one"]["tokens"]) > 32 * 40
    for ratio in found["ratios"].values():
        assert len(ratio["of_starts"]) == 2
        assert ratio["low"] < ratio["mean"] < ratio["high"]
        assert 0.3 < ratio["mean"] < 3
    assert "the same tokens on all sides" in text


@pytest.mark.slow
def test_scale(tmp_path: Path) -> None:
    results, text = run("scale", tmp_path, "--examples", "60000", "--few", "500", "--jobs", "train", "--prompts", "20")
    assert [start["format"] for start in results["starts"]] == ["parquet", "jsonl"]
    for start in results["starts"]:
        assert start["many"]["examples"] == 60000
        assert set(start["many"]["stages"]) >= {"rows read", "checks", "plan of the epoch", "first step"}
        assert start["added_megabytes"] < 200
        plan = start["many"]["stages"]["plan of the epoch"]
        assert plan["peak_megabytes"] > 100
    assert "train, jsonl" in text


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="the lm-evaluation-harness is not installed")
def test_the_gpu_script_runs_without_one(shared_data: Path, tmp_path: Path) -> None:
    env = {**os.environ, "DEVICE": "cpu", "SHAPE": "smoke", "DTYPE": "float32", "EXAMPLES": "32", "ROUNDS": "1"}
    bash = shutil.which("bash")
    assert bash
    env |= {"PYTHON": sys.executable, "OUTPUT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    subprocess.run([bash, str(ROOT / "benchmarks" / "gpu.sh")], env=env, check=True, timeout=1500)
    train = json.loads((tmp_path / "gpu-train.json").read_text(encoding="utf-8"))
    assert all(side["same"] for side in train["comparisons"][0]["sides"].values())
    assert json.loads((tmp_path / "gpu-sweep.json").read_text(encoding="utf-8"))["place"]["shape"] == "smoke"


@pytest.mark.slow
def test_sweeps_with_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM is the stand-in of the sweep's own tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "evaluation" / "vllm_stand_in"))
    options = ("--quick", "--device", "cpu", "--shape", "smoke", "--dtype", "float32", "--rounds", "1")
    results, text = run("vllm_speed", tmp_path, *options, "--name", "vllm_speed")
    assert len(results["workloads"]) == 6
    assert all(found["same"] and found["ratio"] > 0 for found in results["workloads"].values())
    assert "| PIQA letters, 32k | 6 x 2 |" in text


@pytest.mark.slow
def test_training_with_compiled_layers(shared_data: Path, tmp_path: Path) -> None:
    options = ("--compiled", "--peers", "--shapes", "smoke", "--dtypes", "float32", "--examples", "32", "--rounds", "1")
    results, text = run("train_speed", tmp_path, *options)
    sides = results["comparisons"][0]["sides"]
    assert sides.keys() == {"paft", "paft-padded", "paft-compiled"}
    assert all(side["same"] for side in sides.values())
    assert sides["paft"]["ratio_to_compiled"]["median"] > 0
    assert "paft, packed rows, compiled" in text
