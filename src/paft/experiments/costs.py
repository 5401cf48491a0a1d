"""What the cells of a comparison will take: from those that are done, or from a short trial of the base model."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import islice, product
from statistics import median

from paft.evaluation import Options, Pair, Work, open_here
from paft.experiments.grid import Grid, GridCell
from paft.experiments.methods import wanted
from paft.experiments.records import Record
from paft.models import resolve_model

BACKWARD = 2.0  # a backward pass takes about twice the time of the forward pass it follows
ROUND, ROUNDS = 8, 5  # pairs that are timed together, and how often; the first round warms up
# answers that the selectors ask for by default; halving is taken into account
CALLS = {"zopo": 3_300, "batprompt": 8_000}
EXAMPLES, HALVED = 100, 0.25
SCORING = ("scoring", "normalize", "batch_tokens", "max_length", "max_new_tokens", "chat")


class Costs:
    """Seconds of training an example once, and of one answer, for each task.

    Args:
        grids: what will be run.
        records: cells that are done; what they took is what the rest will take.
    """

    def __init__(self, grids: Sequence[Grid], records: Iterable[Record]) -> None:
        self._train: dict[str, list[float]] = {grid.task.name: [] for grid in grids}
        self._answer: dict[str, list[float]] = {grid.task.name: [] for grid in grids}
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take what a finished cell took."""
        if record.training is not None:
            trained = record.training["examples"] * record.training["epochs"]
            self._train[record.task].append(record.training["seconds"] / max(1, trained))
        for sweep in record.sweeps.values():
            self._answer[record.task].append(sweep.seconds / max(1, sweep.correct_pn.size))

    def knows(self, grid: Grid) -> bool:
        """Whether anything is known of a task."""
        return bool(self._answer[grid.task.name])

    def try_out(self, grid: Grid) -> None:
        """Time some answers of the base model; training is reckoned from them."""
        seconds = _trial(grid)
        self._answer[grid.task.name].append(seconds)

    def seconds(self, jobs: Sequence[tuple[Grid, GridCell]]) -> float | None:
        """How long the jobs take one after another; None where nothing is known of one's task."""
        if not all(self.knows(grid) for grid in {id(g): g for g, _ in jobs}.values()):
            return None
        chosen: set[tuple[str, str, int]] = set()
        total = 0.0
        for grid, cell in jobs:
            answer = median(self._answer[grid.task.name])
            learned = self._train[grid.task.name]
            total += _trained(grid, cell) * (median(learned) if learned else answer * (1 + BACKWARD))
            prompts = sum(map(len, wanted(grid, cell).values()))
            answers: float = prompts * len(grid.task.examples(grid.split, grid.limit))
            if (grid.task.name, cell.method, cell.seed) not in chosen:  # variants share what was chosen
                chosen.add((grid.task.name, cell.method, cell.seed))
                answers += _asked(grid, cell)
            total += answers * answer
        return total


def _trained(grid: Grid, cell: GridCell) -> float:
    """Examples that a cell trains on, each as often as it is met."""
    if cell.method == "base":
        return 0
    axes = {**grid.axes, **cell.variant}
    return axes["limit"] * axes["num_train_epochs"]


def _asked(grid: Grid, cell: GridCell) -> float:
    """Answers that a cell's selection asks for, roughly."""
    if cell.method != "top-accuracy":
        return CALLS.get(cell.method, 0)
    options = grid.select.get(cell.method, {})
    return len(grid.prompts) * options.get("examples", EXAMPLES) * (HALVED if options.get("halving") else 1)


def _trial(grid: Grid) -> float:
    """Seconds that the base model takes for one answer, over a few prompts and examples."""
    source = resolve_model(grid.model)
    given = {name: grid.sweep[name] for name in SCORING if name in grid.sweep}
    given["chat"] = source.chat(given.get("chat", "auto"))
    dtype, device = (grid.sweep.get(name, "auto") for name in ("dtype", "device"))
    examples = grid.task.examples(grid.split, grid.limit)
    trusts = grid.sweep.get("trust_remote_code", False)
    work = Work(grid.model, grid.task, grid.unseen, examples, Options(**given), source, None, dtype, device, trusts)
    spread = product(examples, list(grid.unseen)[:: max(1, len(grid.unseen) // 8)])
    pairs = [Pair(prompt, example) for example, prompt in islice(spread, ROUND * (1 + ROUNDS))]
    seconds = []
    with open_here(work) as backend:
        long = {each.pair.name for each in backend.too_long(pairs)}  # the sweep will refuse or drop it, and say so
        pairs = [pair for pair in pairs if pair.name not in long]
        for start in range(0, len(pairs), ROUND):
            begun = time.perf_counter()
            found = sum(map(len, backend.cells(pairs[start : start + ROUND])))
            seconds.append((time.perf_counter() - begun) / found)
    return median(seconds[1:] or seconds or [0.0])
