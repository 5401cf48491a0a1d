"""Servers that misbehave, sweeps that are killed, and calls that do not fit: one clear line, and nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from endpoints.server import Answer, completion, serve
from evaluation.model_server import ModelServer, failure
from evaluation.sweep_tasks import make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import DataError, EncodingError, InputError, ModelError, OutputError, RunError
from paft.evaluation import ServerModel, SweepResult, sweep
from paft.prompts import Prompt, PromptSet
from paft.tasks import Example, Task

KEY = "sk-needle-77c1"
TASK = make_task("choice", 3)


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    folder = tiny_model_dir("llama")
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def two(prompts):
    return PromptSet(list(prompts)[:2])


def model_at(url: str, **fields) -> ServerModel:
    return ServerModel("m1", url, **{"retry_wait": 0.01, **fields})


def letter(number, request, text: str = " A") -> Answer:
    """A server that writes one letter and knows no log-probabilities."""
    body = {"choices": [{"index": 0, "text": text, "logprobs": None}]}
    return Answer(json.dumps({**body, "usage": {"prompt_tokens": 9, "completion_tokens": 1}}))


def after(count: int, bad: Answer):
    """The letters' server, which after ``count`` requests answers one way only."""
    return lambda number, request: letter(number, request) if number < count else bad


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("<html>Bad gateway</html>"), r"expected a JSON object, found '<html>Bad gateway</html>'"),
        (Answer('{"choices": []}'), r"expected a completion with a choice"),
        (Answer('{"choices": [7]}'), r"expected a completion with a choice"),
        (Answer('{"choices": [{"text": 5}]}'), r"expected a completion with a text"),
        (Answer("[1, 2]"), r"expected a completion with a choice"),
        (Answer('{"error": {"message": "no worker left"}}'), r"the server says: 'no worker left'"),
        (Answer('{"choices": [{"text": " A"', cut_at=20), r"the reply was cut|expected a JSON object|connection"),
        (failure(500, "boom"), r"HTTP 500: boom"),
        (failure(503, ""), r"HTTP 503"),
        (failure(429, "slow down"), r"HTTP 429: slow down"),
    ],
)
def test_rubbish_is_asked_again_and_then_said(answer, said, two, tmp_path):
    with serve(after(4, answer)) as server, pytest.raises(RunError, match=said) as error:
        sweep(model_at(server.url, concurrency=1), TASK, two, output=tmp_path, scoring="generate")
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("prompt ")
    assert "example test:" in lines[0]
    assert lines[0].endswith("6 times")
    assert lines[1] == "all answers so far are kept: the same command goes on"
    assert len(server.requests) == 4 + 6
    with serve(letter) as again:
        with pytest.raises(OutputError, match="its base_url"):
            sweep(model_at(again.url), TASK, two, output=tmp_path, scoring="generate")
        assert not again.requests


def test_one_bad_reply_is_no_harm(two):
    bad = {2: Answer("nonsense"), 5: failure(500, "x"), 7: failure(429, "y", **{"Retry-After": "0.3"})}
    with serve(lambda n, request: bad.get(n) or letter(n, request)) as server:
        result = sweep(model_at(server.url, concurrency=1), TASK, two, scoring="generate")
    assert result.prediction_pn.tolist() == [[0] * 3] * 2
    assert len(server.requests) == 1 + 6 + 3
    waited = server.requests[8].time - server.requests[7].time
    assert waited >= 0.3


def test_a_server_that_hangs(two):
    with serve(after(1, Answer("{}", hang=1.0))) as server, pytest.raises(RunError, match=r"no reply within 0\.2 s"):
        sweep(model_at(server.url, timeout=0.2), TASK, two, scoring="generate")


def test_wrong_key_wrong_model_nobody_there(two, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    out = tmp_path / "out"
    with serve(lambda n, request: failure(401, f"bad key {KEY}")) as server:
        with pytest.raises(ModelError, match=r"HTTP 401: bad key \[key\]\ncheck the key in \$SOME_KEY") as error:
            sweep(model_at(server.url, api_key_env="SOME_KEY"), TASK, two, output=out)
        assert KEY not in str(error.value)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        with pytest.raises(ModelError, match=r"no key was sent: put it into \$OPENAI_API_KEY, or name another"):
            sweep(model_at(server.url), TASK, two, output=out)
        assert len(server.requests) == 2
    with serve(lambda n, request: failure(404, "no such model")) as server:
        with pytest.raises(ModelError, match=r"'m1': HTTP 404: no such model\ncheck --model .* --api chat"):
            sweep(model_at(server.url), TASK, two, output=out)
        assert len(server.requests) == 1
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"no connection to http://127\.0\.0\.1.*\nstart the server"):
        sweep(ServerModel("m1", server.url), TASK, two, output=out)
    assert time.monotonic() - started < 3
    assert not out.exists()


