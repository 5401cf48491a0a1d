"""The programs that the sweep benchmark compares, in one process: paft, the lm-evaluation-harness, and the old way."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Clock
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from numpy.typing import NDArray
from sweep_workloads import Place, Workload
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from paft import SweepResult, sweep
from paft.prompts import PromptSet
from paft.tasks import Example, Task

MAX_LENGTH = 2048
ALONE = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, asked = sys.argv[1], json.load(open(sys.argv[2]))
torch.set_num_threads(1)
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
with torch.inference_mode():
    for text in asked:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        model.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0)
"""


@dataclass(frozen=True)
class Bench:
    """A workload, loaded."""

    workload: Workload
    task: Task
    prompts: PromptSet
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    place: Place

    @property
    def examples(self) -> list[Example]:
        return list(self.task.examples(self.workload.split))

    def candidates(self, example: Example) -> tuple[str, ...]:
        return example.options if self.workload.scoring == "continuation" else self.task.answers


def run_paft(bench: Bench) -> tuple[tuple[float, float], SweepResult]:
    """``((wall, processor) seconds, result)`` of a whole sweep, cells and statistics on disk."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(bench.place.device)
        result = sweep(
            (bench.model, bench.tokenizer),
            bench.task,
            bench.prompts,
            bench.workload.split,
            scoring=bench.workload.scoring,
            output=Path(folder) / "sweep",
            max_length=MAX_LENGTH,
            max_new_tokens=bench.workload.room,
            chat="off",
            progress=False,
        )
        return clock.read(), result


class Harness:
    """The lm-evaluation-harness's own model class on requests that are rendered already: no YAML, no Jinja, no files.

    Planning (tokenising, sorting, grouping) is part of its calls and is timed.
    """

    def __init__(self, bench: Bench) -> None:
        logging.disable(logging.WARNING)
        self.bench = bench
        self.model = HFLM(
            pretrained=bench.model,
            tokenizer=bench.tokenizer,
            batch_size=1,
            device=bench.place.device,
            max_length=MAX_LENGTH,
        )
        self.requests = [self._request(p, e) for p in bench.prompts for e in bench.examples]

    def _request(self, prompt: Any, example: Example) -> list[Instance]:
        text = str(prompt.render(example.slots)).rstrip(" \t")
        if self.bench.workload.scoring == "generate":
            settings = {"until": ["\n"], "do_sample": False, "max_gen_toks": self.bench.workload.room}
            return [Instance("generate_until", {}, (text, settings), 0)]
        space = "" if text.endswith("\n") else " "
        pairs = [(text, space + answer) for answer in self.bench.candidates(example)]
        return [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]

    def run(self, batch_size: int) -> tuple[tuple[float, float], list[Any]]:
        """``((wall, processor) seconds, answers)`` for all cells; a cell's answers stand together."""
        self.model.batch_size_per_gpu = batch_size
        flat = [instance for cell in self.requests for instance in cell]
        clock = Clock(self.bench.place.device)
        if self.bench.workload.scoring == "generate":
            answers: list[Any] = self.model.generate_until(flat, disable_tqdm=True)
        else:
            answers = [value for value, _ in self.model.loglikelihood(flat, disable_tqdm=True)]
        return clock.read(), answers


def difference(bench: Bench, result: SweepResult, answers: list[Any], near: float = 1e-3) -> dict[str, float]:
    """How far both sides' answers are apart.

    Log-likelihoods are compared less the first candidate's, since the harness counts a line break at a prompt's end
    as the answer's; predictions where the best two are not as near as ``near``, which the precision cannot tell
    apart; texts to their first line break.
    """
    cells = [cell for row in result.cells_pn for cell in row]
    if bench.workload.scoring == "generate":
        pairs = zip(cells, answers, strict=True)
        unlike = sum(cell.text.partition("\n")[0].strip() != text.strip() for cell, text in pairs)
        return {"texts": unlike / len(cells)}
    values, worst, unlike = iter(answers), 0.0, 0
    for cell in cells:
        mine: NDArray[np.float64] = np.array(cell.loglik, dtype=np.float64)
        theirs = np.array([next(values) for _ in mine])
        worst = max(worst, float(np.abs((mine - mine[0]) - (theirs - theirs[0])).max()))
        unlike += bool(theirs.max() - theirs[cell.prediction] > near)
    return {"log-likelihoods": worst, "predictions": unlike / len(cells)}


def one_process_a_template(bench: Bench, templates: int) -> float:
    """Seconds for all templates the authors' way, from a few: a process each, one prompt after another."""
    with tempfile.TemporaryDirectory() as folder:
        bench.model.save_pretrained(folder)
        bench.tokenizer.save_pretrained(folder)
        asked = Path(folder) / "asked.json"
        clock = Clock()
        for prompt in list(bench.prompts)[:templates]:
            texts = [str(prompt.render(e.slots)).rstrip(" \t") for e in bench.examples]
            asked.write_text(json.dumps(texts), encoding="utf-8")
            subprocess.run([sys.executable, "-c", ALONE, folder, str(asked)], check=True)
        return clock.read()[0] / templates * len(bench.prompts)
