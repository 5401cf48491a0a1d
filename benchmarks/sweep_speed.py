"""Sweep speed side by side: paft against the lm-evaluation-harness, in one process, on one CPU
thread or one GPU.

Four workloads by likelihood and two by generation, each over about 50 templates. Both sides run the same cells on
the same model, one after the other in every round, and their answers are compared: where they differ no ratio is
printed. The harness runs at the best of several batch sizes. Seconds are the processor's, which leave out what
other programs take; wall seconds stand beside them.

Needs ``pip install 'paft[bench]'``. Run: ``OMP_NUM_THREADS=1 python benchmarks/sweep_speed.py``, or with ``--quick``
for a smoke test.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from common import (
    COUNTED,
    KINDS,
    RESULTS,
    keep_freed_memory,
    machine,
    matmul_peak,
    shared_data,
    shown,
    spread,
    table,
    write_results,
)
from sweep_floor import floor_flops
from sweep_harness import Harness
from sweep_sides import LIMITS, NEAR, Bench, difference, one_process_a_template, run_paft
from sweep_workloads import GENERATION, SHAPES, WORKLOADS, Place, Workload, load, make_model, make_tokenizer, texts

BATCH_SIZES = {"cpu": (2, 4, 8, 16, 32, 64), "cuda": (16, 32, 64, 128)}
TEMPLATES_ALONE = 2  # templates that are timed with a process each
TARGETS = {"geometric mean": 2.2, "each": 1.3, GENERATION[0].name: 1.15, GENERATION[1].name: 1.4}


def measure(workload: Workload, rounds: int, quick: bool, place: Place, peak: float) -> dict[str, Any]:
    """Parity and times of one workload, on a machine of so many GFLOP/s."""
    task, prompts = load(workload, quick)
    tokenizer = make_tokenizer(texts(task, prompts), workload.vocabulary)
    bench = Bench(workload, task, prompts, make_model(workload, place), tokenizer, place)
    harness, counted = Harness(bench), COUNTED[place.device]
    sizes = (8,) if quick else BATCH_SIZES[place.device]
    warm = (sizes[0], *sizes)
    tried = {size: harness.run(size)[0][counted] for size in warm}
    best = min(tried, key=lambda size: tried[size])
    times: dict[str, list[tuple[float, float]]] = {"paft": [], "lm-eval": []}
    apart: list[dict[str, float]] = []
    run_paft(bench)
    for index in range(rounds):
        for side in ("paft", "lm-eval") if index % 2 else ("lm-eval", "paft"):
            if side == "paft":
                seconds, result = run_paft(bench)
            else:
                seconds, answers = harness.run(best)
            times[side].append(seconds)
        apart.append(difference(bench, result, answers, NEAR[place.dtype]))
    found = {name: max(one[name] for one in apart) for name in apart[0]}
    same = all(value <= LIMITS[place.dtype][name] for name, value in found.items())
    out: dict[str, Any] = {"templates": len(prompts), "examples": len(bench.examples), "scoring": workload.scoring}
    out |= {"vocabulary": workload.vocabulary, "batch_size": best, "tried": tried, "apart": found, "same": same}
    floor = floor_flops(bench, result) / 1e9
    out["floor_gflop"] = floor
    for side, both in times.items():
        out[side] = {"cpu": spread(cpu for _, cpu in both), "wall": spread(wall for wall, _ in both)}
        out[side]["share_of_peak"] = floor / peak / statistics.median(one[counted] for one in both)
    if same:
        out["ratio"] = spread(a[counted] / b[counted] for a, b in zip(times["lm-eval"], times["paft"], strict=True))
    if workload in GENERATION:
        tokens = sum(cell.generated_tokens for row in result.cells_pn for cell in row)
        out["tokens_a_cell"] = tokens / (len(prompts) * len(bench.examples))
        if workload is GENERATION[0] and place.device == "cpu":
            out["one_process_a_template"] = one_process_a_template(bench, 1 if quick else TEMPLATES_ALONE)
    return out


def report(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    cpu, place = results["machine"], results["place"]
    shape = SHAPES[place["shape"]]
    where = f"{cpu['cpu']}, {cpu['cores']} cores, {cpu['threads']} thread, {cpu['instructions']}"
    where = cpu["gpu"] if place["device"] == "cuda" else where
    lines = [
        "# Sweep speed\n",
        f"{where}; torch {cpu['torch']}, transformers {cpu['transformers']}, lm-eval {cpu['lm_eval']}; "
        f"{place['dtype']}; {results['peak_gflops']:.0f} GFLOP/s in square products. {results['rounds']} rounds; "
        f"median (lowest-highest); {KINDS[place['device']]}, wall in brackets. {results['data']}\n",
        f"A Llama of random weights (hidden size {shape['hidden_size']}, {shape['num_hidden_layers']} layers). "
        "The harness gets rendered prompts and its best "
        "batch size; its tokenising and planning are timed, as are paft's rendering, tokenising, planning, files and "
        "statistics. Apart: the largest difference of log-likelihoods (candidates less the first), the share of other "
        "predictions, or the share of other texts. Share of peak: the operations of every distinct beginning of a row "
        "once, with logits only where an answer is read, at the speed of the fastest matrix product, over the seconds "
        "taken: lm-eval's, then paft's.\n",
    ]
    if results["quick"]:
        lines.insert(1, "A smoke test: its figures mean nothing.\n")
    counted = ("wall", "cpu")[COUNTED[place["device"]]]
    rows = [_row(name, found, counted) for name, found in results["workloads"].items()]
    head = ("workload", "cells", "apart", "lm-eval (batch)", "paft", "share of peak", "ratio")
    lines.append(table(head, rows))
    if results["geometric_mean"] is not None:
        lines.append(f"Geometric mean of the likelihood workloads: **{results['geometric_mean']:.2f}x**.\n")
    for name, found in results["workloads"].items():
        if "one_process_a_template" in found:
            ours = found["paft"]["wall"]["median"]
            lines.append(
                f"{name} with one process for each template, one prompt at a time, four tokens at most: about "
                f"{found['one_process_a_template']:.0f} s wall, reckoned from {TEMPLATES_ALONE} templates, where paft "
                f"takes {ours:.0f} s.\n"
            )
    return "\n".join(lines)


def _row(name: str, found: Mapping[str, Any], counted: str) -> tuple[str, ...]:
    apart = ", ".join(f"{value:.1e}" if value else "0" for value in found["apart"].values())
    seconds = {s: f"{shown(found[s][counted], 1)} [{found[s]['wall']['median']:.0f}]" for s in ("paft", "lm-eval")}
    ratio = f"**{shown(found['ratio'])}**" if found["same"] else "none: the answers differ"
    peaks = ", ".join(f"{found[side]['share_of_peak']:.0%}" for side in ("lm-eval", "paft"))
    cells = f"{found['templates']} x {found['examples']}"
    return name, cells, apart, f"{seconds['lm-eval']} ({found['batch_size']})", seconds["paft"], peaks, ratio


def geometric_mean(found: Mapping[str, Any], workloads: Sequence[Workload]) -> float | None:
    """Of the median ratios; None where one is missing."""
    ratios = [found[w.name]["ratio"]["median"] for w in workloads if "ratio" in found.get(w.name, {})]
    return statistics.geometric_mean(ratios) if len(ratios) == len(workloads) else None


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a smoke test of less than a minute")
    parser.add_argument("--only", help="workloads whose name holds this")
    parser.add_argument("--device", default="cpu", choices=list(COUNTED))
    parser.add_argument("--shape", choices=list(SHAPES), help="of the model; small, or smoke with --quick")
    parser.add_argument("--dtype", default="float32", choices=list(LIMITS))
    parser.add_argument("--name", default="sweep_speed", help="of the two files of results")
    parser.add_argument("--output", type=Path, default=RESULTS, help="their folder")
    args = parser.parse_args()
    place = Place(args.shape or ("smoke" if args.quick else "small"), args.device, args.dtype)
    if place.device == "cpu":
        torch.set_num_threads(1)
    workloads = [w for w in (*WORKLOADS, *GENERATION) if args.only is None or args.only in w.name]
    found: dict[str, Any] = {}
    data = "Real rows and templates." if shared_data() is not None else "Made-up rows, bundled templates."
    results = {"machine": machine(), "peak_gflops": matmul_peak(place.dtype, device=place.device), "data": data}
    results |= {"rounds": args.rounds, "place": vars(place)}
    for workload in workloads:
        found[workload.name] = measure(
            workload, 1 if args.quick else args.rounds, args.quick, place, results["peak_gflops"]
        )
        mean = geometric_mean(found, WORKLOADS)
        written = results | {"quick": args.quick, "targets": TARGETS, "geometric_mean": mean, "workloads": found}
        write_results(args.name, written, report(written), args.output)
        counted = ("wall", "cpu")[COUNTED[place.device]]
        print(workload.name, *_row(workload.name, found[workload.name], counted)[1:], sep=" | ", flush=True)
    if not all(one["same"] for one in found.values()):
        raise SystemExit("the answers of the two sides differ; see the table")


if __name__ == "__main__":
    main()
