"""Answers for rows without answers."""

from __future__ import annotations

import json

import pytest
from evaluation.sweep_tasks import make_task

from paft.errors import InputError, TemplateError
from paft.evaluation import predict, sweep
from paft.prompts import Prompt, PromptSet
from paft.tasks import Task


@pytest.fixture
def trec_like(tmp_path):
    """A task of a user's own, and a file of rows without its answer column."""
    rows = [
        {"question": f"where is {w} 🙂 {{x}}?", "kind": k} for w, k in (("here", "LOC"), ("it", "NUM"), ("a", "LOC"))
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"question": r["question"]}) + "\n" for r in rows))
    (tmp_path / "task.yaml").write_text(
        "name: own\ntype: label\nfiles: {test: test.jsonl}\n"
        "columns: {slots: {text: question}, answer: kind}\nlabels: {LOC: location, NUM: number}\n"
    )
    return Task.from_yaml(tmp_path / "task.yaml"), tmp_path / "new.jsonl"


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_same_answers_as_a_sweep(scoring, trec_like, tiny_model_dir):
    task, new = trec_like
    prompts = PromptSet.from_texts(["{text} Answer:", "Question: {text}\n"])
    swept = sweep(tiny_model_dir("llama"), task, prompts, scoring=scoring)
    made = predict(tiny_model_dir("llama"), task, prompts, new, scoring=scoring)
    assert [(p.prompt_id, p.prediction) for p in made] == [
        (p, int(k)) for p, row in zip(prompts.ids, swept.prediction_pn, strict=True) for k in row
    ]
    assert len({(p.prompt_id, p.example_id) for p in made}) == 6
    for p in made:
        assert p.answer == (task.answers[p.prediction] if p.prediction >= 0 else "")
        assert json.loads(json.dumps(p.to_row()))["answer"] == p.answer
        assert len(p.loglik) == (2 if scoring == "likelihood" else 0)


def test_free_answers_and_trained_model(tiny_model_dir):
    """A model taught one answer gives it, whole, to a row whose answer is not known."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_model_dir("llama")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    task, prompt = make_task("free", 3), Prompt.from_text("{text} Answer:")
    row = task.examples("test")[0]
    text = prompt.render(row.slots) + " forty two</s>"
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(25):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    (made,) = predict((model, tokenizer), task, [prompt], [row])
    assert (made.answer, made.prediction) == ("forty two", -1)


def test_wrong_calls(trec_like, tiny_model_dir, tmp_path):
    task, new = trec_like
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises((InputError, ValueError)):
        predict(tiny_model_dir("llama"), task, [Prompt.from_text("{text}:")], tmp_path / "empty.jsonl")
    with pytest.raises(InputError, match="at least one prompt"):
        predict(tiny_model_dir("llama"), task, [], new)
    with pytest.raises(TemplateError, match="does not fill"):
        predict(tiny_model_dir("llama"), task, [Prompt.from_text("{goal}:")], new)
