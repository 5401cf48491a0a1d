"""Training speed side by side: paft's packed and padded rows against TRL's SFTTrainer, on one CPU thread.

Each side trains for whole epochs over the same tokenised rows in a process of its own, one after the other in
short rounds. Before that each shows the loss and the gradient of an epoch; where those differ no ratio is
printed. Needs ``pip install 'paft[bench]'``. Run: ``OMP_NUM_THREADS=1 python benchmarks/train_speed.py``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from common import RESULTS, Side, machine, matmul_peak, shown, spread, table, take_turns, write_results
from train_sides import OURS, PEERS, STEP, Job, build_model, encode, load_rows, measure

NARROW = {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 4, "num_key_value_heads": 4}
SHAPES = {
    "toy": NARROW | {"num_hidden_layers": 6, "vocab_size": 32000},
    "head-light": NARROW | {"num_hidden_layers": 12, "vocab_size": 4096},
    "smoke": NARROW | {"num_hidden_layers": 1, "vocab_size": 4096},  # whether the script runs
}
TOLERANCE = {"float32": (1e-5, 1e-4), "bfloat16": (2e-2, 5e-2)}  # of the loss and of the gradient's norm
NAMES = {
    "trl": "TRL as it ships, grouped by length",
    "trl-sorted": "TRL, head as on CUDA, grouped by length",
    "trl-padding-free": "TRL, head as on CUDA, padding-free",
    "trl-packed": "TRL, head as on CUDA, packed",
    "paft-padded": "paft, padded rows",
    "paft": "paft, packed rows",
}


def compare(job: Job, names: Sequence[str]) -> dict[str, Any]:
    """Parity and times of the sides for one job."""
    peak = matmul_peak(job.dtype)
    sides = [Side(name, measure, job) for name in names]
    shown_first = {side.name: side.receive() for side in sides}
    parity = {name: differences(shown_first["paft-padded"], found) for name, found in shown_first.items()}
    times = {name: found[1:] for name, found in take_turns(sides, job.rounds + 1).items()}
    floor = floor_flops(job)
    cpu = {name: [seconds[1] for seconds in found] for name, found in times.items()}
    found: dict[str, Any] = {"job": vars(job) | {"step": STEP}, "peak_gflops": peak, "floor_gflop": floor / 1e9}
    found["sides"] = {name: side_figures(job, name, times[name], parity[name], floor / 1e9 / peak) for name in times}
    for name in times:
        if name != "paft" and found["sides"][name]["same"] and found["sides"]["paft"]["same"]:
            ratios = [theirs / ours for theirs, ours in zip(cpu[name], cpu["paft"], strict=True)]
            found["sides"][name]["ratio"] = spread(ratios)
    return found


def side_figures(
    job: Job, name: str, times: Sequence[tuple[float, float]], parity: Mapping[str, float], floor_seconds: float
) -> dict[str, Any]:
    limits = TOLERANCE[job.dtype]
    cpu = spread(seconds[1] for seconds in times)
    return {
        "parity": dict(parity),
        "same": parity["loss"] <= limits[0] and parity["gradient"] <= limits[1],
        "wall_seconds": spread(seconds[0] for seconds in times),
        "cpu_seconds": cpu,
        "examples_per_second": job.examples / cpu["median"],
        "share_of_peak": floor_seconds / cpu["median"],
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Relative differences of the loss, and of the gradient by norms."""
    if one["answer_tokens"] != other["answer_tokens"] or one["gradients"].keys() != other["gradients"].keys():
        return {"loss": float("inf"), "gradient": float("inf")}
    pairs = [(one["gradients"][name], other["gradients"][name]) for name in one["gradients"]]
    apart = np.sqrt(sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in pairs))
    size = np.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a, _ in pairs))
    return {"loss": abs(one["loss"] - other["loss"]) / abs(one["loss"]), "gradient": float(apart / size)}


def floor_flops(job: Job) -> float:
    """Operations that an epoch cannot do without: products on real tokens, the head where there is a label.

    The backward pass is as much as the forward pass with an adapter (its own products left out), twice as much
    where all weights are trained.
    """
    from paft.models import load_tokenizer

    encodings = encode(*load_rows(job.examples), load_tokenizer("embedded"))
    model = build_model(job)
    layers = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name)
    head = job.sizes["vocab_size"] * job.sizes["hidden_size"]
    forward = 0.0
    for e in encodings:
        tokens = len(e.input_ids)
        attention = 2 * tokens**2 * job.sizes["hidden_size"] * job.sizes["num_hidden_layers"]
        forward += 2 * layers * tokens + attention + 2 * head * (tokens - e.answer_start)
    return forward * (2 if job.adapter else 3)


def describe(results: Mapping[str, Any]) -> str:
    """The Markdown page."""
    m = results["machine"]
    parts = [
        "# Training speed\n",
        f"{m['cpu']}, {m['cores']} cores ({m['instructions']}), {m['threads']} thread; torch {m['torch']}, "
        f"transformers {m['transformers']}, peft {m['peft']}, trl {m['trl']}. {results['data']}\n",
        "Processor seconds of one epoch: median (lowest-highest) over the rounds. A ratio is a side's seconds over "
        "those of paft's packed rows in the same round. Parity: relative difference of the loss and of the gradient "
        "of an epoch to paft's padded rows. Share of peak: operations that no side can do without, at the speed of "
        "the fastest matrix product, over the seconds taken.\n",
    ]
    for found in results["comparisons"]:
        job = found["job"]
        trained = "LoRA r=8 on query and value" if job["adapter"] else "all weights"
        parts.append(f"## {job['shape']}, {job['dtype']}, {trained}\n")
        parts.append(
            f"{', '.join(f'{k} {v}' for k, v in job['sizes'].items())}; {job['examples']} examples an epoch, "
            f"{job['step']} a step; {found['peak_gflops']:.0f} GFLOP/s at best, {found['floor_gflop']:.0f} GFLOP an "
            "epoch at least.\n"
        )
        parts.append(table(("side", "seconds", "ratio", "share of peak", "loss", "gradient"), lines(found["sides"])))
    return "\n".join(parts)


def lines(sides: Mapping[str, Any]) -> list[list[str]]:
    out = []
    for name, found in sides.items():
        ratio = shown(found["ratio"]) if "ratio" in found else "1" if name == "paft" else "not the same figures"
        row = [NAMES[name], shown(found["cpu_seconds"]), ratio, f"{found['share_of_peak']:.0%}"]
        out.append([*row, f"{found['parity']['loss']:.0e}", f"{found['parity']['gradient']:.0e}"])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["toy", "head-light"], choices=list(SHAPES))
    parser.add_argument("--dtypes", nargs="+", default=list(TOLERANCE), choices=list(TOLERANCE))
    parser.add_argument("--train", nargs="+", default=["lora"], choices=["lora", "full"])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--examples", type=int, default=128, help="rows of an epoch, which is a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of train_speed.json and train_speed.md")
    options = parser.parse_args()
    _, prompts = load_rows(options.examples)
    data = f"PIQA rows under {len(prompts)} templates, K = 4, with one end token each."
    results: dict[str, Any] = {"format_version": 1, "machine": machine(), "data": data, "comparisons": []}
    for train in options.train:
        for shape in options.shapes:
            for dtype in options.dtypes:
                job = Job(shape, SHAPES[shape], dtype, train == "lora", options.examples, options.rounds)
                results["comparisons"].append(compare(job, [*options.peers, *OURS]))
                write_results("train_speed", results, describe(results), options.output)
                print(describe(results | {"comparisons": results["comparisons"][-1:]}), flush=True)


if __name__ == "__main__":
    main()
