"""What the sweep benchmarks share: a loaded workload, paft on it, the old way, and how far answers are apart."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Clock
from numpy.typing import NDArray
from sweep_workloads import Place, Workload
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from paft import SweepResult, sweep
from paft.evaluation import VllmModel
from paft.prompts import PromptSet
from paft.tasks import Example, Task

MAX_LENGTH = 2048
LIMITS = {  # half precision has noise of its own, and its texts part ways soon
    "float32": {"log-likelihoods": 1e-4, "predictions": 0.0, "texts": 0.0},
    "bfloat16": {"log-likelihoods": 0.5, "predictions": 0.02, "texts": 0.2},
}
NEAR = {"float32": 1e-3, "bfloat16": 0.25}  # log-likelihoods this near are not told apart
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


def run_paft(bench: Bench, model: VllmModel | None = None) -> tuple[tuple[float, float], SweepResult]:
    """``((wall, processor) seconds, result)`` of a whole sweep, cells and statistics on disk.

    Args:
        model: the workload's model as vLLM runs it; None runs it in this process.
    """
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(bench.place.device)
        result = sweep(
            model or (bench.model, bench.tokenizer),
            bench.task,
            bench.prompts,
            bench.workload.split,
            scoring=bench.workload.scoring,
            output=Path(folder) / "sweep",
            max_length=MAX_LENGTH,
            max_new_tokens=bench.workload.room,
            dtype="auto" if model is None else bench.place.dtype,
            chat="off",
            progress=False,
        )
        return clock.read(), result


def difference(bench: Bench, result: SweepResult, answers: list[Any], near: float) -> dict[str, float]:
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
