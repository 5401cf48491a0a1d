"""Labels of which one begins another, and rows with fewer options, beside sums worked out by plain transformers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from endpoints.server import serve
from evaluation import sweep_oracle as oracle
from evaluation.model_server import ModelServer
from evaluation.sweep_tasks import make_task
from evaluation.taught import taught
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import DataError, InputError, OutputError
from paft.evaluation import CellStore, Options, ServerModel, Work, open_here, predict, sweep
from paft.experiments import select_prompt
from paft.experiments.model_score import ModelScore
from paft.experiments.records import UNSEEN, Measured, Record, same_cells
from paft.prompts import PromptSet
from paft.report.tables import sweep_lines
from paft.tasks import Example, Task

LABELS = ("person", "person number", "quick")
PROMPTS = PromptSet.from_texts(["{text} is about:", "Read {text}\n"])
CHOICES = PromptSet.from_texts(["{text}\nA. {one}\nB. {two}\nC. {three}\nAnswer:", "{three} {two} {one}? {text}\n"])


@pytest.fixture(scope="module")
def folder(tiny_model_dir):
    return str(tiny_model_dir("llama"))


@pytest.fixture(scope="module")
def pair(folder):
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def labels() -> Task:
    task = make_task("label", 6)
    rows = [replace(e, answer=LABELS[e.gold]) for e in task.examples("test")]
    return replace(task, answers=LABELS, read=lambda split: rows)


@pytest.fixture(scope="module")
def choices() -> Task:
    """Three rows: all options; the last one empty; the middle one empty, and one option the beginning of another."""
    options = [("fox", "dog", "the lazy dog"), ("fox", "dog", ""), ("the fox", " ", "the fox jumps")]
    rows = [
        Example(f"test:{i}", {"text": "quick brown", **dict(zip(("one", "two", "three"), o, strict=True))}, "A", 0, o)
        for i, o in enumerate(options)
    ]
    return Task(
        "few", "choice", dict.fromkeys(("text", "one", "two", "three"), ""), ("A", "B", "C"), read=lambda s: rows
    )


@torch.no_grad()
def summed(pair, prompt: str, answer: str, end: bool) -> tuple[float, int]:
    """The sum of the log-probabilities of an answer's tokens, its end token's too if ``end``; and their number."""
    model, tokenizer = pair
    value, count = oracle.log_likelihood(model, tokenizer, prompt, answer)
    if not end:
        return value, count
    ids = oracle.token_ids(tokenizer, prompt + (answer if prompt.endswith("\n") else " " + answer), False)
    last = model(input_ids=torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
    return value + float(last[tokenizer.eos_token_id]), count + 1


def check(result, pair, task, prompts, candidates, ended, normalize="none") -> None:
    examples = {e.id: e for e in task.examples("test")}
    for prompt, row in zip(prompts, result.cells_pn, strict=True):
        for cell in row:
            example = examples[cell.example_id]
            text = oracle.prompt_string(pair[1], prompt.render(example.slots), False)
            there = task.offered(example)
            wanted = [summed(pair, text, candidates(example)[i], ended(example)) for i in there]
            assert [cell.loglik[i] for i in there] == pytest.approx([v for v, _ in wanted], abs=1e-4)
            assert all(cell.loglik[i] == -np.inf for i in range(len(task.answers)) if i not in there)
            sizes = [
                n if normalize == "tokens" else len(candidates(example)[i].encode())
                for i, (_, n) in zip(there, wanted, strict=True)
            ]
            values = [v / (1 if normalize == "none" else s) for (v, _), s in zip(wanted, sizes, strict=True)]
            assert cell.prediction == there[int(np.argmax(values))]


@pytest.mark.parametrize("normalize", ["none", "tokens", "bytes"])
def test_labels_that_begin_another_are_scored_with_the_end_token(normalize, folder, pair, labels):
    result = sweep(folder, labels, PROMPTS, normalize=normalize)
    check(result, pair, labels, PROMPTS, lambda e: LABELS, lambda e: True, normalize)
    assert result.summary["answer_end"] == "</s>"
    assert any("scored with the token that ends it, </s>" in line for line in sweep_lines(result.summary))


def test_the_longer_label_can_win(folder, pair, labels):
    examples = labels.examples("test")
    lessons = [
        (p.render(e.slots), e.answer if p.text.endswith("\n") else f" {e.answer}") for p in PROMPTS for e in examples
    ]
    model = taught(AutoModelForCausalLM.from_pretrained(folder), pair[1], lessons, 100)
    result = sweep((model, pair[1]), labels, PROMPTS)
    check(result, (model, pair[1]), labels, PROMPTS, lambda e: LABELS, lambda e: True)
    assert result.mean == 1.0
    assert {e.answer for e in examples} == set(LABELS)
    told = predict((model, pair[1]), labels, PROMPTS, examples)
    assert [p.loglik for p in told] == [c.loglik for row in result.cells_pn for c in row]
    assert [p.answer for p in told] == [e.answer for e in examples] * 2


def test_other_labels_keep_their_numbers(folder, pair, prompts):
    task = make_task("label", 3)
    result = sweep(folder, task, prompts)
    check(result, pair, task, prompts, lambda e: task.answers, lambda e: False)
    assert result.summary["answer_end"] is None


def test_selection_asks_likewise(folder, pair, labels, tmp_path):
    examples = labels.examples("test")
    with open_here(Work(pair, labels, PROMPTS, examples, Options())) as backend, CellStore(None, {}) as store:
        scored = ModelScore(backend, store, examples, progress=False)(list(PROMPTS), examples)
    assert (scored.correct_pn == sweep(folder, labels, PROMPTS).correct_pn).all()
    trained = replace(labels, read=lambda split: examples)
    select_prompt(pair, trained, PROMPTS, output=tmp_path, examples=4, progress=False)
    assert json.loads((tmp_path / "job.json").read_text())["answer_end"] == "</s>"


def test_a_folder_scored_without_it_is_refused(folder, labels, prompts, tmp_path):
    for task, set_, fits in ((labels, PROMPTS, False), (make_task("label", 3), prompts, True)):
        out = tmp_path / task.answers[0]
        sweep(folder, task, set_, output=out)
        record = json.loads((out / "sweep.json").read_text())
        del record["answer_end"]  # as older versions wrote it
        (out / "sweep.json").write_text(json.dumps(record))
        if fits:
            sweep(folder, task, set_, output=out)
        else:
            with pytest.raises(OutputError, match=r"its answer_end is None, not '</s>'"):
                sweep(folder, task, set_, output=out)


def test_records_scored_otherwise_are_not_compared(folder, labels):
    new = Measured.of(sweep(folder, labels, PROMPTS))
    assert Measured.from_json(new.to_json()).answer_end == new.answer_end == "</s>"
    old = replace(new, answer_end=None)
    assert "answer_end" not in old.to_json()
    with pytest.raises(DataError, match="were not scored alike"):
        same_cells([Record("t", "m", "base", 0, {UNSEEN: old}), Record("t", "m", "paft", 0, {UNSEEN: new})])


@pytest.mark.parametrize(
    ("scoring", "normalize"), [("likelihood", "none"), ("continuation", "none"), ("continuation", "tokens")]
)
def test_an_empty_option_is_no_candidate(scoring, normalize, folder, pair, choices):
    result = sweep(folder, choices, CHOICES, scoring=scoring, normalize=normalize)
    by_text = scoring == "continuation"
    check(
        result, pair, choices, CHOICES, lambda e: e.options if by_text else "ABC",
        lambda e: by_text and e.id == "test:2", normalize,
    )  # fmt: skip
    assert result.summary["answer_end"] == ("</s>" if by_text else None)
    rows = [p.to_row()["loglik"] for p in predict(folder, choices, CHOICES, choices.examples("test"), scoring=scoring)]
    assert [row.index(None) if None in row else -1 for row in rows] == [-1, 2, 1] * 2
    json.dumps(rows, allow_nan=False)


def test_a_server_scores_no_end_token(pair, labels, choices, folder, tmp_path):
    with serve(ModelServer(*pair)) as server:
        served = ServerModel("m1", server.url, retry_wait=0.01)
        with pytest.raises(InputError, match=r"'person' begins the answer 'person number'; .*\nuse --scoring generate"):
            sweep(served, labels, PROMPTS, scoring="likelihood")
        result = sweep(served, labels, PROMPTS, output=tmp_path / "auto", max_new_tokens=4)
        assert (result.summary["scoring"], result.summary["logprobs"]) == ("generate", None)
        with pytest.raises(InputError, match=r"'the fox' begins the answer 'the fox jumps'"):
            sweep(served, choices, CHOICES, scoring="continuation")
        fine = Task("few", "choice", choices.slots, choices.answers, read=lambda s: choices.examples("test")[:2])
        for scoring in ("likelihood", "continuation"):
            there, here = (sweep(m, fine, CHOICES, scoring=scoring) for m in (served, folder))
            assert (there.prediction_pn == here.prediction_pn).all()
            assert np.allclose(there.loglik_pnk, here.loglik_pnk, atol=1e-4)
        # the text of one begins another's, but not its tokens
        near = replace(labels, answers=("number", "numb", "quick"))
        assert sweep(served, near, PROMPTS, scoring="likelihood").summary["logprobs"] == "echo"


def test_lists_of_first_tokens_pass_over_options_that_are_not_there(folder, pair, choices):
    last = choices.examples("test")[2]
    prompts = PromptSet([CHOICES[CHOICES.ids[0]]])
    prompt = prompts[prompts.ids[0]].render(last.slots)
    model = taught(AutoModelForCausalLM.from_pretrained(folder), pair[1], [(prompt, x) for x in (" A", " B", " B")])
    with serve(ModelServer(model, pair[1], echo=False)) as server:
        served = ServerModel("m1", server.url, retry_wait=0.01)
        task = replace(choices, read=lambda split: [last])
        cell = sweep(served, task, prompts, scoring="likelihood").cells_pn[0][0]
        whole = replace(task, read=lambda split: [replace(last, options=("fox", "dog", "the fox"))])
        assert sweep(served, whole, prompts, scoring="likelihood").cells_pn[0][0].prediction == 1
    assert (cell.prediction, cell.correct, cell.loglik[1]) == (0, True, -np.inf)
    assert cell.loglik[0] == pytest.approx(summed((model, pair[1]), prompt, "A", False)[0], abs=1e-4)
