"""Sweeps of a real tiny model behind HTTP: the same answers and log-likelihoods as in process."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest
import torch
from endpoints.server import serve
from evaluation.model_server import CHAT, ModelServer
from evaluation.sweep_tasks import make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import InputError, RunError
from paft.evaluation import ServerModel, SweepResult, sweep
from paft.prompts import PromptSet
from paft.prompts.generation import Price

LETTERS = PromptSet.from_texts(["{text} A. {one} B. {two} Answer:", "A: {one}\nB: {two}\n{text}\n"])


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    folder = tiny_model_dir("llama")
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def close(one: SweepResult, two: SweepResult) -> None:
    assert (one.prediction_pn == two.prediction_pn).all()
    assert np.allclose(one.loglik_pnk, two.loglik_pnk, atol=1e-4)
    for name in ("mean", "std", "flip_rate", "macro_f1", "per_prompt", "mean_interval"):
        assert one.summary[name] == two.summary[name]


def both(one: SweepResult, two: SweepResult):
    """The cells of two sweeps, side by side."""
    return list(zip(chain(*one.cells_pn), chain(*two.cells_pn), strict=True))


@pytest.mark.parametrize(
    ("kind", "normalize"), [("choice", "none"), ("label", "none"), ("label", "tokens"), ("label", "bytes")]
)
def test_likelihood_by_echo(kind, normalize, tiny, prompts, tmp_path):
    task = make_task(kind, 4)
    with serve(ModelServer(*tiny)) as server:
        told = []
        there = sweep(
            ServerModel("m1", server.url), task, prompts, output=tmp_path, normalize=normalize, say=told.append
        )
        paths = {request.path for request in server.requests}
    here = sweep(tiny, task, prompts, normalize=normalize)
    close(there, here)
    assert paths == {"/v1/completions"}
    assert told == [f"asking m1 at {server.url}/completions, scored by the log-likelihood of every answer"]
    assert all(a.prompt_tokens == b.prompt_tokens for a, b in both(there, here))
    assert len(server.requests) == 1 + len(prompts) * 4 * len(task.answers)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {k: summary[k] for k in ("model", "adapter", "dtype", "backend", "base_url", "api", "logprobs")} == {
        "model": "m1",
        "adapter": None,
        "dtype": None,
        "backend": "server",
        "base_url": server.url,
        "api": "completions",
        "logprobs": "echo",
    }
    assert summary["requests"] == len(server.requests)
    assert summary["cost"] is None
    assert SweepResult.load(tmp_path).loglik_pnk.tolist() == there.loglik_pnk.tolist()


def test_continuation_by_echo(tiny, prompts):
    task = make_task("choice", 4)
    with serve(ModelServer(*tiny)) as server:
        there = sweep(ServerModel("m1", server.url), task, prompts, scoring="continuation")
    close(there, sweep(tiny, task, prompts, scoring="continuation"))


def test_pieces_without_their_space(tiny, prompts):
    with serve(ModelServer(*tiny, bare_pieces=True)) as server:
        there = sweep(ServerModel("m1", server.url), make_task("choice", 4), prompts)
    close(there, sweep(tiny, make_task("choice", 4), prompts))


@pytest.mark.parametrize("kind", ["choice", "label", "free"])
def test_generation(kind, tiny, prompts):
    task = make_task(kind, 4)
    with serve(ModelServer(*tiny, echo=False, most_listed=None)) as server:
        told = []
        there = sweep(ServerModel("m1", server.url), task, prompts, max_new_tokens=5, say=told.append)
    here = sweep(tiny, task, prompts, scoring="generate", max_new_tokens=5)
    assert there.summary["scoring"] == "generate"
    assert told[0].endswith("scored by what the model writes")
    assert there.summary["per_prompt"] == here.summary["per_prompt"]
    for one, two in both(there, here):
        assert (one.prediction, one.correct, one.prompt_tokens) == (two.prediction, two.correct, two.prompt_tokens)
        assert two.text.startswith(one.text)  # in process a line ends with a token, which may hold more than it
        assert one.text.strip() == two.text.strip()
    assert any(any(row) for row in there.text_pn)
    assert all(request.body["temperature"] == 0 for request in server.requests if "logprobs" not in request.body)
    prompt, completion = there.summary["tokens"]["prompt"], there.summary["tokens"]["completion"]
    assert prompt > sum(c.prompt_tokens for row in there.cells_pn for c in row) > 0
    assert completion >= there.summary["tokens_generated"] > 0
    assert there.summary["tokens"]["estimated"] is False


def with_template(tiny):
    model, tokenizer = tiny
    copy = type(tokenizer).from_pretrained(tokenizer.name_or_path)
    copy.chat_template = CHAT
    return model, copy


def test_generation_by_chat(tiny, prompts):
    task = make_task("label", 4)
    with serve(ModelServer(*tiny)) as server:
        there = sweep(ServerModel("m1", server.url), task, prompts, chat="on", scoring="generate", max_new_tokens=5)
    here = sweep(with_template(tiny), task, prompts, chat="on", scoring="generate", max_new_tokens=5)
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}
    assert [[t.strip() for t in row] for row in there.text_pn] == [[t.strip() for t in row] for row in here.text_pn]
    assert (there.prediction_pn == here.prediction_pn).all()


def leaning(tiny, by: float):
    """The model with a bias towards the letters, so that they come among its likeliest tokens."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny[1].name_or_path), tiny[1]
    head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        for word in ("A", "B", " A", " B"):
            head.bias[tokenizer(word, add_special_tokens=False)["input_ids"]] += by
    model.lm_head = head
    return model, tokenizer


