"""``select_prompt`` on a tiny model: equal to a sweep, resumable, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from evaluation.sweep_tasks import make_task

from paft.baselines.base import PromptScore, Score, Selection
from paft.errors import InputError, OutputError, PaftError, TemplateError
from paft.evaluation import CellStore, Options, Work, open_here, sweep
from paft.evaluation.cells import read_cells
from paft.experiments import load_selection, select_prompt
from paft.experiments.model_score import ModelScore
from paft.prompts import Prompt, PromptSet

PROMPTS = PromptSet(
    Prompt.from_text(text, id=f"p{i}")
    for i, text in enumerate(
        (
            "{text}\nA. {one}\nB. {two}\nAnswer:",
            "Read the text: {text}. Is it {one} or {two}?\n",
            "Options: {one} / {two}. {text} ->",
            "Choose. {text} ({one}, {two})",
            "Which is right for {text}: {one}, {two}? Reply:",
        )
    )
)


@pytest.fixture(scope="module")
def live(tiny_model_dir):
    """A loaded model with its tokenizer."""
    from paft.models import load_model, load_tokenizer

    folder = tiny_model_dir("llama")
    return load_model(folder, device="cpu"), load_tokenizer(folder)


@pytest.fixture
def forwards(live):
    """How often the model has run, a list that grows."""
    runs: list[int] = []
    handle = live[0].register_forward_hook(lambda *_: runs.append(1))
    yield runs
    handle.remove()


class Halts:
    """Asks prompt by prompt and is interrupted before the last of them, as long as ``at`` says so."""

    name = "halting"

    def __init__(self) -> None:
        self._at: int | None = 3

    def select(self, prompts: PromptSet, score: Score) -> Selection:
        scores = []
        for place, prompt in enumerate(prompts):
            if place == self._at:
                raise KeyboardInterrupt
            accuracy = float(score([prompt], score.examples).correct_pn.mean())
            scores.append(PromptScore(prompt.id, accuracy, len(score.examples)))
        best = max(scores, key=lambda each: each.score)
        return Selection(self.name, prompts[best.prompt_id], best.score, tuple(scores))


def accuracies(selection: Selection) -> dict[str, float]:
    return {each.prompt_id: each.score for each in selection.scores}


@pytest.mark.parametrize(
    ("kind", "scoring"), [("label", "auto"), ("choice", "auto"), ("choice", "continuation"), ("label", "generate")]
)
def test_accuracies_are_those_of_a_sweep(live, tmp_path, kind, scoring):
    task = make_task(kind, 15)
    swept = sweep(live, task, PROMPTS, "train", limit=11, scoring=scoring)
    made = select_prompt(live, task, PROMPTS, output=tmp_path / "out", limit=11, scoring=scoring)
    assert accuracies(made) == pytest.approx(swept.per_prompt)
    assert made.score == max(swept.per_prompt.values())
    assert made.prompt in list(PROMPTS)
    cells, _, _ = read_cells(tmp_path / "out" / "answers")
    assert len(cells) == made.calls == 55
    assert {c.example_id for c in cells} == set(swept.example_ids)
    if scoring != "generate":
        best = PROMPTS.ids.index(made.prompt.id)
        margins = [ll[g] - max(np.delete(ll, g)) for ll, g in zip(swept.loglik_pnk[best], swept.gold_n, strict=True)]
        assert made.facts["margin"] == pytest.approx(np.mean(margins), abs=1e-4)


def test_a_part_of_the_examples(live):
    task = make_task("label", 15)
    made = select_prompt(live, task, PROMPTS, examples=6, seed=5)
    swept = sweep(live, task, PROMPTS, "train")
    drawn = np.random.default_rng([5, 3]).permutation(15)[:6]
    expected = dict(zip(PROMPTS.ids, swept.correct_pn[:, drawn].mean(axis=1), strict=True))
    assert accuracies(made) == pytest.approx(expected)
    assert (made.queries, made.calls) == (5, 30)


def test_the_record(live, tmp_path):
    made = select_prompt(live, make_task("label", 12), PROMPTS, output=tmp_path / "out", examples=4)
    record = json.loads((tmp_path / "out" / "selection.json").read_text())
    wanted = "method prompt_id text score queries calls seconds scores facts model task format_version".split()
    assert set(wanted) <= set(record)
    assert (record["method"], record["task"], record["dtype"]) == ("top-accuracy", "label", "float32")
    assert (record["text"], record["prompt_id"]) == (made.prompt.text, made.prompt.id)
    assert record["scores"][0] == {"prompt_id": made.prompt.id, "score": made.score, "examples": 4}
    assert load_selection(tmp_path / "out" / "selection.json", PROMPTS) == made


def test_a_selection_that_stopped_goes_on_and_asks_nothing_twice(live, forwards, tmp_path):
    task, selector, told = make_task("label", 9), Halts(), []
    with pytest.raises(KeyboardInterrupt):
        select_prompt(live, task, PROMPTS, output=tmp_path / "out", selector=selector)
    assert len(read_cells(tmp_path / "out" / "answers")[0]) == 27
    assert not (tmp_path / "out" / "selection.json").exists()
    before = len(forwards)
    selector._at = None
    made = select_prompt(live, task, PROMPTS, output=tmp_path / "out", selector=selector, say=told.append)
    assert "27 answers" in told[-1]
    assert len(forwards) - before < before  # two prompts were left, after three
    assert (made.queries, made.calls) == (5, 45)
    counts = Counter((c.prompt_id, c.example_id) for c in read_cells(tmp_path / "out" / "answers")[0])
    assert (len(counts), set(counts.values())) == (45, {1})
    whole = select_prompt(live, task, PROMPTS, selector=selector)
    assert dataclasses.replace(made, seconds=0) == dataclasses.replace(whole, seconds=0)
    before = len(forwards)
    (tmp_path / "out" / "selection.json").unlink()
    again = select_prompt(live, task, PROMPTS, output=tmp_path / "out", selector=selector)
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(made, seconds=0)
    assert again == select_prompt(live, task, PROMPTS, output=tmp_path / "out", selector=selector, say=told.append)
    assert "nothing to do" in told[-1]
    assert len(forwards) == before


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from evaluation.sweep_tasks import make_task
from paft.experiments import select_prompt
from paft.prompts import PromptSet

class Dies:
    name = "by one"
    def select(self, prompts, score):
        for prompt in list(prompts)[:3]:
            score([prompt], score.examples)
        os.kill(os.getpid(), signal.SIGKILL)

Dies.__qualname__ = "OneByOne"
select_prompt({model!r}, make_task("label", 9), PromptSet.load({prompts!r}), output={out!r}, selector=Dies(),
              device="cpu", flush_seconds=0)
"""