def test_no_key_anywhere(two, tmp_path, monkeypatch):
    """An endpoint that sends the key back, in answers and in errors: it stands in no file."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def parrot(number, request):
        if number == 5:
            return failure(500, f"you sent {request.headers['authorization']}")
        return letter(number, request, f" A {request.headers['authorization']}")

    with serve(parrot) as server:
        result = sweep(model_at(server.url), TASK, two, output=tmp_path, scoring="generate")
    assert {text for row in result.text_pn for text in row} == {" A Bearer [key]"}
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()
    assert KEY not in repr(model_at(server.url))


LONG_ROWS = [
    *TASK.examples("test"),
    Example("long", {"text": "fox " * 300, "one": "x", "two": "y"}, "A", 0, ("x", "y")),
]
LONG = Task("choice", "choice", TASK.slots, TASK.answers, read=lambda split: LONG_ROWS)


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_too_long_for_the_server(scoring, tiny, two, tmp_path):
    with serve(ModelServer(*tiny, context=200)) as server:
        model = model_at(server.url, concurrency=2)
        with pytest.raises(EncodingError, match=r"prompt .*, example long: longer than the server has room for: .*200"):
            sweep(model, LONG, two, scoring=scoring)
        result = sweep(model, LONG, two, scoring=scoring, on_long="drop", output=tmp_path)
        assert (result.summary["dropped"], result.summary["examples"]) == (1, 3)
        assert result.summary["dropped_examples"] == ["long"]
        asked = len(server.requests)
        again = sweep(model, LONG, two, scoring=scoring, on_long="drop", output=tmp_path)
        assert len(server.requests) == asked  # not even for the one that was dropped
    assert again.summary == result.summary
    assert SweepResult.load(tmp_path).example_ids == result.example_ids == ["test:0", "test:1", "test:2"]
    only = Task("choice", "choice", TASK.slots, TASK.answers, read=lambda split: LONG_ROWS[3:])
    with serve(ModelServer(*tiny, context=200)) as server, pytest.raises(InputError, match="all 1 examples are too"):
        sweep(model_at(server.url), only, two, scoring=scoring, on_long="drop")


def test_an_example_that_is_long_under_a_later_prompt_alone(tiny, two, tmp_path):
    """Its cells of earlier prompts stay on disk, and the result leaves it out everywhere."""
    wordy = PromptSet.from_texts(["{text} Answer:", "{text} {text} {text} {text} Answer:"])
    with serve(ModelServer(*tiny, context=500)) as server:
        result = sweep(model_at(server.url, concurrency=1), LONG, wordy, on_long="drop", output=tmp_path)
    assert result.summary["dropped"] == 1
    assert result.example_ids == SweepResult.load(tmp_path).example_ids == ["test:0", "test:1", "test:2"]


def test_reasoning_that_takes_all_tokens(two):
    message = {"role": "assistant", "content": None, "reasoning_content": "Let me think"}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "length"}]})
    with (
        serve(lambda n, request: Answer(body)) as server,
        pytest.raises(RunError, match="on reasoning and wrote no answer"),
    ):
        sweep(model_at(server.url, api="chat"), TASK, two)


def test_a_refusal_is_an_answer_that_is_not_read(two):
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that"}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})
    with serve(lambda n, request: Answer(body)) as server:
        result = sweep(model_at(server.url, api="chat"), TASK, two)
    assert (result.prediction_pn == -1).all()
    assert result.summary["tokens"]["estimated"] is True


def test_other_layouts_of_a_message(two):
    parts = json.dumps({"choices": [{"message": {"content": [{"type": "text", "text": "B"}]}}]})
    with serve(lambda n, request: Answer(parts)) as server:
        assert (sweep(model_at(server.url, api="chat"), TASK, two).prediction_pn == 1).all()
    with serve(lambda n, request: Answer(completion("A."))) as server:
        assert (sweep(model_at(server.url, api="chat"), TASK, two).prediction_pn == 0).all()


def test_messages_are_sent_as_messages(two):
    turns = [{"role": "system", "content": "Be brief. "}, {"role": "user", "content": "{text} {one} {two} "}]
    chats = PromptSet([Prompt.from_text(turns)])
    example = TASK.examples("test")[0]
    filled = " ".join(example.slots[name] for name in ("text", "one", "two"))
    with serve(lambda n, request: Answer(completion("A"))) as server:
        sweep(model_at(server.url), TASK, chats, limit=3)
    sent = [request.body["messages"] for request in server.requests[1:]]
    assert [{"role": "system", "content": "Be brief."}, {"role": "user", "content": filled}] in sent
    with serve(letter) as server:
        sweep(model_at(server.url), TASK, chats, chat="off")
    assert f"Be brief.\n\n{filled}" in [request.body["prompt"] for request in server.requests]


def test_many_at_once_but_no_more(two):
    def slow(number, request):
        time.sleep(0.1)
        return letter(number, request)

    task = make_task("choice", 20)
    with serve(slow) as server:
        sweep(model_at(server.url, concurrency=8), task, two, scoring="generate")
    assert 4 <= server.most_open <= 8


SWEEPER = """
import sys
from evaluation.sweep_tasks import make_task
from paft.evaluation import ServerModel, sweep
from paft.prompts import Prompt, PromptSet
prompts = PromptSet.load(sys.argv[2])
sweep(ServerModel("m1", sys.argv[1], concurrency=2), make_task("choice", 6), prompts, output=sys.argv[3])
"""


def test_a_killed_sweep_asks_nothing_twice_that_was_answered(tiny, two, tmp_path):
    tests, out, task = Path(__file__).parents[2], tmp_path / "out", make_task("choice", 6)
    two.save(tmp_path / "prompts.jsonl")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(tests), "src"])}
    with serve(ModelServer(*tiny)) as server:
        command = [sys.executable, "-c", SWEEPER, server.url, str(tmp_path / "prompts.jsonl"), str(out)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        journal = out / "answers.jsonl"
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 8):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the sweep ended before it could be killed"
        time.sleep(0.3)  # for the requests that were open
        kept = [row for row in map(json.loads, journal.read_text().splitlines()) if "prompt" in row]
        with journal.open("a") as half:
            half.write('{"prompt": "cut in the mid')
        before = len(server.requests)
        result = sweep(ServerModel("m1", server.url), task, two, output=out)
        asked = Counter(request.body["prompt"] for request in server.requests[before:])
        assert len(server.requests) - before == 24 - len(kept)  # no probe, and nothing that was kept
        assert set(asked.values()) == {1}
        total = len(server.requests)
        assert result.summary["requests"] == 25  # each answer once, and the probe of the first run
        again = sweep(ServerModel("m1", server.url), task, two, output=out)
        assert (len(server.requests), again.summary) == (total, result.summary)
    here = sweep(tiny, task, two)
    assert np.allclose(result.loglik_pnk, here.loglik_pnk, atol=1e-4)
    (out / "answers.jsonl").write_text("what?\n")
    with pytest.raises(DataError, match=r"answers\.jsonl, line 1: not an answer of a server"):
        sweep(ServerModel("m1", server.url), task, two, output=out)


def test_a_sweep_that_failed_goes_on(two, tmp_path):
    broken = threading.Event()
    broken.set()

    def script(number, request):
        return failure(500, "down") if broken.is_set() and number >= 4 else letter(number, request)

    with serve(script) as server:
        model = model_at(server.url, concurrency=1)
        with pytest.raises(RunError, match="HTTP 500"):
            sweep(model, TASK, two, output=tmp_path, scoring="generate")
        broken.clear()
        before = len(server.requests)
        result = sweep(model, TASK, two, output=tmp_path, scoring="generate")
        assert len(server.requests) - before == 6 - 3
    assert result.summary["requests"] == 7


def test_other_servers_are_other_work(tiny, two, tmp_path):
    with serve(ModelServer(*tiny)) as server:
        model = model_at(server.url)
        sweep(model, TASK, two, output=tmp_path)
        asked = len(server.requests)
        for other in (
            {"model": ServerModel("m2", server.url)},
            {"model": model_at(server.url, api="chat")},
            {"model": model_at(server.url, extra_body={"seed": 1})},
            {"scoring": "generate"},
            {"model": tiny},
        ):
            with pytest.raises(OutputError, match="holds another sweep"):
                sweep(**{"model": model, "task": TASK, "prompts": two, "output": tmp_path, **other})
        assert len(server.requests) == asked
        sweep(model_at(server.url + "/", concurrency=2), TASK, two, output=tmp_path, scoring="likelihood")
        assert len(server.requests) == asked


def test_wrong_calls(two, monkeypatch):
    model = ServerModel("m1", "http://127.0.0.1:9/v1")
    for field in (
        {"dtype": "float32"},
        {"device": "cpu"},
        {"batch_tokens": 9},
        {"adapter": "x"},
        {"max_length": 99},
        {"max_length": 1024},  # the default of a model in this process
        {"date": "2024-01-01"},
    ):
        with pytest.raises(InputError, match="is for a model in this process"):
            sweep(model, TASK, two, **field)
    with pytest.raises(InputError, match="--api completions and --chat on contradict"):
        sweep(ServerModel("m1", model.base_url, api="completions"), TASK, two, chat="on")
    for url in ("ftp://x", "localhost:8000", "http://u:p4ss@x/v1", "u:p4ss@x", "http://x/v1?key=p4ss"):
        with pytest.raises(InputError, match="--base-url: expected an address") as error:
            ServerModel("m1", url)
        assert "p4ss" not in str(error.value)
    assert ServerModel("m1", "http://x/v1/completions").base_url == "http://x/v1"
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(InputError, match=r"\$NO_SUCH_KEY is not set"):
        ServerModel("m1", model.base_url, api_key_env="NO_SUCH_KEY")
    with pytest.raises(InputError, match="--extra-body cannot set echo, model"):
        ServerModel("m1", model.base_url, extra_body={"model": 1, "echo": True})
    for field in ({"concurrency": 0}, {"timeout": -1}, {"api": "fax"}, {"max_cost": 0.0}):
        with pytest.raises(InputError):
            ServerModel("m1", model.base_url, **field)