@pytest.mark.parametrize(("content_style", "most_listed"), [(False, 20), (True, 5)])
def test_likelihood_by_listed_tokens(content_style, most_listed, tiny):
    task, model = make_task("choice", 6), leaning(tiny, 12)
    script = ModelServer(*model, echo=False, most_listed=most_listed, content_style=content_style)
    with serve(script) as server:
        told = []
        there = sweep(ServerModel("m1", server.url), task, LETTERS, scoring="likelihood", say=told.append)
    close(there, sweep(model, task, LETTERS))
    assert there.summary["logprobs"] == f"top-{most_listed}"
    assert told[0].endswith(f"scored by the {most_listed} likeliest first tokens")


def test_chat_counts_an_answer_with_and_without_its_space(tiny):
    task, model = make_task("choice", 6), leaning(tiny, 12)
    with serve(ModelServer(*model, most_listed=20)) as server:
        there = sweep(ServerModel("m1", server.url, api="chat"), task, LETTERS, scoring="likelihood")
    reader = ModelServer(*with_template(model))
    ids = {word: reader.tokenizer(word, add_special_tokens=False)["input_ids"] for word in ("A", " A", "B", " B")}
    for prompt, row in zip(LETTERS, there.loglik_pnk, strict=True):
        for example, found in zip(task.examples("test"), row, strict=True):
            turns = [{"role": "user", "content": prompt.render(example.slots)}]
            text = reader.tokenizer.apply_chat_template(turns, tokenize=False)
            with torch.no_grad():
                last = reader.log_probs(reader.tokenizer(text)["input_ids"])[-1]
            wanted = [torch.logsumexp(last[ids[letter] + ids[f" {letter}"]], 0) for letter in "AB"]
            assert found.tolist() == pytest.approx([float(w) for w in wanted], abs=1e-4)


def test_an_answer_that_is_not_listed_is_less_likely(tiny):
    task, model = make_task("choice", 20), leaning(tiny, 1.75)
    with serve(ModelServer(*model, echo=False, most_listed=5)) as server:
        there = sweep(ServerModel("m1", server.url), task, LETTERS, scoring="likelihood")
    here = sweep(model, task, LETTERS)
    listed = np.isfinite(there.loglik_pnk)
    assert 0 < (~listed).sum() < 40
    assert np.allclose(there.loglik_pnk[listed], here.loglik_pnk[listed], atol=1e-4)
    assert (there.loglik_pnk[~listed] == -np.inf).all()
    assert (there.prediction_pn == here.prediction_pn).all()
    assert there.summary["mean"] == here.summary["mean"]


def test_what_a_list_of_first_tokens_cannot_tell_is_refused(tiny, prompts):
    with serve(ModelServer(*tiny, echo=False)) as server:
        model = ServerModel("m1", server.url)
        with pytest.raises(InputError, match=r"the answer 'location' takes \d+ tokens, .*\nuse --scoring generate"):
            sweep(model, make_task("label", 4), prompts, scoring="likelihood")
        with pytest.raises(RunError, match=r"prompt .*, example test:\d: none of A, B is among the \d+ likeliest"):
            sweep(model, make_task("choice", 4), prompts, scoring="likelihood")
        with pytest.raises(
            InputError, match="--scoring continuation cannot be had from this server: the reply does not"
        ):
            sweep(model, make_task("choice", 4), prompts, scoring="continuation")
        assert sweep(model, make_task("choice", 4), LETTERS).summary["scoring"] == "generate"
    uncounted, unlisted = ModelServer(*tiny, echo=False, counts=False), ModelServer(*tiny, most_listed=None)
    with serve(uncounted) as server, pytest.raises(InputError, match="the server does not count tokens"):
        sweep(ServerModel("m1", server.url), make_task("choice", 4), prompts, scoring="likelihood")
    with serve(unlisted) as server, pytest.raises(InputError, match="this server: the reply lists no tokens"):
        sweep(ServerModel("m1", server.url, api="chat"), make_task("choice", 4), prompts, scoring="likelihood")


def test_echo_without_counts_asks_for_no_token(tiny, prompts):
    with serve(ModelServer(*tiny, counts=False)) as server:
        there = sweep(ServerModel("m1", server.url), make_task("choice", 4), prompts)
    close(there, sweep(tiny, make_task("choice", 4), prompts))
    assert there.summary["logprobs"] == "echo-0"
    assert there.summary["tokens"]["estimated"] is True


def test_cost_and_budget(tiny, prompts):
    task = make_task("choice", 4)
    with serve(ModelServer(*tiny)) as server:
        model = ServerModel("m1", server.url, price=Price(2.0, 10.0))
        result = sweep(model, task, prompts)
        tokens = result.summary["tokens"]
        assert result.summary["cost"] == pytest.approx((2 * tokens["prompt"] + 10 * tokens["completion"]) / 1e6)
        half = ServerModel("m1", server.url, price=Price(2.0, 10.0), max_cost=result.summary["cost"] / 2)
        with pytest.raises(RunError, match=r"budget reached: \$0.0\d+ of \$0.0\d+ spent; give a larger --max-cost"):
            sweep(half, task, prompts)
    with pytest.raises(InputError, match="--max-cost needs --price"):
        ServerModel("m1", server.url, max_cost=1.0)
