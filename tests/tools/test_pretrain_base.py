"""The pretraining script: a killed run goes on and ends with the same weights as one that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, TEXT
from safetensors.torch import load_file

COMMAND = [sys.executable, str(ROOT / "tools" / "pretrain_base.py"), "--vocab-size", "400", "--hidden-size", "32"]
COMMAND += ["--layers", "2", "--heads", "2", "--intermediate-size", "64", "--sequence", "32", "--batch", "4"]
COMMAND += ["--save-every", "5", "--device", "cpu"]


def start(corpus: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [*COMMAND, "--corpus", str(corpus), "--output", str(out), "--export", str(out / "model")]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    words = " ".join(TEXT).split()
    documents = [" ".join(words[i % 40 :] + words[: i % 40]) for i in range(200)]
    (corpus / "a.txt").write_text("\n\n\n".join(documents), encoding="utf-8")
    assert start(corpus, tmp_path / "whole").wait() == 0

    killed = start(corpus, tmp_path / "killed")
    while not (tmp_path / "killed" / "checkpoint.pt").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "model").exists()
    assert start(corpus, tmp_path / "killed").wait() == 0

    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "killed"))
    assert all(one[key].equal(two[key]) for key in one)
