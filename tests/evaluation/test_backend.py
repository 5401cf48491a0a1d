"""What every backend shares: how it is opened, how it reads, and how near the model is to the call."""

from __future__ import annotations

import subprocess
import sys
import traceback

import numpy as np
import pytest
import torch
from evaluation.sweep_tasks import make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft import PromptSet, Task
from paft.evaluation import Pair, sweep
from paft.evaluation.answers.candidates import Candidates
from paft.evaluation.answers.reader import AnswerReader
from paft.tasks.base import Example

PROMPTS = PromptSet.from_texts(["{text} {one} {two}", "now {text}: {one}, {two}:"])
LABELS = Task("labels", "label", {"text": ""}, answers=("new york", "new", "rome"), read=lambda split: [])
PAIR = Pair(next(iter(PROMPTS)), Example("test:0", {"text": "a"}, "rome", gold=2))


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_few_frames_from_a_sweep_to_the_model(tiny_model_dir, scoring):
    folder = tiny_model_dir("llama")
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    seen: list[list[str]] = []

    def look(*_):
        names = [frame.filename for frame in traceback.extract_stack()]
        seen.append([name for name in names if "/paft/" in name])

    with model.register_forward_pre_hook(look):
        sweep((model, AutoTokenizer.from_pretrained(folder)), make_task("label", 3), PROMPTS, scoring=scoring)
    asked = [stack for stack in seen if not any("shortcuts" in name for name in stack)]
    assert asked
    assert min(map(len, asked)) < 10
    assert max(map(len, asked)) < 10 + 3  # what rows share is run before them, at most some levels deep


def test_reading_answers_needs_no_torch():
    code = (
        "import sys, paft.evaluation.answers.reader, paft.evaluation.answers.candidates; print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("normalize", "best"), [("none", 2), ("tokens", 0), ("bytes", 0)]
)  # -6 of 2 tokens and 8 bytes; -5 of 1 and 3; -4 of 1 and 4
def test_the_likeliest_answer(normalize, best):
    reader = AnswerReader(Candidates(LABELS, "likelihood"), normalize)
    cell = reader.likeliest(PAIR, np.array([-6.0, -5.0, -4.0], dtype=np.float32), [2, 1, 1], 7)
    assert (cell.prediction, cell.correct, cell.prompt_tokens) == (best, best == 2, 7)
    assert cell.loglik == (-6.0, -5.0, -4.0)


def test_a_written_answer_is_cut_where_nothing_can_change_it():
    reader = AnswerReader(Candidates(LABELS, "generate"))
    assert reader.cut(PAIR, "new\nyork\nand more\n") == "new\nyork\n"
    assert reader.cut(PAIR, "rome\nnew\n") == "rome\n"
    cell = reader.written(PAIR, "new\nyork\n", 7, 4)
    assert (cell.prediction, cell.correct, cell.generated_tokens) == (0, False, 4)


def test_the_model_is_as_it_was(tiny_model_dir):
    folder = tiny_model_dir("llama")
    model = AutoModelForCausalLM.from_pretrained(folder).train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    sweep((model, AutoTokenizer.from_pretrained(folder)), make_task("label", 2), PROMPTS)
    assert model.training
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
