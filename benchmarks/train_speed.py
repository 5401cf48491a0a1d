"""Training speed side by side: paft's packed and padded rows against TRL's SFTTrainer, on one CPU thread or one GPU.

Each side trains for whole epochs over the same tokenised rows in a process of its own, one after the other in
short rounds; on a GPU, where only one model may fit, a side's process is started anew for each round. Before that
each shows the loss and the gradient of an epoch; where those differ no ratio is printed. Needs
``pip install 'paft[bench]'``. Run: ``OMP_NUM_THREADS=1 python benchmarks/train_speed.py``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from common import (
    COUNTED,
    KINDS,
    RESULTS,
    Side,
    forward_flops,
    keep_freed_memory,
    machine,
    matmul_peak,
    shown,
    spread,
    table,
    take_turns,
    write_results,
)
from train_sides import OURS, PEERS, STEP, Job, encode, load_rows, measure

NARROW = {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 4, "num_key_value_heads": 4}
SHAPES = {
    "toy": NARROW | {"num_hidden_layers": 6, "vocab_size": 32000},
    "head-light": NARROW | {"num_hidden_layers": 12, "vocab_size": 4096},
    "smoke": NARROW | {"num_hidden_layers": 1, "vocab_size": 4096},  # whether the script runs
    "llama3-8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32}
    | {"num_key_value_heads": 8, "num_hidden_layers": 32, "vocab_size": 128256},
}
TOLERANCE = {"float32": (1e-5, 1e-4), "bfloat16": (2e-2, 5e-2)}  # of the loss and of the gradient's norm
NAMES = {
    "trl": "TRL as it ships, grouped by length",
    "trl-sorted": "TRL, head as on CUDA, grouped by length",
    "trl-padding-free": "TRL, head as on CUDA, padding-free",
    "trl-packed": "TRL, head as on CUDA, packed",
    "trl-compiled": "TRL, head as on CUDA, grouped by length, compiled",
    "paft-padded": "paft, padded rows",
    "paft": "paft, packed rows",
    "paft-compiled": "paft, packed rows, compiled",
}
COMPILED = ("trl-compiled", "paft-compiled")
PLAIN = [name for name in PEERS if name not in COMPILED]


def compare(job: Job, names: Sequence[str]) -> dict[str, Any]:
    """Parity and times of the sides for one job."""
    peak = matmul_peak(job.dtype, device=job.device)
    shown_first, taken = (side_by_side if job.device == "cpu" else one_at_a_time)(job, names)
    parity = {name: differences(shown_first["paft-padded"], found) for name, found in shown_first.items()}
    times = {name: found[1:] for name, found in taken.items()}
    floor = floor_flops(job)
    counted = {name: [one[COUNTED[job.device]] for one in found] for name, found in times.items()}
    found: dict[str, Any] = {"job": vars(job) | {"step": STEP}, "peak_gflops": peak, "floor_gflop": floor / 1e9}
    found["sides"] = {name: side_figures(job, name, times[name], parity[name], floor / 1e9 / peak) for name in times}
    for ours, label in (("paft", "ratio"), ("paft-compiled", "ratio_to_compiled")):
        for name in times:
            if ours in times and name != ours and found["sides"][name]["same"] and found["sides"][ours]["same"]:
                ratios = [theirs / mine for theirs, mine in zip(counted[name], counted[ours], strict=True)]
                found["sides"][name][label] = spread(ratios)
    return found


Times = dict[str, list[tuple[float, float, int]]]


def side_by_side(job: Job, names: Sequence[str]) -> tuple[dict[str, Any], Times]:
    """What each side shows first, and its times: the first round warms up. All processes stand at the same time."""
    sides = [Side(name, measure, job) for name in names]
    return {side.name: side.receive() for side in sides}, take_turns(sides, job.rounds + 1)


def one_at_a_time(job: Job, names: Sequence[str]) -> tuple[dict[str, Any], Times]:
    """The same with one process at a time: each warms up for an epoch, and the next epoch is its round."""
    shown_first: dict[str, Any] = {}
    times: Times = {name: [] for name in names}
    for number in range(job.rounds):
        for name in [*names[number % len(names) :], *names[: number % len(names)]]:
            side = Side(name, measure, replace(job, rounds=1))
            shown_first[name] = side.receive()
            warm = side.turn()
            times[name] += [warm, side.turn()] if not times[name] else [side.turn()]
            side.end()
    return shown_first, times


def side_figures(
    job: Job, name: str, times: Sequence[tuple[float, float, int]], parity: Mapping[str, float], floor_seconds: float
) -> dict[str, Any]:
    limits = TOLERANCE[job.dtype]
    counted = spread(seconds[COUNTED[job.device]] for seconds in times)
    return {
        "parity": dict(parity),
        "same": parity["loss"] <= limits[0] and parity["gradient"] <= limits[1],
        "wall_seconds": spread(seconds[0] for seconds in times),
        "cpu_seconds": spread(seconds[1] for seconds in times),
        "seconds": counted,
        "gpu_gigabytes": max(seconds[2] for seconds in times) / 1e9,
        "examples_per_second": job.examples / counted["median"],
        "share_of_peak": floor_seconds / counted["median"],
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

    task, prompts, schedule = load_rows(job.examples)
    encodings = encode(task.examples("train"), prompts, schedule, load_tokenizer("embedded"))
    lengths = [len(e.input_ids) for e in encodings]
    labels = sum(len(e.input_ids) - e.answer_start for e in encodings)
    forward = forward_flops(job.sizes, sum(lengths), sum(n * (n + 1) // 2 for n in lengths), labels)
    return forward * (2 if job.adapter else 3)


def describe(results: Mapping[str, Any]) -> str:
    """The Markdown page."""
    m, kind = results["machine"], KINDS[results["device"]]
    where = f"{m['cpu']}, {m['cores']} cores ({m['instructions']}), {m['threads']} thread"
    if results["device"] == "cuda":
        where = f"{m['gpu']}; FlashAttention {m['flash_attn'] or 'not installed'}"
    parts = [
        "# Training speed\n",
        f"{where}; torch {m['torch']}, transformers {m['transformers']}, peft {m['peft']}, trl {m['trl']}. "
        f"{results['data']}\n",
        f"{kind.capitalize()} of one epoch: median (lowest-highest) over the rounds. A ratio is a side's seconds over "
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
        head = ("side", "seconds", "ratio", "share of peak", "loss", "gradient")
        memory = ("GPU memory",) if results["device"] == "cuda" else ()
        parts.append(table((*head, *memory), lines(found["sides"], bool(memory))))
        parts += strongest(found["sides"])
    return "\n".join(parts)


def strongest(sides: Mapping[str, Any]) -> list[str]:
    """The fastest peer that compiles nothing, beside both of paft's ways; and both sides compiled."""
    plain = [name for name in PLAIN if "ratio" in sides.get(name, ())]
    if not plain:
        return []
    best = min(plain, key=lambda name: sides[name]["seconds"]["median"])
    said = f"Strongest peer: {NAMES[best]}, **{shown(sides[best]['ratio'])}**"
    if "ratio_to_compiled" in sides[best]:
        said += f"; over paft compiled {shown(sides[best]['ratio_to_compiled'])}"
    if "ratio_to_compiled" in sides.get("trl-compiled", ()):
        said += f"; both compiled **{shown(sides['trl-compiled']['ratio_to_compiled'])}**"
    return [f"{said}.\n"]


