"""BATprompt's writer against a real endpoint on this machine: requests, journal, budgets, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from pathlib import Path

import pytest
from baselines.surface import Surface, make_examples
from endpoints.server import Answer, Request, completion, serve, templates

from paft.baselines.attacks import OFFLINE, REWRITTEN
from paft.baselines.batprompt import BatPrompt
from paft.baselines.writer import Rewriting, Writer
from paft.errors import InputError, OutputError, RunError
from paft.prompts import Prompt, PromptSet, Template
from paft.prompts.generation import Price, Provider
from paft.prompts.generation.grammar import grammar_templates
from paft.prompts.generation.judging import Judge
from paft.tasks import load_task

PIQA = load_task("piqa")
USER = Prompt.from_text(PIQA.user_prompt, id="user")
POOL = list(islice(grammar_templates(PIQA, seed=7), 60))
STRENGTH = {text: 0.2 + 5 * at / len(POOL) for at, text in enumerate(POOL)}
SMALL = {"rounds": 2, "examples": 1, "steps": 2, "variants": 2, "scored": 4}
KEY = "sk-needle-77c1"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PAFT_TEST_KEY", KEY)


def provider(url: str, **fields) -> Provider:
    return Provider("m1", "m1", url, "PAFT_TEST_KEY", **fields)


def told(request: Request) -> str:
    return request.body["messages"][1]["content"]


def purpose(request: Request) -> str:
    text = told(request)
    marks = {
        "one part of a question": "rewrite",
        "before and after it was altered": "differences",
        "Notes on how inputs": "summary",
        "see past such changes": "improve",
        "in other words.": "paraphrase",
    }
    return next(name for mark, name in marks.items() if mark in text)


def rewrite(request: Request) -> str:
    """Two words swapped for others, in as many ways as asked."""
    text = json.loads(told(request).split("as a JSON string: ")[1].split("\n")[0])
    ways = [" ".join([f"way{way}", *text.split()[1:]]) for way in range(5)]
    return json.dumps({"texts": ways})


def author(number: int, request: Request) -> Answer:
    """A model that does as it is told; what it writes depends on the request alone."""
    what = purpose(request)
    at = sum(told(request).encode()) % 25
    written = {
        "rewrite": lambda: rewrite(request),
        "differences": lambda: f"<think>hm</think>Words were changed ({at}).",
        "summary": lambda: f"All kinds of changes were made ({at}).",
        "improve": lambda: templates(POOL[at : at + 5]),
        "paraphrase": lambda: templates(POOL[at + 30 : at + 32]),
    }[what]()
    return Answer(completion(written))


def select(url: str, journal: Path | None = None, **settings):
    score = Surface(make_examples(), STRENGTH)
    with Writer(provider(url, **settings), PIQA, journal, retry_wait=0.01) as writer:
        return BatPrompt(PIQA, USER, writer, **SMALL).select(PromptSet([USER]), score)


def test_a_search_with_a_writer(tmp_path):
    with serve(author) as endpoint:
        selection = select(endpoint.url, tmp_path / "journal.jsonl", price=Price(1.0, 2.0))
    seen = [purpose(request) for request in endpoint.requests]
    facts = selection.facts
    assert facts["offline"] is False
    assert facts["attacks"] == [*OFFLINE, *REWRITTEN]
    assert facts["attacks_left_out"] == []
    assert facts["candidates"] == "written by an LLM"
    assert facts["rounds"] == 2
    assert seen.count("summary") == 2
    assert 2 * len(OFFLINE) <= seen.count("differences") <= 2 * 9
    assert seen.count("improve") >= 2
    assert selection.prompt.source == {
        "kind": "llm", "provider": "m1", "model": "m1", "strategy": selection.prompt.source["strategy"],
    }  # fmt: skip
    assert selection.score > facts["user_prompt"]["score"]
    assert {each.examples for each in selection.scores} == {4 * 9}
    assert facts["writer"]["requests"] == len(seen)
    assert facts["writer"]["prompt_tokens"] == 100 * len(seen)
    assert facts["writer"]["cost"] == pytest.approx(len(seen) * (100 * 1 + 50 * 2) / 1e6)
    for kind in REWRITTEN:
        assert facts["altered"][kind] == 4
    for request in endpoint.requests:
        if purpose(request) == "improve":
            assert "All kinds of changes were made" in told(request)
            assert "Write 5 new templates" in told(request) or "These" in told(request)
        if purpose(request) == "paraphrase":
            assert "{goal}" in told(request)
    assert KEY not in (tmp_path / "journal.jsonl").read_text()


def test_a_run_that_was_cut_off_pays_for_nothing_twice(tmp_path):
    with serve(author) as endpoint:
        whole = select(endpoint.url, tmp_path / "whole.jsonl")
        needed = len(endpoint.requests)
    journal = tmp_path / "cut.jsonl"

    def ends_early(number: int, request: Request) -> Answer:
        return author(number, request) if number < needed // 2 else Answer('{"error": {"message": "bad key"}}', 401)

    with serve(ends_early) as endpoint, pytest.raises(RunError, match="all replies so far are kept; run again"):
        select(endpoint.url, journal)
    kept = journal.read_text().count('"kind": "reply"')
    assert kept == needed // 2
    journal.write_text(journal.read_text() + '{"kind": "reply", "provider": "m1", "mod')  # killed in the middle of it
    with serve(author) as endpoint:
        again = select(endpoint.url, journal)
        assert len(endpoint.requests) == needed - kept
        sent = [json.dumps(request.body["messages"]) for request in endpoint.requests]
        assert len(set(sent)) == len(sent)
        finished = select(endpoint.url, journal)
        assert len(endpoint.requests) == needed - kept
    for selection in (again, finished):
        assert selection.prompt == whole.prompt
        assert selection.scores == whole.scores
        assert selection.facts == whole.facts


def test_templates_are_judged_and_what_is_missing_is_asked_for_once_more(tmp_path):
    bad = ["Answer {goal} with {sol1}:", POOL[3], POOL[3], "Goal {goal} A {sol1} B {sol2} and {more}:"]

    def script(number: int, request: Request) -> Answer:
        return Answer(completion(templates(bad if number == 0 else POOL[5:15])))

    with serve(script) as endpoint, Writer(provider(endpoint.url), PIQA) as writer:
        judge = Judge(PIQA, [USER.template], threshold=1.0)
        taken = writer.improve(USER, "Letters were swapped.", 5, judge)
        facts = writer.facts()
    assert [template.text for template in taken] == [POOL[3], *POOL[5:9]]
    assert facts["templates_refused"] == {"missing-slot": 1, "duplicate": 1, "unknown-slot": 1}
    first, second = (told(request) for request in endpoint.requests)
    assert "Letters were swapped." in first
    assert "Write 5 new templates" in first
    assert "Write 4 new templates" in second
    assert "missing-slot, slot {sol2} is not used" in second


def test_a_model_that_writes_nonsense_leaves_the_user_prompt():
    with serve(lambda number, request: Answer(completion("I would rather not \ud83d."))) as endpoint:
        selection = select(endpoint.url)
    assert selection.prompt is USER
    assert selection.facts["rounds"] == 2
    assert all(selection.facts["altered"][kind] == 0 for kind in REWRITTEN)
    assert selection.facts["history"][0]["candidates"] == []


def test_the_same_text_is_sent_once_and_versions_come_back_to_each():
    wanted = [Rewriting("synonyms", "goal", "warm the soup", 2), Rewriting("syntax", "goal", "warm the soup", 2)]
    with serve(author) as endpoint, Writer(provider(endpoint.url), PIQA) as writer:
        got = writer.rewrite([*wanted, wanted[0]])
        assert got == {each: ["way0 the soup", "way1 the soup"] for each in wanted}
        assert writer.rewrite(wanted) == got
    assert len(endpoint.requests) == 2


def test_requests_go_out_together_as_many_as_the_provider_allows():
    def script(number: int, request: Request) -> Answer:
        return Answer(author(number, request).body, hang=0.15)

    wanted = [Rewriting("syntax", "goal", f"warm soup number {i}", 1) for i in range(9)]
    with serve(script) as endpoint, Writer(provider(endpoint.url, concurrency=3), PIQA) as writer:
        assert [len(texts) for texts in writer.rewrite(wanted).values()] == [1] * 9
    assert endpoint.most_open == 3


def test_inside_a_running_loop():
    async def notebook(url: str):
        with Writer(provider(url), PIQA) as writer:
            return writer.paraphrase([Template.parse(POOL[0])], 2, Judge(PIQA, [USER.template]))

    with serve(author) as endpoint:
        assert len(asyncio.run(notebook(endpoint.url))) == 2


@pytest.mark.parametrize("budget", [{"max_tokens": 3000}, {"max_cost": 0.003}])
def test_a_budget_ends_the_search_and_a_larger_one_goes_on(tmp_path, budget):
    journal = tmp_path / "journal.jsonl"
    with serve(author) as endpoint:
        priced = provider(endpoint.url, price=Price(1.0, 1.0), max_tokens=400)
        with Writer(priced, PIQA, journal, **budget) as writer:
            batprompt = BatPrompt(PIQA, USER, writer, **SMALL)
            with pytest.raises(RunError, match="budget reached"):
                batprompt.select(PromptSet([USER]), Surface(make_examples(), STRENGTH))
            assert 0 < writer.row.prompt_tokens + writer.row.completion_tokens <= 3000
        sent = len(endpoint.requests)
        with Writer(priced, PIQA, journal) as writer:
            assert writer.facts()["requests"] == sent
            BatPrompt(PIQA, USER, writer, **SMALL).select(PromptSet([USER]), Surface(make_examples(), STRENGTH))
            assert writer.facts()["requests"] == len(endpoint.requests)


def test_a_passing_failure_is_tried_again():
    def script(number: int, request: Request) -> Answer:
        return Answer("sad", 503) if number == 0 else author(number, request)

    with serve(script) as endpoint, Writer(provider(endpoint.url), PIQA, retry_wait=0.01) as writer:
        assert writer.rewrite([Rewriting("syntax", "goal", "warm the soup", 1)])
    assert len(endpoint.requests) == 2


def test_the_first_of_a_providers_file(tmp_path):
    file = tmp_path / "providers.yaml"
    with serve(author) as endpoint:
        rows = [f"- {{name: {name}, model: {name}, base_url: {endpoint.url}}}" for name in ("m1", "m2")]
        file.write_text("\n".join(rows))
        with Writer(file, PIQA) as writer:
            writer.rewrite([Rewriting("syntax", "goal", "warm the soup", 1)])
    assert [request.body["model"] for request in endpoint.requests] == ["m1"]


def test_what_cannot_be_used(tmp_path, monkeypatch):
    here = provider("http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="needs the price of m1"):
        Writer(here, PIQA, max_cost=1.0)
    with pytest.raises(InputError, match="max_tokens must be above 0"):
        Writer(here, PIQA, max_tokens=0)
    with Writer(here, PIQA, tmp_path / "journal.jsonl") as writer, pytest.raises(InputError, match="writes for task"):
        BatPrompt(load_task("winogrande"), USER, writer)
    with pytest.raises(OutputError, match="another task"):
        Writer(here, load_task("winogrande"), tmp_path / "journal.jsonl")
    monkeypatch.delenv("PAFT_TEST_KEY")
    with pytest.raises(InputError, match=r"set \$PAFT_TEST_KEY"):
        Writer(here, PIQA)
