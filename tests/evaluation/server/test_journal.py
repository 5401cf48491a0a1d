"""What a server was paid for is on disk: a power cut takes no answer that the sweep went on from."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from endpoints.power import Disk
from endpoints.server import Answer, serve
from evaluation.sweep_tasks import make_task

from paft.evaluation import ServerModel, sweep
from paft.evaluation.server.journal import JOURNAL_FILE, Answered, ServerJournal
from paft.evaluation.server.replies import Usage
from paft.prompts import PromptSet

TASK = make_task("choice", 3)


def letter(number, request) -> Answer:
    body = {"choices": [{"index": 0, "text": " A", "logprobs": None}]}
    return Answer(json.dumps({**body, "usage": {"prompt_tokens": 9, "completion_tokens": 1}}))


def test_a_power_cut_takes_nothing_that_was_paid_for(prompts, tmp_path: Path, monkeypatch) -> None:
    """The power goes as request 5 comes in: the files are what was synced by then."""
    disk, out, cut = Disk(monkeypatch), tmp_path / "out", tmp_path / "cut"
    two = PromptSet(list(prompts)[:2])

    def script(number, request) -> Answer:
        if number == 5 and not cut.exists():
            shutil.copytree(out, cut)
            (cut / JOURNAL_FILE).write_bytes(disk.of(out / JOURNAL_FILE))
        return letter(number, request)

    with serve(script) as server:
        model = ServerModel("m1", server.url, concurrency=1)
        whole = sweep(model, TASK, two, output=out, scoring="generate")
        asked = [request.body["prompt"] for request in server.requests]
        again = sweep(model, TASK, two, output=cut, scoring="generate")
        more = [request.body["prompt"] for request in server.requests[len(asked) :]]
    assert len(asked) == 1 + 6
    assert more == asked[5:]  # the probe and four answers are not asked for, nor counted, again
    assert {**again.summary, "seconds": 0} == {**whole.summary, "seconds": 0}


def test_whatever_is_noted_is_on_disk(tmp_path: Path, monkeypatch) -> None:
    disk, path = Disk(monkeypatch), tmp_path / JOURNAL_FILE
    journal, usage = ServerJournal(tmp_path), Usage(7, 1)
    journal.probe(usage)
    assert disk.of(path) == path.read_bytes() != b""
    asyncio.run(journal.add(Answered("p", "e", 0, [-1.5], "", 1, 6, usage)))
    assert disk.of(path) == path.read_bytes()
    journal.drop("long")
    assert disk.of(path) == path.read_bytes()
    assert path.read_bytes().count(b"\n") == 3
    journal.close()


def test_a_journal_as_older_versions_wrote_it(tmp_path: Path) -> None:
    usage = '{"prompt_tokens": 7, "completion_tokens": 1, "estimated": false, "requests": 1}'
    answer = '{"prompt": "p", "example": "e", "part": 1, "loglik": [-1.5, null], "text": "é", "answer_tokens": 1, '
    (tmp_path / JOURNAL_FILE).write_text(
        f'{{"probe": {usage}}}\n{answer}"before": 6, "usage": {usage}}}\n{{"dropped": "long"}}\n', encoding="utf-8"
    )
    journal = ServerJournal(tmp_path)
    assert journal.probes == [Usage(7, 1)]
    assert journal.answers == [Answered("p", "e", 1, [-1.5, None], "é", 1, 6, Usage(7, 1))]
    assert journal.dropped == {"long"}
    journal.close()
