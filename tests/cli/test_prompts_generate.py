"""``paft prompts generate`` as a user runs it: dry run, budget, table, a kill in the middle, and no key anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from endpoints.server import Answer, completion, serve, templates

from paft.cli.main import main
from paft.prompts import PromptSet
from paft.prompts.generation.grammar import grammar_templates
from paft.tasks import load_task

KEY = "sk-needle-77c1d0"


@pytest.fixture(scope="module")
def pool() -> list[str]:
    return list(islice(grammar_templates(load_task("piqa"), seed=11), 120))


def dealing(pool: list[str], wait: float = 0.0):
    """Every model and strategy has its own stretch of the pool; six templates a reply."""

    def script(number, request):
        time.sleep(wait)
        few = "Templates that work" in request.body["messages"][1]["content"]
        told = "of your templates were taken already" in request.body["messages"][1]["content"]
        start = 40 * (int(request.body["model"][1:]) - 1) + 20 * few
        kept = (
            int(request.body["messages"][1]["content"].split(" of your templates were")[0].split()[-1]) if told else 0
        )
        return Answer(completion(templates(pool[start + kept : start + kept + 6])))

    return script


def providers_file(folder: Path, url: str) -> Path:
    path = folder / "providers.yaml"
    rows = [f"- {{name: p{n}, model: m{n}, base_url: '{url}', api_key_env: PAFT_TEST_KEY, timeout: 5}}" for n in (1, 2)]
    path.write_text("\n".join(rows))
    return path


def call(folder: Path, url: str, *more: str) -> list[str]:
    asked = ["--task", "piqa", "--providers", str(providers_file(folder, url)), "--per-strategy", "15"]
    return ["prompts", "generate", *asked, "--output", str(folder / "p.jsonl"), *more]


def start(words: list[str], **env: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "paft", *words],
        env={**os.environ, "PAFT_TEST_KEY": KEY, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def everything(folder: Path, *texts: str) -> str:
    return "".join(path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()) + "".join(texts)


def test_killed_in_the_middle_and_run_again(pool, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    with serve(dealing(pool)) as endpoint:
        done = start(call(whole, endpoint.url))
        assert done.wait(60) == 0
        needed = len(endpoint.requests)
    with serve(dealing(pool, wait=0.3)) as endpoint:
        job = start(call(killed, endpoint.url), PAFT_DEBUG="1", OPENAI_LOG="debug")
        while len(endpoint.requests) < 7:  # in the second round
            assert job.poll() is None, job.stderr.read()
            time.sleep(0.01)
        job.send_signal(signal.SIGKILL)
        output = job.communicate()
        kept = len((killed / "p.journal.jsonl").read_text().splitlines()) - 1
        assert kept >= 4
        before = len(endpoint.requests)
        again = start(call(killed, endpoint.url), OPENAI_LOG="debug")
        output += again.communicate(timeout=60)
        assert again.returncode == 0
        assert len(endpoint.requests) - before == needed - kept  # nothing that was kept is asked again
    one, other = PromptSet.load(whole / "p.jsonl"), PromptSet.load(killed / "p.jsonl")
    assert [(p.id, p.source["model"]) for p in one] == [(p.id, p.source["model"]) for p in other]
    assert len(one) == 60
    assert "needle" not in everything(tmp_path, *output)


def test_interrupted_by_the_user(pool, tmp_path: Path) -> None:
    with serve(dealing(pool, wait=0.5)) as endpoint:
        job = start(call(tmp_path, endpoint.url))
        while len(endpoint.requests) < 5:
            time.sleep(0.01)
        job.send_signal(signal.SIGINT)
        _, err = job.communicate(timeout=30)
    assert job.returncode == 130
    assert err.strip().endswith("error: interrupted")
    assert "Traceback" not in err


def test_the_table_and_the_key(pool, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("PAFT_TEST_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other-needle")

    def script(number, request):
        if request.body["model"] == "m2":
            return Answer(json.dumps({"error": {"message": f"bad key {KEY}"}}), 401)
        return dealing(pool)(number, request)

    with serve(script) as endpoint:
        assert main(call(tmp_path, endpoint.url)) == 0
    said = capsys.readouterr()
    assert f"{tmp_path / 'p.jsonl'}: 30 prompts" in said.out
    assert [line.split()[:-1] for line in said.out.splitlines() if line.startswith((" p1", " all"))] == [
        ["p1", "zero-shot", "3", "27", "18", "15", "300", "150", "-"],
        ["p1", "few-shot", "3", "27", "18", "15", "300", "150", "-"],
        ["all", "6", "54", "36", "30", "600", "300", "-"],
    ]
    assert "p2 m2 zero-shot: ended: HTTP 401: bad key [key]; check the key in $PAFT_TEST_KEY" in said.out
    assert "needle" not in everything(tmp_path, said.out, said.err)
    assert all("other" not in request.headers["authorization"] for request in endpoint.requests)


def test_a_dry_run_sends_nothing(tmp_path: Path, capsys) -> None:
    with serve(lambda n, r: Answer("{}", 500)) as endpoint:
        assert main([*call(tmp_path, endpoint.url)[:-2], "--dry-run"]) == 0
        assert endpoint.requests == []
    said = capsys.readouterr().out
    assert "=== zero-shot, as sent to p1 m1 ===" in said
    assert "- {goal}: an everyday goal" in said
    assert "Write 15 templates." in said
    assert "p2 m2, few-shot: about" in said
    assert "4 requests, about" in said
    assert [path.name for path in tmp_path.iterdir()] == ["providers.yaml"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--strategies", "one-shot"], "strategies must be some of zero-shot, few-shot, found one-shot"),
        (["--per-strategy", "0"], "per_strategy must be at least 1, found 0"),
        (["--max-tokens", "0"], "max_tokens must be above 0, found 0"),
        (["--max-cost", "1"], "--max-cost needs the price of every provider; p1 m1, p2 m2 has none"),
        (["--threshold", "2"], "threshold must be above 0 and at most 1"),
        (["--seed-prompts", "no.jsonl"], "no such file: no.jsonl"),
        (["--language", " "], "language is empty"),
    ],
)
def test_wrong_calls(tmp_path: Path, capsys, monkeypatch, more: list[str], words: str) -> None:
    monkeypatch.setenv("PAFT_TEST_KEY", KEY)
    assert main(call(tmp_path, "http://127.0.0.1:9/v1", *more)) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") <= 3
    assert not (tmp_path / "p.jsonl").exists()


def test_a_users_task_from_grammar_to_sweep(tmp_path: Path, capsys, tiny_model_dir) -> None:
    """A new task YAML, no LLM: prompts, a split, training and a sweep, one after the other."""
    rows = [
        {"note": f"{word} {n}", "mood": mood} for n in range(12) for word, mood in (("sun", "up"), ("rain", "down"))
    ]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "task.yaml").write_text(
        "name: notes\ntype: label\nfiles: {train: notes.jsonl, test: notes.jsonl}\n"
        "columns: {slots: {note: note}, answer: mood}\nlabels: {up: happy, down: sad}\n"
        "description: Say what mood a note is in.\nslots: {note: a short note}\n"
    )
    task, made, runs = str(tmp_path / "task.yaml"), str(tmp_path / "all.jsonl"), str(tmp_path / "run")
    calls = [
        ["prompts", "generate", "--task", task, "--providers", "grammar", "--total", "24", "--output", made],
        ["prompts", "check", made, "--task", task],
        ["prompts", "split", made, "--test", "6", "--output", str(tmp_path / "sides")],
        ["train", "--model", str(tiny_model_dir("llama")), "--task", task,
         "--prompts", str(tmp_path / "sides/train.jsonl"), "--output", runs, "--num-train-epochs", "1"],
        ["sweep", "--model", runs, "--task", task, "--split", "test", "--prompts", str(tmp_path / "sides/test.jsonl"),
         "--output", str(tmp_path / "sweep")],
    ]  # fmt: skip
    for words in calls:
        assert main(words) == 0, capsys.readouterr().err
    summary = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert (summary["prompts"], summary["examples"]) == (6, 24)
