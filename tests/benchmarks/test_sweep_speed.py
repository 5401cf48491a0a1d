"""The sweep benchmark runs, and both sides give the same answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="the lm-evaluation-harness is not installed")
@pytest.mark.parametrize("data", ["real", "made up"])
def test_quick(data: str, tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if data == "made up":
        env["PAFT_SHARED_DATA"] = str(tmp_path / "absent")
    call = [sys.executable, str(ROOT / "benchmarks" / "sweep_speed.py"), "--quick", "--output", str(tmp_path)]
    subprocess.run(call, env=env, check=True, timeout=900)
    results = json.loads((tmp_path / "sweep_speed.json").read_text(encoding="utf-8"))
    assert len(results["workloads"]) == 6
    for found in results["workloads"].values():
        assert found["same"]
        assert found["ratio"]["low"] > 0
        assert found.get("apart", {}).get("log-likelihoods", 0) <= 1e-4
    text = (tmp_path / "sweep_speed.md").read_text(encoding="utf-8")
    assert "means nothing" in text or "mean nothing" in text
