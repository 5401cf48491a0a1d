"""Whether training takes as long on 400 prompts as on one, in processor seconds of one thread.

Two pairs of trainings take turns, an epoch each. In one the prompts are one text with another mark each, of as many
tokens: both sides train on the same number of tokens, so what is left is what many prompts cost. In the other they
are real prompts, whose lengths differ: there the seconds of a token are compared.

Run: ``OMP_NUM_THREADS=1 python benchmarks/prompts_ratio.py``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from common import RESULTS, Side, keep_freed_memory, machine, shown, spread, table, take_turns, write_results
from prompts_sides import Asked, trained
from train_sides import STEP, Job, K
from train_speed import NARROW, SHAPES

MODEL = NARROW | {"num_hidden_layers": 6, "vocab_size": 4096}
TARGET = 0.03


def compare(job: Job, many: int) -> dict[str, Any]:
    """The four sides, epoch by epoch; the first epoch warms up."""
    asked = {
        "alike, one": Asked(1, True),
        "alike, many": Asked(many, True),
        "real, one": Asked(1, False),
        "real, many": Asked(many, False),
    }
    sides = [Side(name, trained, job, which) for name, which in asked.items()]
    prompts = {side.name: side.receive() for side in sides}
    taken = {name: rounds[1:] for name, rounds in take_turns(sides, job.rounds + 1).items()}
    found: dict[str, Any] = {"job": vars(job) | {"step": STEP, "K": K}, "sides": {}}
    for name, rounds in taken.items():
        found["sides"][name] = {
            "prompts": prompts[name],
            "tokens": [tokens for _, _, tokens in rounds],
            "cpu_seconds": spread(cpu for _, cpu, _ in rounds),
            "wall_seconds": spread(wall for wall, _, _ in rounds),
            "microseconds_per_token": spread(cpu / tokens * 1e6 for _, cpu, tokens in rounds),
        }
    found["same_tokens"] = found["sides"]["alike, one"]["tokens"] == found["sides"]["alike, many"]["tokens"]
    found["ratios"] = {pair: ratio(taken[f"{pair}, one"], taken[f"{pair}, many"]) for pair in ("alike", "real")}
    found["within_target"] = {pair: abs(r["median"] - 1) <= TARGET for pair, r in found["ratios"].items()}
    return found


def ratio(one: Sequence[tuple[float, float, int]], many: Sequence[tuple[float, float, int]]) -> dict[str, float]:
    """Seconds of a token on many prompts over those on one, in the same round."""
    pairs = zip(one, many, strict=True)
    return spread((b[1] / b[2]) / (a[1] / a[2]) for a, b in pairs)


def describe(results: Mapping[str, Any]) -> str:
    """The Markdown page."""
    m, found = results["machine"], results["comparison"]
    job, rows = found["job"], []
    for name, side in found["sides"].items():
        low, high = min(side["tokens"]), max(side["tokens"])
        tokens = f"{low:,}" if low == high else f"{low:,}-{high:,}"
        cost = shown(side["microseconds_per_token"], 1)
        rows.append((name.split(",")[0], str(side["prompts"]), tokens, shown(side["cpu_seconds"]), cost))
    verdicts = {pair: "within" if near else "not within" for pair, near in found["within_target"].items()}
    real, alike = (f"**{shown(found['ratios'][pair], 3)}**" for pair in ("real", "alike"))
    same = "the same tokens on both sides" if found["same_tokens"] else "NOT the same tokens: this ratio says nothing"
    return "\n".join(
        (
            "# Training time and the number of prompts\n",
            f"{m['cpu']}, {m['threads']} thread; torch {m['torch']}, transformers {m['transformers']}. "
            f"{', '.join(f'{k} {v}' for k, v in job['sizes'].items())}; {job['dtype']}, LoRA r=8 on query and value; "
            f"PIQA rows, {job['examples']} an epoch, {job['step']} a step, K = {job['K']}. Processor seconds of an "
            "epoch, plan, rendering and tokenising in them: median (lowest-highest) over the rounds.\n",
            table(("prompts", "how many", "tokens", "seconds", "microseconds a token"), rows),
            f"Many over one, prompts of the same length: {alike}, {verdicts['alike']} {TARGET:.0%} ({same}).\n",
            f"Many over one, real prompts, seconds of a token: {real}, {verdicts['real']} {TARGET:.0%}.\n",
        )
    )


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--examples", type=int, default=256, help="rows of an epoch, which is a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a smaller model: whether the script runs")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of prompts_ratio.json and .md")
    options = parser.parse_args()
    sizes = SHAPES["smoke"] if options.quick else MODEL
    job = Job("small", sizes, "float32", True, options.examples, options.rounds)
    results = {"format_version": 1, "machine": machine(), "comparison": compare(job, options.prompts)}
    write_results("prompts_ratio", results, describe(results), options.output)
    print(describe(results))


if __name__ == "__main__":
    main()