class OneByOne:
    """What the killed process had as a selector, without the kill."""

    name = "by one"

    def select(self, prompts: PromptSet, score: Score) -> Selection:
        right = [float(score([prompt], score.examples).correct_pn.mean()) for prompt in prompts]
        scores = tuple(
            PromptScore(id, value, len(score.examples)) for id, value in zip(prompts.ids, right, strict=True)
        )
        return Selection(self.name, prompts[prompts.ids[int(np.argmax(right))]], max(right), scores)


def test_a_killed_process_leaves_what_it_asked(live, tiny_model_dir, tmp_path):
    PROMPTS.save(tmp_path / "prompts.jsonl")
    where = {"tests": str(Path(__file__).parents[1]), "model": str(tiny_model_dir("llama"))}
    program = KILLED.format(**where, prompts=str(tmp_path / "prompts.jsonl"), out=str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    told: list[str] = []
    made = select_prompt(
        live, make_task("label", 9), PROMPTS, output=tmp_path / "out", selector=OneByOne(), say=told.append
    )
    assert "27 answers" in told[-1]
    counts = Counter((c.prompt_id, c.example_id) for c in read_cells(tmp_path / "out" / "answers")[0])
    assert (len(counts), set(counts.values()), made.calls) == (45, {1}, 45)


def test_other_work_is_refused(live, tmp_path):
    task = make_task("label", 12)
    select_prompt(live, task, PROMPTS, output=tmp_path / "out", examples=2)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for change in ({"seed": 1}, {"halving": True}, {"limit": 5}, {"normalize": "tokens"}, {"split": "test"}):
        with pytest.raises(OutputError, match="holds another selection: its "):
            select_prompt(live, task, PROMPTS, output=tmp_path / "out", **({"examples": 2} | change))
    with pytest.raises(OutputError, match="holds another selection: its prompt"):
        select_prompt(live, task, PromptSet(list(PROMPTS)[::-1]), output=tmp_path / "out", examples=2)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other work"):
        select_prompt(live, task, PROMPTS, output=tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "best"}, "unknown --method"),
        ({"examples": 0}, "--examples must be at least 1"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"method": "zopo", "halving": True}, "--halving goes with --method top-accuracy"),
        ({"embeddings": "m"}, "--embeddings goes with --method zopo"),
        ({"providers": "p.yaml"}, "--providers goes with --method batprompt"),
        ({"method": "batprompt"}, "has no user_prompt"),
        ({"on_long": "cut"}, "--on-long must be"),
        ({"scoring": "guess"}, "unknown --scoring"),
        ({"split": "dev"}, "unknown split"),
        ({"method": "zopo", "embeddings": "./no-such-folder"}, "sentence-transformers|embedding model"),
        ({"max_length": 3}, "longer than 3 tokens"),
        ({"max_length": 3, "on_long": "drop"}, "all 12 examples are longer"),
        ({"limit": 0}, "--limit must be at least 1"),
        ({"selector": Halts(), "examples": 3}, "its own number of examples"),
    ],
)
def test_wrong_calls_leave_no_trace(live, tmp_path, arguments, message):
    with pytest.raises(PaftError, match=message):
        select_prompt(live, make_task("label", 12), PROMPTS, output=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_slot_that_the_task_lacks(live):
    with pytest.raises(TemplateError, match="slot"):
        select_prompt(live, make_task("label"), PromptSet.from_texts(["{question}"]))


def test_examples_that_are_too_long(live, tmp_path):
    task = make_task("label", 12)
    long = "word " * 300
    rows = [
        dataclasses.replace(e, slots={**e.slots, "text": long}) if i == 5 else e
        for i, e in enumerate(task.examples("train"))
    ]
    task = dataclasses.replace(task, read=lambda split: rows)
    with pytest.raises(PaftError, match="prompt p[0-4], example train:5"):
        select_prompt(live, task, PROMPTS, output=tmp_path / "out", max_length=256)
    made = select_prompt(live, task, PROMPTS, output=tmp_path / "out", max_length=2048)  # the same work goes on
    assert made.calls == 60
    told: list[str] = []
    kept = select_prompt(live, task, PROMPTS, max_length=256, on_long="drop", say=told.append)
    assert kept.calls == 55
    assert "1 examples are too long" in told[0]


def test_answers_are_kept_by_text_and_by_what_an_example_holds(live, forwards):
    task = make_task("label", 6)
    examples = list(task.examples("train"))
    altered = dataclasses.replace(examples[0], slots={**examples[0].slots, "text": "something else"})
    with open_here(Work(live, task, PROMPTS, examples, Options())) as backend, CellStore(None, {}) as store:
        score = ModelScore(backend, store, examples, progress=False)
        one, other = PROMPTS["p0"], dataclasses.replace(PROMPTS["p0"], id="same text")
        first = score([one], examples)
        runs = len(forwards)
        assert np.array_equal(score([other, one], examples).margin_pn, np.repeat(first.margin_pn, 2, axis=0))
        assert (len(forwards), score.queries, score.calls) == (runs, 3, 6)
        changed = score([one], [altered])
        assert changed.margin_pn[0, 0] != first.margin_pn[0, 0]
        assert score.calls == 7
        with pytest.raises(InputError, match="two prompts"):
            score([one, dataclasses.replace(PROMPTS["p1"], id="p0")], examples)
        with pytest.raises(InputError, match="two examples"):
            score([one], [examples[0], altered])


@pytest.mark.parametrize("method", ["zopo", "batprompt"])
def test_the_other_methods_by_name(live, tmp_path, method):
    task = dataclasses.replace(make_task("label", 9), user_prompt="{text} {one} {two}:")
    made = select_prompt(live, task, PROMPTS, method, tmp_path / "out", examples=2)
    record = json.loads((Path(tmp_path) / "out" / "selection.json").read_text())
    assert record["method"] == made.method == method
    assert record["prompt_id"] in {*PROMPTS.ids, made.prompt.id}
    assert (record["queries"], record["calls"]) == (made.queries, made.calls)
    (tmp_path / "out" / "selection.json").unlink()
    again = select_prompt(live, task, PROMPTS, method, tmp_path / "out", examples=2)
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(made, seconds=0)


def test_batprompt_with_a_writer_keeps_its_replies(live, tmp_path):
    from endpoints.server import Answer, Request, completion, serve, templates

    task = dataclasses.replace(make_task("label", 9), user_prompt="{text} {one} {two}:")
    texts = [f"Say which label fits number {i}. {{text}} First: {{one}}. Second: {{two}}. Answer:" for i in range(9)]

    def author(number: int, request: Request) -> Answer:
        asked = request.body["messages"][-1]["content"]
        at = len(asked) % 5
        return Answer(completion(templates(texts[at : at + 4]) if "templates" in asked else '{"texts": ["odd words"]}'))

    file = tmp_path / "providers.yaml"
    with serve(author) as endpoint:
        file.write_text(f"- {{name: m1, model: m1, base_url: {endpoint.url}}}\n")
        call = {"output": tmp_path / "out", "examples": 2, "providers": file}
        made = select_prompt(live, task, PROMPTS, "batprompt", **call)
        sent = len(endpoint.requests)
        assert sent > 0
        (tmp_path / "out" / "selection.json").unlink()
        again = select_prompt(live, task, PROMPTS, "batprompt", **call)
        assert len(endpoint.requests) == sent
    assert (again.prompt, again.scores, again.calls) == (made.prompt, made.scores, made.calls)
    assert made.facts["writer"]["requests"] == sent
    assert {each.prompt_id for each in made.scores} - set(PROMPTS.ids)
    with pytest.raises(OutputError, match="its writer is 'm1 m1', not None"):
        select_prompt(live, task, PROMPTS, "batprompt", tmp_path / "out", examples=2)
