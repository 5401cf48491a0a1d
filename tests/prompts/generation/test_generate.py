"""Generation over real HTTP, against an endpoint that behaves and one that does not."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from endpoints.server import FAST, Answer, completion, dealing, first_then, serve, stream, templates

from paft.errors import OutputError, RunError
from paft.prompts import PromptSet
from paft.prompts.generation import Price, generate_prompts


def test_two_models_and_two_strategies(piqa, pool, provider, tmp_path: Path):
    with serve(dealing(pool, 5)) as endpoint:
        providers = [provider(endpoint.url, "m1", price=Price(1.0, 2.0)), provider(endpoint.url, "m2")]
        made = generate_prompts(piqa, providers, per_strategy=10, output=tmp_path / "p.jsonl", retry_wait=0.02)
    assert len(made.prompts) == 40
    assert [(r.provider, r.strategy, r.requests, r.asked, r.received, r.kept) for r in made.usage.rows] == [
        ("m1", "zero-shot", 2, 15, 10, 10),
        ("m1", "few-shot", 2, 15, 10, 10),
        ("m2", "zero-shot", 2, 15, 10, 10),
        ("m2", "few-shot", 2, 15, 10, 10),
    ]
    assert (made.usage.rows[0].prompt_tokens, made.usage.rows[0].completion_tokens) == (200, 100)
    assert made.usage.rows[0].cost == pytest.approx(200e-6 + 200e-6)
    assert made.usage.rows[2].cost is None
    source = made.prompts[made.prompts.ids[0]].source
    assert {key: source[key] for key in ("kind", "provider", "model", "strategy", "request_id")} == {
        "kind": "llm",
        "provider": "m1",
        "model": "m1",
        "strategy": "zero-shot",
        "request_id": "r",
    }
    assert datetime.fromisoformat(source["time"]) > datetime.now(UTC) - timedelta(minutes=5)
    assert PromptSet.load(tmp_path / "p.jsonl") == made.prompts
    assert not made.prompts.check(piqa).errors
    saved = json.loads((tmp_path / "p.usage.json").read_text())
    assert saved["total"]["kept"] == 40
    few = [r for r in endpoint.requests if "Templates that work" in r.body["messages"][1]["content"]]
    assert len(few) == 4
    assert all(json.dumps(piqa.user_prompt) in r.body["messages"][1]["content"] for r in few)
    assert {r.headers["authorization"] for r in endpoint.requests} == {"Bearer sk-needle-5f2a91"}
    assert {r.path for r in endpoint.requests} == {"/v1/chat/completions"}
    assert not {"openai-organization", "openai-project"} & set(endpoint.requests[0].headers)


def test_the_set_does_not_depend_on_who_is_faster(piqa, pool, provider):
    def slow(model):
        def script(number, request):
            time.sleep(0.15 if request.body["model"] == model else 0)
            return Answer(completion(templates(pool[number * 6 : number * 6 + 9])))  # both models send the same

        return script

    sets = []
    for model in ("m1", "m2"):
        with serve(slow(model)) as endpoint:
            providers = [provider(endpoint.url, "m1"), provider(endpoint.url, "m2")]
            sets.append(generate_prompts(piqa, providers, per_strategy=12, **FAST).prompts)
    assert [(p.id, p.source["model"]) for p in sets[0]] == [(p.id, p.source["model"]) for p in sets[1]]


def test_what_was_wrong_is_told(piqa, pool, provider):
    bad = ["Only {goal}, no options. Answer:", pool[0], pool[0] + " ", "{goal} {sol1} {sol2} {x}:", "{goal"]

    def script(number, request):
        return Answer(completion(templates(bad if number == 0 else pool[10:20])))

    with serve(script) as endpoint:
        made = generate_prompts(piqa, [provider(endpoint.url)], per_strategy=5, **FAST)
    row = made.usage.rows[0]
    assert row.kept == 5
    assert dict(row.refused) == {"missing-slot": 2, "duplicate": 1, "unknown-slot": 1, "surplus": 6}
    told = endpoint.requests[1].body["messages"][1]["content"]
    assert "4 of your last templates could not be used" in told
    assert "missing-slot, slot {sol1} is not used" in told
    assert "Write 4 templates" in told
    assert json.dumps(pool[0])[:100] in told


@pytest.mark.parametrize("value", ["1", "date", "ms"])
def test_429_waits_as_long_as_it_is_told(piqa, pool, provider, value):
    headers = {"retry-after": value}
    if value == "date":
        headers = {"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)}
    if value == "ms":
        headers = {"retry-after-ms": "600"}
    with serve(first_then(Answer("{}", 429, headers), pool)) as endpoint:
        made = generate_prompts(piqa, [provider(endpoint.url)], per_strategy=10, **FAST)
    waited = endpoint.requests[1].time - endpoint.requests[0].time
    assert len(made.prompts) == 10
    assert waited >= (0.6 if value == "ms" else 0.9)
    assert made.usage.rows[0].requests == 1


@pytest.mark.parametrize(
    "first",
    [
        Answer("server is sad", 500, content_type="text/plain"),
        Answer("<html>bad gateway</html>", 502, content_type="text/html"),
        Answer(completion("x"), cut_at=0),
        Answer(completion("x"), hang=2.0),
    ],
    ids=["500", "502", "cut before the body", "hang"],
)
def test_what_passes_is_tried_again(piqa, pool, provider, first):
    with serve(first_then(first, pool)) as endpoint:
        made = generate_prompts(piqa, [provider(endpoint.url, timeout=0.7)], per_strategy=10, **FAST)
    assert len(made.prompts) == 10
    assert len(endpoint.requests) == 2


def test_what_does_not_pass_ends_the_provider_alone(piqa, pool, provider):
    def script(number, request):
        if request.body["model"] == "m1":
            return Answer('{"error": {"message": "down"}}', 503)
        return dealing(pool)(number, request)

    with serve(script) as endpoint:
        made = generate_prompts(
            piqa, [provider(endpoint.url, "m1"), provider(endpoint.url, "m2")], per_strategy=10, **FAST
        )
    assert len(endpoint.of("m1")) == 6
    assert made.usage.rows[0].ended == "HTTP 503: down, 6 times"
    assert (made.usage.rows[0].kept, made.usage.rows[1].kept) == (0, 10)


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (401, "Incorrect API key provided: sk-needle-5f2a91", "HTTP 401: Incorrect API key provided: [key]; check the"),
        (404, "no such model", "HTTP 404: no such model; check model and base_url"),
        (429, "insufficient_quota: pay first", "HTTP 429: insufficient_quota: pay first"),
        (400, "messages: wrong", "HTTP 400: messages: wrong"),
    ],
)
def test_a_provider_that_refuses_ends_and_the_others_go_on(piqa, pool, provider, tmp_path, status, message, said):
    def script(number, request):
        if request.body["model"] == "m1":
            return Answer(json.dumps({"error": {"message": message}}), status)
        return dealing(pool)(number, request)

    lines: list[str] = []
    with serve(script) as endpoint:
        providers = [provider(endpoint.url, "m1"), provider(endpoint.url, "m2")]
        made = generate_prompts(piqa, providers, per_strategy=10, output=tmp_path / "p.jsonl", say=lines.append, **FAST)
    assert len(endpoint.of("m1")) == 1
    assert made.usage.rows[0].ended.startswith(said)
    assert made.usage.rows[1].kept == 10
    assert sum("ended" in line for line in lines) == 1
    written = "".join(path.read_text() for path in tmp_path.iterdir()) + "".join(lines)
    assert "needle" not in written


def test_waiting_for_an_hour_is_left_to_the_user(piqa, pool, provider):
    with serve(lambda n, r: Answer("{}", 429, {"retry-after": "3600"})) as endpoint, pytest.raises(RunError) as bad:
        generate_prompts(piqa, [provider(endpoint.url)], **FAST)
    assert "it asks to wait 3600 s: run again later" in str(bad.value)
    assert len(endpoint.requests) == 1


def test_a_newer_name_for_the_limit(piqa, pool, provider):
    why = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with serve(first_then(Answer(json.dumps({"error": {"message": why}}), 400), pool)) as endpoint:
        generate_prompts(piqa, [provider(endpoint.url, max_tokens=900)], per_strategy=10, **FAST)
    assert [("max_tokens" in r.body, r.body.get("max_completion_tokens")) for r in endpoint.requests] == [
        (True, None),
        (False, 900),
    ]


@pytest.mark.parametrize("cut", ["connection", "time", "stream"])
def test_what_a_cut_reply_had_brought_is_kept(piqa, pool, provider, cut):
    whole = completion(templates(pool[:10]))
    at = len(whole) * 6 // 10
    first = {
        "connection": Answer(whole, cut_at=at),
        "time": Answer(whole, hang=3.0, hang_at=at),
        "stream": Answer(stream(templates(pool[:10])), content_type="text/event-stream", cut_at=4000),
    }[cut]

    def script(number, request):
        return first if number == 0 else Answer(completion(templates(pool[20:40])))

    with serve(script) as endpoint:
        made = generate_prompts(
            piqa, [provider(endpoint.url, timeout=1.0, stream=cut == "stream")], per_strategy=10, **FAST
        )
    row = made.usage.rows[0]
    assert len(made.prompts) == 10
    assert len(endpoint.requests) == 2
    kept = [p.text for p in made.prompts]
    came = [text for text in kept if text in pool[:10]]
    assert 3 <= len(came) < 10
    assert kept[: len(came)] == pool[: len(came)]
    assert row.estimated  # the cut reply could not say its tokens
    assert row.prompt_tokens > 100


def test_a_stream(piqa, pool, provider):
    with serve(lambda n, r: Answer(stream(templates(pool[:10])), content_type="text/event-stream")) as endpoint:
        made = generate_prompts(piqa, [provider(endpoint.url, stream=True)], per_strategy=10, **FAST)
    assert [p.text for p in made.prompts] == pool[:10]
    assert endpoint.requests[0].body["stream_options"] == {"include_usage": True}
    assert (made.usage.rows[0].prompt_tokens, made.usage.rows[0].completion_tokens) == (100, 50)
    assert not made.usage.rows[0].estimated


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer("<html>login here</html>", content_type="text/html"), "expected a chat completion, found '<html>login"),
        (Answer(b"\xff\xfe\x00rubbish"), "expected a chat completion"),
        (Answer(""), "an empty reply"),
        (Answer("[]"), "expected a chat completion, found []"),
        (Answer('{"error": {"message": "overloaded"}}'), "the endpoint says: overloaded"),
        (Answer(completion("I cannot help with that.")), "no templates could be found in the reply"),
        (Answer(completion("", finish="length")), "the model spent all its tokens before it wrote anything"),
        (Answer(completion("word " * 210_000)), "no templates could be found in the reply"),
    ],
    ids=["html", "bytes", "empty", "list", "error", "prose", "no tokens left", "a megabyte"],
)
def test_nothing_usable(piqa, provider, tmp_path, answer, why):
    with serve(lambda n, r: answer) as endpoint, pytest.raises(RunError) as bad:
        generate_prompts(piqa, [provider(endpoint.url)], output=tmp_path / "p.jsonl", **FAST)
    assert str(bad.value).startswith("nothing usable: 0 templates were received")
    assert why in str(bad.value)
    assert len(endpoint.requests) == 2  # it was told, and asked once more
    assert not (tmp_path / "p.jsonl").exists()
    assert len((tmp_path / "p.journal.jsonl").read_text().splitlines()) == 3


def test_megabytes_are_cut(piqa, pool, provider):
    long = completion(templates([*pool[:10], "y" * 5_000_000]))
    with serve(first_then(Answer(long), pool[20:])) as endpoint:
        made = generate_prompts(piqa, [provider(endpoint.url)], per_strategy=12, **FAST)
    assert [p.text for p in made.prompts][:10] == pool[:10]


def test_a_model_with_nothing_new_is_left(piqa, pool, provider):
    with serve(lambda n, r: Answer(completion(templates(pool[:4])))) as endpoint:
        made = generate_prompts(piqa, [provider(endpoint.url)], per_strategy=20, **FAST)
    assert len(made.prompts) == 4
    assert len(endpoint.requests) == 3
    assert made.usage.rows[0].ended == "it brings nothing new"
    assert made.usage.rows[0].refused == {"duplicate": 8}


def test_a_total_is_shared_by_those_who_deliver(piqa, pool, provider):
    def script(number, request):
        return Answer("{}", 401) if request.body["model"] == "m1" else dealing(pool, 8)(number, request)

    with serve(script) as endpoint:
        providers = [provider(endpoint.url, f"m{i}") for i in (1, 2, 3)]
        made = generate_prompts(piqa, providers, total=21, **FAST)
    assert len(made.prompts) == 21
    assert [row.kept for row in made.usage.rows] == [0, 11, 11]


def test_avoided_and_seed_prompts_are_not_generated_again(piqa, pool, provider):
    seeds = PromptSet.from_texts(pool[:6])
    avoid = PromptSet.from_texts(pool[6:9])
    with serve(lambda n, r: Answer(completion(templates(pool[:12])))) as endpoint:
        made = generate_prompts(
            piqa, [provider(endpoint.url)], per_strategy=3, seed_prompts=seeds, avoid=avoid, strategies=["few-shot"]
        )
    assert [p.text for p in made.prompts] == pool[9:12]
    shown = [json.dumps(t) in endpoint.requests[0].body["messages"][1]["content"] for t in pool[:6]]
    assert sum(shown) == 5


def test_limits_of_a_provider(piqa, pool, provider):
    def script(number, request):
        time.sleep(0.05)
        return dealing(pool, 5)(number, request)

    with serve(script) as endpoint:
        one = provider(endpoint.url, "m1", requests_per_minute=300, concurrency=1)
        generate_prompts(piqa, [one], per_strategy=15, strategies=["zero-shot", "few-shot"])
    times = [r.time for r in endpoint.requests]
    assert endpoint.most_open == 1
    assert times[-1] - times[1] > 0.2 * (len(times) - 2) - 0.1


def test_the_settings_of_a_request(piqa, pool, provider):
    with serve(dealing(pool)) as endpoint:
        one = provider(
            endpoint.url, temperature=0.7, json_mode=True, extra_body={"reasoning_effort": "low"}, max_tokens=1234
        )
        generate_prompts(piqa, [one], per_strategy=10, language="German", **FAST)
    body = endpoint.requests[0].body
    assert (body["temperature"], body["reasoning_effort"], body["max_tokens"]) == (0.7, "low", 1234)
    assert body["response_format"] == {"type": "json_object"}
    assert "Write the templates in German" in body["messages"][1]["content"]


def test_nobody_listens(piqa, provider):
    with pytest.raises(RunError, match=r"no connection to http://127.0.0.1:9/v1 .*, 6 times"):
        generate_prompts(piqa, [provider("http://127.0.0.1:9/v1")], retry_wait=0.001, strategies=["zero-shot"])


def test_inside_a_running_loop(piqa, pool, provider):
    import asyncio

    async def notebook():
        return generate_prompts(piqa, [provider(endpoint.url)], per_strategy=10, **FAST)

    with serve(dealing(pool)) as endpoint:
        assert len(asyncio.run(notebook()).prompts) == 10


def test_the_grammar_needs_no_endpoint(piqa, tmp_path):
    made = generate_prompts(piqa, "grammar", total=30, output=tmp_path / "g.jsonl", seed=3)
    assert len(made.prompts) == 30
    assert {p.source["kind"] for p in made.prompts} == {"grammar"}
    assert generate_prompts(piqa, "grammar", total=30, output=tmp_path / "g.jsonl", seed=3).prompts == made.prompts
    with pytest.raises(OutputError, match="holds other work"):
        generate_prompts(piqa, "grammar", total=30, output=tmp_path / "g.jsonl", seed=4)
    assert not made.prompts.check(piqa).errors
