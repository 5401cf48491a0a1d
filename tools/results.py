"""Run the published comparisons and write their tables into docs/results.md.

    python tools/results.py run demo
    python tools/results.py run trec --data FOLDER
    python tools/results.py run sst2 --data FOLDER
    python tools/results.py write

A run that is stopped goes on when the same command is given again. Records stand under results/; ``write`` needs
nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from paft.experiments.demo import TRAIN, demo_setup
from paft.experiments.grid import difference, load_records, over_seeds, run_grid
from paft.experiments.methods import METHODS, Record, Setup
from paft.files import atomic_writer, read_text
from paft.models import EMBEDDED
from paft.prompts import PromptSet
from paft.report.plots import plot_accuracy
from paft.report.tables import comparison_markdown
from paft.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
RECORDS, PAGE, IMAGES = ROOT / "results", ROOT / "docs" / "results.md", ROOT / "docs" / "images"
UNSEEN, EXAMPLES = 50, 300
# all training rows, in two passes: chosen before any of these runs, the same for both tasks and all methods
WHOLE = {**TRAIN, "learning_rate": 3e-4, "num_train_epochs": 2, "per_device_train_batch_size": 32, "limit": None}
SMALL = {**TRAIN, "limit": 1200}  # the demo's setting on a sample
RUNS: dict[str, tuple[int, Mapping[str, Any]]] = {  # seeds and training options
    "demo": (5, TRAIN),
    "trec": (3, WHOLE),
    "sst2": (3, WHOLE),
    "trec-1200": (1, SMALL),
    "sst2-1200": (1, SMALL),
}


def real_setup(name: str, data: str) -> Setup:
    """TREC or SST-2 from its original files: 50 unseen prompts, 300 test examples."""
    folder = ROOT / "examples" / name.split("-")[0]
    prompts = PromptSet.load(folder / "prompts.jsonl")
    train_prompts, test_prompts = prompts.split(test=UNSEEN, seed=0)
    task = load_task(folder / "task.yaml", data)
    return Setup(EMBEDDED, task, train_prompts, test_prompts, limit=EXAMPLES, train=RUNS[name][1])


def run(name: str, data: str | None, work: Path, methods: Sequence[str]) -> None:
    setup = demo_setup() if name == "demo" else real_setup(name, str(data))
    run_grid(setup, methods, range(RUNS[name][0]), work / name, RECORDS / name, lambda text: print(text, flush=True))


def tables(name: str, records: Mapping[str, Sequence[Record]]) -> str:
    """The comparison of one task in Markdown: numbers over seeds, and paired differences."""
    first = records["base"][0]
    seeds = len(records["paft"])
    size = f"{len(first.prompt_ids)} unseen prompts x {len(first.example_ids)} examples"
    lines = [
        f"{size}, means over {_seeds(seeds)}, in %.",
        "",
        comparison_markdown({method: over_seeds(group) for method, group in records.items()}),
        "| PAFT minus | mean (95% interval) | std (95% interval) | seeds with a higher mean | seeds with a lower std |",
        "|---|---:|---:|---:|---:|",
    ]
    for method, group in records.items():
        if method == "paft":
            continue
        cells = [difference(records["paft"], group, statistic) for statistic in ("mean", "std")]
        shown = [f"{100 * c.estimate:+.1f} ({100 * c.low:+.1f} to {100 * c.high:+.1f})" for c in cells]
        pairs = [(p, group[i % len(group)]) for i, p in enumerate(records["paft"])]
        higher = sum(p.numbers["mean"] > o.numbers["mean"] for p, o in pairs)
        lower = sum(p.numbers["std"] < o.numbers["std"] for p, o in pairs)
        lines.append(f"| {method} | {shown[0]} | {shown[1]} | {higher} of {seeds} | {lower} of {seeds} |")
    lines += ["", "| seed | " + " | ".join(f"{m} mean / std / min" for m in records) + " |"]
    lines += ["|---|" + "---:|" * len(records)]
    for i, record in enumerate(records["paft"]):
        cells_of = [group[i % len(group)].numbers for group in records.values()]
        shown = [f"{100 * n['mean']:.1f} / {100 * n['std']:.1f} / {100 * n['min']:.1f}" for n in cells_of]
        lines.append(f"| {record.seed} | " + " | ".join(shown) + " |")
    plot_accuracy(
        {m: list(over_seeds(g)["per_prompt"].values()) for m, g in records.items()},
        IMAGES / f"accuracy-{name}",
        title=f"{name}: accuracy under each unseen prompt",
        note=f"{size}, means over {_seeds(seeds)}",
        kinds=("svg",),
        numbers={method: over_seeds(group) for method, group in records.items()},
    )
    lines += ["", f"![Accuracy under each of the unseen prompts, by method](images/accuracy-{name}.svg)"]
    return "\n".join(lines)


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def shared_seeds(records: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """The records of seeds that every trained method has; base has one for all."""
    trained = [{r.seed for r in group} for method, group in records.items() if method != "base"]
    seeds = set.intersection(*trained)
    return {m: [r for r in group if m == "base" or r.seed in seeds] for m, group in records.items()}


def write() -> None:
    """Put the tables of every task that has records between its marks in docs/results.md."""
    page = read_text(PAGE)
    for name in RUNS:
        if not any((RECORDS / name).glob("paft-seed*.json")):
            continue
        block = f"<!-- {name} -->\n{tables(name, shared_seeds(load_records(RECORDS / name)))}\n<!-- /{name} -->"
        before, start, rest = page.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not start or not end:
            raise SystemExit(f"error: {PAGE} has no marks for {name}")
        page = before + block + after
    with atomic_writer(PAGE) as out:
        out.write(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run")
    running.add_argument("task", choices=list(RUNS))
    running.add_argument("--data", help="folder of the original files (TREC, SST-2)")
    running.add_argument("--work", type=Path, default=ROOT / "runs" / "results", help="runs and sweeps go here")
    running.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    running.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    verbs.add_parser("write")
    args = parser.parse_args()
    if args.verb == "write":
        write()
        return
    if args.task != "demo" and args.data is None:
        parser.error(f"{args.task} needs --data, the folder of its original files")
    torch.set_num_threads(args.threads)
    run(args.task, args.data, args.work, args.methods)


if __name__ == "__main__":
    main()