def lines(sides: Mapping[str, Any], memory: bool) -> list[list[str]]:
    out = []
    for name, found in sides.items():
        ratio = shown(found["ratio"]) if "ratio" in found else "1" if name == "paft" else "not the same figures"
        row = [NAMES[name], shown(found["seconds"]), ratio, f"{found['share_of_peak']:.0%}"]
        row += [f"{found['parity']['loss']:.0e}", f"{found['parity']['gradient']:.0e}"]
        out.append([*row, f"{found['gpu_gigabytes']:.1f} GB"] if memory else row)
    return out


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["toy", "head-light"], choices=list(SHAPES))
    parser.add_argument("--dtypes", nargs="+", default=list(TOLERANCE), choices=list(TOLERANCE))
    parser.add_argument("--train", nargs="+", default=["lora"], choices=["lora", "full"])
    parser.add_argument("--device", default="cpu", choices=list(COUNTED))
    parser.add_argument("--peers", nargs="*", default=PLAIN, choices=PLAIN)
    parser.add_argument("--compiled", action="store_true", help="the strongest of both with torch.compile too")
    parser.add_argument("--examples", type=int, default=128, help="rows of an epoch, which is a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="train_speed", help="of the two files of results")
    parser.add_argument("--output", type=Path, default=RESULTS, help="their folder")
    options = parser.parse_args()
    sides = [name for name in (*options.peers, *OURS) if name not in COMPILED]
    sides += [name for name in COMPILED if options.compiled and (options.peers or name in OURS)]
    _, prompts, _ = load_rows(options.examples)
    data = f"PIQA rows under {len(prompts)} templates, K = 4, with one end token each, in the order of group_by_length."
    results: dict[str, Any] = {"format_version": 1, "machine": machine(), "device": options.device, "data": data}
    results["comparisons"] = []
    for train in options.train:
        for shape in options.shapes:
            for dtype in options.dtypes:
                job = Job(
                    shape, SHAPES[shape], dtype, train == "lora", options.examples, options.rounds, options.device
                )
                results["comparisons"].append(compare(job, sides))
                write_results(options.name, results, describe(results), options.output)
                print(describe(results | {"comparisons": results["comparisons"][-1:]}), flush=True)


if __name__ == "__main__":
    main()
