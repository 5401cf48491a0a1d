"""Whether training takes as long on 400 prompts as on one, in processor seconds of one thread.

Five trainings take turns, an epoch each. Three have prompts that are one text with another mark each, of as many
tokens: one prompt, the same again as a control, and many; all train on the same number of tokens, so what is left is
what many prompts cost. The others have real prompts, whose lengths differ: there the seconds of a token are compared.
Equal processes differ by a few percent for as long as they live, so
everything is started anew a few times: a start gives one ratio, and the figure is their mean with a 95% interval.

Run: ``OMP_NUM_THREADS=1 python benchmarks/prompts_ratio.py``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from common import RESULTS, Side, keep_freed_memory, machine, shown, spread, table, take_turns, write_results
from prompts_sides import Asked, trained
from scipy.stats import t
from train_sides import STEP, Job, K
from train_speed import NARROW, SHAPES

MODEL = NARROW | {"num_hidden_layers": 6, "vocab_size": 4096}
TARGET = 0.03
PAIRS = {
    "alike": ("alike, one", "alike, many"),
    "control": ("alike, one", "alike, one again"),
    "real": ("real, one", "real, many"),
}
Turn = tuple[float, float, int]  # wall seconds, processor seconds, tokens


def compare(job: Job, many: int, starts: int) -> dict[str, Any]:
    """The ratios of every start, and what they come to."""
    asked = {
        "alike, one": Asked(1, True),
        "alike, one again": Asked(1, True),
        "alike, many": Asked(many, True),
        "real, one": Asked(1, False),
        "real, many": Asked(many, False),
    }
    taken: dict[str, list[Turn]] = {name: [] for name in asked}
    ratios: dict[str, list[float]] = {name: [] for name in PAIRS}
    prompts: dict[str, int] = {}
    for _ in range(starts):
        sides = [Side(name, trained, job, which) for name, which in asked.items()]
        prompts = {side.name: side.receive() for side in sides}
        turns = {name: rounds[1:] for name, rounds in take_turns(sides, job.rounds + 1).items()}  # the first warms up
        for side in sides:
            side.end()
            taken[side.name] += turns[side.name]
        for pair, (one, other) in PAIRS.items():
            ratios[pair].append(ratio(turns[one], turns[other]))
    alike = [[tokens for _, _, tokens in taken[name]] for name in asked if name.startswith("alike")]
    return {
        "job": vars(job) | {"step": STEP, "K": K, "starts": starts},
        "sides": {name: figures(rounds) | {"prompts": prompts[name]} for name, rounds in taken.items()},
        "same_tokens": all(tokens == alike[0] for tokens in alike),
        "ratios": {pair: interval(values) | {"of_starts": values} for pair, values in ratios.items()},
    }


def figures(rounds: Sequence[Turn]) -> dict[str, Any]:
    """What a side took over all of its rounds."""
    return {
        "tokens": [tokens for _, _, tokens in rounds],
        "cpu_seconds": spread(cpu for _, cpu, _ in rounds),
        "wall_seconds": spread(wall for wall, _, _ in rounds),
        "microseconds_per_token": spread(cpu / tokens * 1e6 for _, cpu, tokens in rounds),
    }


def ratio(one: Sequence[Turn], other: Sequence[Turn]) -> float:
    """Processor seconds of a token, the other's over the one's: the median over the rounds of a start."""
    return median((b[1] / b[2]) / (a[1] / a[2]) for a, b in zip(one, other, strict=True))


def interval(ratios: Sequence[float]) -> dict[str, float]:
    """Geometric mean over the starts, with the 95% interval of Student's t on their logarithms."""
    logs = [log(r) for r in ratios]
    half = float(t.ppf(0.975, len(logs) - 1)) * stdev(logs) / len(logs) ** 0.5
    return {"mean": exp(mean(logs)), "low": exp(mean(logs) - half), "high": exp(mean(logs) + half)}


def verdict(found: Mapping[str, float]) -> str:
    """What an interval says of the target."""
    low, high = found["low"], found["high"]
    if low >= 1 - TARGET and high <= 1 + TARGET:
        return f"within {TARGET:.0%}"
    if high < 1 - TARGET or low > 1 + TARGET:
        return f"not within {TARGET:.0%}"
    return f"too uncertain to say whether within {TARGET:.0%}"


def describe(results: Mapping[str, Any]) -> str:
    """The Markdown page."""
    m, found = results["machine"], results["comparison"]
    job, rows = found["job"], []
    for name, side in found["sides"].items():
        low, high = min(side["tokens"]), max(side["tokens"])
        tokens = f"{low:,}" if low == high else f"{low:,}-{high:,}"
        cost = shown(side["microseconds_per_token"], 1)
        rows.append((name, str(side["prompts"]), tokens, shown(side["cpu_seconds"]), cost))
    ratios = {
        pair: f"**{r['mean']:.3f}** ({r['low']:.3f} to {r['high']:.3f}), {verdict(r)}"
        for pair, r in found["ratios"].items()
    }
    same = "the same tokens on all sides" if found["same_tokens"] else "NOT the same tokens: these ratios say nothing"
    return "\n".join(
        (
            "# Training time and the number of prompts\n",
            f"{m['cpu']}, {m['threads']} thread; torch {m['torch']}, transformers {m['transformers']}. "
            f"{', '.join(f'{k} {v}' for k, v in job['sizes'].items())}; {job['dtype']}, LoRA r=8 on query and value; "
            f"PIQA rows, {job['examples']} an epoch, {job['step']} a step, K = {job['K']}; {job['starts']} starts of "
            f"{job['rounds']} epochs. Processor seconds of an epoch, plan, rendering and tokenising in them: median "
            "(lowest-highest) over all epochs.\n",
            table(("prompts", "how many", "tokens", "seconds", "microseconds a token"), rows),
            "Ratios of the seconds of a token: mean over the starts (95% interval).\n",
            f"- Many over one, prompts of the same length: {ratios['alike']} ({same}).",
            f"- One over one, the control: {ratios['control']}.",
            f"- Many over one, real prompts: {ratios['real']}.\n",
        )
    )


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--examples", type=int, default=64, help="rows of an epoch, which is a round")
    parser.add_argument("--rounds", type=int, default=8, help="epochs of a start")
    parser.add_argument("--starts", type=int, default=6, help="how often all processes are started anew; 2 or more")
    parser.add_argument("--quick", action="store_true", help="a smaller model: whether the script runs")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of prompts_ratio.json and .md")
    options = parser.parse_args()
    sizes = SHAPES["smoke"] if options.quick else MODEL
    job = Job("small", sizes, "float32", True, options.examples, options.rounds)
    results = {"format_version": 1, "machine": machine(), "comparison": compare(job, options.prompts, options.starts)}
    write_results("prompts_ratio", results, describe(results), options.output)
    print(describe(results))


if __name__ == "__main__":
    main()
