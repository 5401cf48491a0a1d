"""Sweep speed on one GPU: paft in process and paft with vLLM (``--backend vllm``), over the same cells.

The model of random weights is swept in process, saved, let go, and swept by vLLM, whose prefix cache is emptied before
each round. Where the answers differ no ratio is printed. Needs vLLM and a GPU that it supports.
Run: ``python benchmarks/vllm_speed.py``.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from common import COUNTED, CTX, KINDS, RESULTS, machine, shown, spread, table, write_results
from sweep_sides import LIMITS, MAX_LENGTH, NEAR, Bench, difference, run_paft
from sweep_workloads import GENERATION, SHAPES, WORKLOADS, Place, Workload, load, make_model, make_tokenizer, texts

from paft import SweepResult
from paft.evaluation import VllmModel

GPU_MEMORY = 0.8  # the share that vLLM takes


def measure(workload: Workload, rounds: int, quick: bool, place: Place) -> dict[str, Any]:
    """Parity and wall seconds of one workload; each way warms up once."""
    task, prompts = load(workload, quick)
    tokenizer = make_tokenizer(texts(task, prompts), workload.vocabulary)
    bench = Bench(workload, task, prompts, make_model(workload, place), tokenizer, place)
    counted = COUNTED[place.device]
    with tempfile.TemporaryDirectory() as folder:
        here = [run_paft(bench) for _ in range(rounds + 1)]
        bench.model.save_pretrained(folder)
        bench.tokenizer.save_pretrained(folder)
        bench = replace(bench, model=bench.model.to("meta"))  # its memory is vLLM's now
        gc.collect()
        if place.device == "cuda":
            torch.cuda.empty_cache()
        engine, there = VllmModel(folder, gpu_memory=GPU_MEMORY), []
        for _ in range(rounds + 1):
            engine.forget()
            there.append(run_paft(bench, engine))
    apart = difference(bench, here[-1][1], answers(workload, there[-1][1]), NEAR[place.dtype])
    same = all(value <= LIMITS[place.dtype][name] for name, value in apart.items())
    times = {"in process": [s[counted] for s, _ in here[1:]], "vLLM": [s[counted] for s, _ in there[1:]]}
    found: dict[str, Any] = {"templates": len(prompts), "examples": len(bench.examples), "apart": apart, "same": same}
    found |= {side: spread(seconds) for side, seconds in times.items()}
    if same:
        found["ratio"] = statistics.median(times["in process"]) / statistics.median(times["vLLM"])
    return found


def answers(workload: Workload, result: SweepResult) -> list[Any]:
    """One after another, as ``difference`` takes them."""
    cells = [cell for row in result.cells_pn for cell in row]
    if workload.scoring == "generate":
        return [cell.text.partition("\n")[0] for cell in cells]
    return [value for cell in cells for value in cell.loglik]


def report(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    m, place = results["machine"], results["place"]
    shape = SHAPES[place["shape"]]
    rows = []
    for name, found in results["workloads"].items():
        apart = ", ".join(f"{value:.1e}" if value else "0" for value in found["apart"].values())
        ratio = f"**{found['ratio']:.2f}**" if found["same"] else "none: the answers differ"
        cells = f"{found['templates']} x {found['examples']}"
        rows.append((name, cells, apart, shown(found["in process"], 1), shown(found["vLLM"], 1), ratio))
    return "\n".join(
        [
            "# Sweeps in process and with vLLM\n",
            f"{m['gpu'] or m['cpu']}; torch {m['torch']}, transformers {m['transformers']}, vllm {m['vllm']}; "
            f"{place['dtype']}. {results['rounds']} rounds; median (lowest-highest); {KINDS[place['device']]}. A Llama "
            f"of random weights (hidden size {shape['hidden_size']}, {shape['num_hidden_layers']} layers), rows of at "
            f"most {MAX_LENGTH} tokens; vLLM's prefix cache is empty at first in each round, its start is not "
            "counted. Apart: the largest difference of log-likelihoods (candidates less the first), the share of "
            "other predictions, or of other texts.\n",
            table(("workload", "cells", "apart", "in process", "vLLM", "in process / vLLM"), rows),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few cells, to see whether it runs")
    parser.add_argument("--only", default="", help="workloads whose name holds this")
    parser.add_argument("--device", default="cuda", choices=list(COUNTED), help="of the sweeps in process")
    parser.add_argument("--shape", default="llama3-8b", choices=list(SHAPES))
    parser.add_argument("--dtype", default="bfloat16", choices=list(LIMITS))
    parser.add_argument("--name", default="gpu-vllm", help="of the two files of results")
    parser.add_argument("--output", type=Path, default=RESULTS, help="their folder")
    args = parser.parse_args()
    place = Place(args.shape, args.device, args.dtype)
    results: dict[str, Any] = {"format_version": 1, "machine": machine(), "rounds": args.rounds}
    results |= {"place": vars(place), "workloads": {}}
    for workload in (w for w in (*WORKLOADS, *GENERATION) if args.only in w.name):
        with ProcessPoolExecutor(1, CTX) as alone:  # what an engine holds goes back with its process
            done = alone.submit(measure, workload, args.rounds, args.quick, place)
            results["workloads"][workload.name] = done.result()
        write_results(args.name, results, report(results), args.output)
        print(report(results), flush=True)


if __name__ == "__main__":
    main()
