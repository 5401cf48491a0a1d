"""Against another implementation of the protocol: ``transformers serve``, which gives no log-probabilities."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from paft.errors import ModelError
from paft.evaluation import ServerModel, sweep
from paft.models import EMBEDDED, resolve_model
from paft.prompts import PromptSet
from paft.tasks import load_task

CHAT = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
PROMPTS = PromptSet.from_texts(
    [
        "{text}\nWhich team is it for: account, return, money or post?\nAnswer:",
        "A customer writes: {text}\nTopic (post, money, return, account):",
        "{text} (For: post? return? money? account?) For:",
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with the simplest chat template."""
    made = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(resolve_model(EMBEDDED).base, made)
    (made / "chat_template.jinja").write_text(CHAT)
    return made


@pytest.fixture(scope="module")
def url(folder: Path):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    log = folder.parent / "server.log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1", "--port", str(port)]
    job = subprocess.Popen(
        [*words, "--dtype", "float32", "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert job.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        job.terminate()
        job.wait(20)


@pytest.mark.slow
@pytest.mark.parametrize("api", ["completions", "chat"])
def test_the_same_answers_as_in_process(api, url, folder) -> None:
    """``auto`` finds that the server passes over ``echo`` in silence, and takes what the model writes."""
    task, told = load_task("demo"), []
    served = ServerModel(str(folder), url, api=api, concurrency=4)
    there = sweep(served, task, PROMPTS, limit=12, max_new_tokens=6, say=told.append)
    chat = "on" if api == "chat" else "off"
    here = sweep(str(folder), task, PROMPTS, limit=12, max_new_tokens=6, scoring="generate", chat=chat)
    assert told[0].endswith("scored by what the model writes")
    assert there.summary["per_prompt"] == here.summary["per_prompt"]
    assert (there.prediction_pn == here.prediction_pn).all()
    assert [[t.strip() for t in row] for row in there.text_pn] == [[t.strip() for t in row] for row in here.text_pn]
    assert any(text.strip() for row in there.text_pn for text in row)
    assert [[c.prompt_tokens for c in row] for row in there.cells_pn] == [
        [c.prompt_tokens for c in row] for row in here.cells_pn
    ]


@pytest.mark.slow
def test_an_address_that_is_wrong_is_said(url, folder) -> None:
    with pytest.raises(ModelError, match=r"HTTP 404: Not Found\ncheck --model and --base-url"):
        sweep(ServerModel(str(folder), url.removesuffix("/v1")), load_task("demo"), PROMPTS, limit=2)
