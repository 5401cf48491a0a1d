"""The lm-evaluation-harness on the cells of a workload."""

from __future__ import annotations

import logging
from typing import Any

from common import Clock
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from sweep_sides import MAX_LENGTH, Bench

from paft.tasks import Example


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
