"""Answers behind reasoning, answers that cannot be read, and worked solutions: local models, vLLM's way, servers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from endpoints.server import Answer, serve
from evaluation.taught import taught
from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer

from paft.errors import InputError, RunError
from paft.evaluation import ServerModel, SweepResult, predict, sweep
from paft.experiments import select_prompt
from paft.prompts import PromptSet
from paft.report.tables import sweep_lines
from paft.tasks import Example, Task

ROWS = [Example(f"test:{i}", {"text": f"fox {i}"}, "person", 0) for i in range(2)]
TASK = Task("t", "label", {"text": ""}, ("person", "number"), read=lambda split: ROWS)
FREE = Task("t", "free", {"text": ""}, match="normalized", read=lambda split: [replace(e, gold=-1) for e in ROWS])
PROMPTS = PromptSet.from_texts(["{text}:", "Read {text}:"])
REPLY = "<think>\nnumber\nor so\n</think>\nperson"


def lines(result: SweepResult) -> str:
    return "\n".join(sweep_lines(result.summary))


@pytest.fixture(scope="module")
def reasoner(tiny_model_dir):
    """``kind -> (model, tokenizer)`` of a model that reasons: with the marks as text, or as tokens of their own."""
    made = {}

    def make(kind: str, reply: str = REPLY, end: str = ""):
        if (kind, reply, end) not in made:
            folder = tiny_model_dir("llama")
            model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
            if kind != "text":
                marks = [AddedToken(t, special=kind == "special", normalized=False) for t in ("<think>", "</think>")]
                tokenizer.add_tokens(marks, special_tokens=kind == "special")
                model.resize_token_embeddings(len(tokenizer))
            lessons = [(p.render(e.slots) + end, reply) for p in PROMPTS for e in ROWS]
            made[kind, reply, end] = taught(model, tokenizer, lessons, 120), tokenizer
        return made[kind, reply, end]

    return make


@pytest.mark.parametrize("kind", ["text", "added", "special"])
def test_a_local_model_that_reasons(kind, reasoner):
    pair = reasoner(kind)
    for task in (TASK, FREE):
        result = sweep(pair, task, PROMPTS, scoring="generate", max_new_tokens=60)
        assert result.mean == 1.0
        assert [result.summary[k] for k in ("unreadable", "reasoning", "reasoning_cut")] == [0.0, 1.0, 0.0]
        assert result.summary["flip_rate"] == 0.0
        assert "reasoning was taken off 100.0 % of the answers" in lines(result)
        assert "\n0.0 % of the answers could not be read" in lines(result)
        assert {c.text for row in result.cells_pn for c in row} == {REPLY}, "the whole text is kept"
        told = predict(pair, task, PROMPTS, ROWS, scoring="generate", max_new_tokens=60)
        assert {p.answer for p in told} == {"person"}


def test_reasoning_that_is_cut_or_that_the_prompt_begins(reasoner):
    cut = sweep(reasoner("special"), TASK, PROMPTS, scoring="generate", max_new_tokens=4)
    assert (cut.mean, cut.summary["unreadable"], cut.summary["reasoning_cut"]) == (0.0, 1.0, 1.0)
    assert "100.0 % of them were cut within it: give more --max-new-tokens" in lines(cut)
    assert "warning: 100.0 % of the answers could not be read, and count as wrong" in lines(cut)
    begun = PromptSet.from_texts([f"{p.text}<think>\n" for p in PROMPTS])
    pair = reasoner("text", "number\n</think>\nperson", "<think>\n")
    result = sweep(pair, TASK, begun, scoring="generate", max_new_tokens=40)
    assert (result.mean, result.summary["reasoning"]) == (1.0, 1.0)


def test_likelihood_has_no_share_of_unreadable_answers(tiny_model_dir):
    result = sweep(tiny_model_dir("llama"), TASK, PROMPTS)
    assert result.summary["unreadable"] is None
    assert "read" not in lines(result).replace("Read", "")


def reply(finish: str = "stop", **message) -> Answer:
    usage = {"prompt_tokens": 9, "completion_tokens": 2}
    return Answer(json.dumps({"choices": [{"message": message, "finish_reason": finish}], "usage": usage}))


@pytest.mark.parametrize(
    ("bad", "mean", "unreadable", "reasoning", "cut"),
    [
        (reply(content="<think>\nnumber\n</think>\n\nperson"), 1.0, 0.0, 0.5, 0.0),
        (reply(content="person", reasoning_content="number\nor"), 1.0, 0.0, 0.5, 0.0),
        (reply(content="person", reasoning="number\nor"), 1.0, 0.0, 0.5, 0.0),
        (reply(content=[{"type": "text", "text": "person"}], reasoning="a"), 1.0, 0.0, 0.5, 0.0),
        (reply("length", content=None, reasoning_content="person, I"), 0.5, 0.5, 0.5, 0.5),
        (reply("length", content="", reasoning="person, I"), 0.5, 0.5, 0.5, 0.5),
        (reply("length", content="<think>\nperson"), 0.5, 0.5, 0.5, 0.5),
        (reply(content=None, reasoning_content="person"), 0.5, 0.5, 0.5, 0.0),
        (reply("content_filter", content=""), 0.5, 0.5, 0.0, 0.0),
        (reply(content=None, refusal="I cannot"), 0.5, 0.5, 0.0, 0.0),
    ],
)
def test_what_servers_write(bad, mean, unreadable, reasoning, cut, tmp_path):
    for task in (TASK, FREE):
        with serve(lambda n, request: bad if n % 2 else reply(content="person")) as server:
            model = ServerModel("m1", server.url, api="chat", concurrency=1)
            result = sweep(model, task, PROMPTS, output=tmp_path / task.type, scoring="generate")
            again = sweep(model, task, PROMPTS, output=tmp_path / task.type, scoring="generate")
        assert result.mean == again.mean == mean
        found = [again.summary[k] for k in ("unreadable", "reasoning", "reasoning_cut")]
        assert found == [unreadable, reasoning, cut]
        assert ("warning: " in lines(result)) == (unreadable > 0.05)
        assert ("--max-new-tokens" in lines(result)) == (cut > 0)


def test_a_server_that_reasons_all_the_time_is_refused_at_once():
    for bad in (reply("length", content="<think>\nWell"), reply("length", content=None, reasoning="Well")):
        with serve(lambda n, request, bad=bad: bad) as server:
            with pytest.raises(RunError, match="on reasoning and wrote no answer\ngive more with --max-new-tokens"):
                sweep(ServerModel("m1", server.url, api="chat"), TASK, PROMPTS)
            assert len(server.requests) == 1


def test_a_server_is_read_as_a_model_in_process_is():
    """A label that may go on in the next line is not cut before it."""
    task = replace(TASK, answers=("new york", "new"))
    with serve(lambda n, request: reply(content="new\nyork\nand more")) as server:
        result = sweep(ServerModel("m1", server.url, api="chat"), task, PROMPTS, scoring="generate")
    assert {(c.prediction, c.text) for row in result.cells_pn for c in row} == {(0, "new\nyork\n")}


def test_worked_solutions(tiny_model_dir):
    rows = [Example("test:0", {"text": "fox"}, "It is 4+7=11,\nthen 1,000 more.\n#### 1,011")]
    task = Task("sums", "free", {"text": ""}, read=lambda split: rows)
    for call in (sweep, select_prompt):
        with pytest.raises(
            InputError, match=r"example test:0 is a worked .* '#### 1,011'.*\nwrite `match: normalized`"
        ):
            call(tiny_model_dir("llama"), task, PROMPTS)
    with serve(lambda n, request: reply(content="4\n5\n6\n7\n#### 1011\n\nAnd now?\n#### 5\n")) as server:
        task = replace(task, match="normalized")
        result = sweep(ServerModel("m1", server.url, api="chat"), task, PROMPTS)
    assert result.mean == 1.0
    assert {c.text for row in result.cells_pn for c in row} == {"4\n5\n6\n7\n#### 1011\n"}
