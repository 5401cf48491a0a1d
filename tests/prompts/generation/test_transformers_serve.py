"""Against another implementation of the protocol: ``transformers serve`` with a model that writes gibberish."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from paft.errors import RunError
from paft.models import EMBEDDED, resolve_model
from paft.prompts.generation import Provider, generate_prompts

CHAT = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"


@pytest.fixture
def server(tmp_path: Path):
    """The embedded model in float32, with the simplest chat template, behind transformers' own server."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    folder = tmp_path / "model"
    shutil.copytree(resolve_model(EMBEDDED).base, folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1", "--port", str(port)]
    job = subprocess.Popen(
        [*words, "--dtype", "float32", "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=(tmp_path / "server.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert job.poll() is None, (tmp_path / "server.log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        job.terminate()
        job.wait(20)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_gibberish_ends_cleanly(piqa, server, tmp_path: Path, stream: bool) -> None:
    url, model = server
    provider = Provider("local", model, url, stream=stream, max_tokens=48, timeout=90)
    with pytest.raises(RunError, match="nothing usable: 0 templates were received"):
        generate_prompts(
            piqa, [provider], per_strategy=3, strategies=["zero-shot"], output=tmp_path / "p.jsonl", retry_wait=0.1
        )
    lines = [json.loads(line) for line in (tmp_path / "p.journal.jsonl").read_text().splitlines()]
    replies = [line for line in lines if line["kind"] == "reply"]
    assert len(replies) == 2
    row = json.loads((tmp_path / "p.usage.json").read_text())["rows"][0]
    assert row["requests"] == 2
    assert row["prompt_tokens"] > 300
    assert 0 < row["completion_tokens"] <= 96
    assert row["refused"] == {}
