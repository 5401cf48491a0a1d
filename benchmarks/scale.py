"""Whether memory and start-up stay flat as the data grow: the same start on a thousand rows and on a million.

Each start is a process of its own that has loaded its libraries and a small model before it is watched: a training
up to its first step, and a sweep up to the first batch of cells. The rows are read from a real file by a task YAML.
Seconds are the processor's of one thread; memory is resident memory at its highest.

Run: ``OMP_NUM_THREADS=1 python benchmarks/scale.py``; ``--examples 20000`` for a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pyarrow as pa
import pyarrow.parquet as pq
from common import RESULTS, Side, machine, table, write_results
from scale_sides import watched

MEGABYTE = 1e6
TARGET = 200  # megabytes that the million may add
WORDS = "the red fox ran over a small hill and saw two old men who talked of rain while cups of tea went cold".split()
YAML = """name: million
type: choice
files: {{train: train.{format}}}
columns: {{id: uid, slots: {{goal: goal, sol1: sol1, sol2: sol2}}, answer: label}}
choices: [sol1, sol2]
labels: {{0: A, 1: B}}
description: Choose the better of two ways to reach a goal.
"""
OPENINGS = ("Read the goal and the two ways to reach it", "Which way works", "Two plans stand below", "Pick one plan")
PLACES = ("kitchen", "garden", "garage", "workshop", "office", "school", "field", "boat", "tent", "attic")
LAYOUTS = (
    "{opening} ({place} {number}).\nGoal: {{goal}}\nA. {{sol1}}\nB. {{sol2}}\nAnswer:",
    "{opening}, case {number} of the {place}: {{goal}}\n(A) {{sol1}}\n(B) {{sol2}}\nThe answer is",
)


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Made-up rows of about the length of PIQA's; no two are alike."""
    rng = random.Random(0)
    pool = [" ".join(rng.choices(WORDS, k=rng.randint(9, 27))) for _ in range(5000)]
    for i in range(count):
        sol1, sol2 = rng.choice(pool), rng.choice(pool)
        yield {"uid": f"row-{i}", "goal": f"{pool[i % 5000][:50]} {i}", "sol1": sol1, "sol2": sol2, "label": i % 2}


def write_task(folder: Path, kind: str, count: int, prompts: int) -> int:
    """Task YAML, its file of rows and a prompt set in ``folder``; returns the bytes of the file."""
    folder.mkdir(parents=True)
    path = folder / f"train.{kind}"
    if kind == "jsonl":
        with path.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows(count))
    else:
        made, writer = rows(count), None
        while part := [row for _, row in zip(range(50_000), made, strict=False)]:
            writer = writer or pq.ParquetWriter(path, pa.Table.from_pylist(part).schema)
            writer.write_table(pa.Table.from_pylist(part))
        if writer is not None:
            writer.close()
    (folder / "task.yaml").write_text(YAML.format(format=kind), encoding="utf-8")
    with (folder / "prompts.jsonl").open("w", encoding="utf-8") as out:
        for number in range(prompts):
            opening, place = OPENINGS[number % len(OPENINGS)], PLACES[number // 4 % len(PLACES)]
            text = LAYOUTS[number % len(LAYOUTS)].format(opening=opening, place=place, number=number)
            out.write(json.dumps({"id": f"p{number}", "text": text}) + "\n")
    return path.stat().st_size


def start(kind: str, folder: Path, count: int) -> dict[str, Any]:
    """The marks of one start, in a process of its own."""
    side = Side(f"{kind} of {count:,} rows", watched, kind, folder, count)
    marks: dict[str, Any] = side.receive()
    side.process.join()
    return marks


def figures(marks: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Seconds in all and by stage, and the megabytes added to what stood there when the process was ready."""
    stages = {name: mark for name, mark in marks.items() if name != "ready"}
    return {
        "seconds": sum(mark["cpu"] for mark in stages.values()),
        "wall_seconds": sum(mark["wall"] for mark in stages.values()),
        "peak_megabytes": max(mark["peak"] for mark in marks.values()) / MEGABYTE,
        "stages": {
            name: {"seconds": mark["cpu"], "peak_megabytes": mark["peak"] / MEGABYTE} for name, mark in stages.items()
        },
    }


def compare(job: str, kind: str, few: int, many: int, prompts: int) -> dict[str, Any]:
    """A start on few rows and one on many."""
    found: dict[str, Any] = {"job": job, "format": kind, "prompts": prompts}
    for name, count in (("few", few), ("many", many)):
        with tempfile.TemporaryDirectory() as folder:
            size = write_task(Path(folder) / "data", kind, count, prompts)
            found[name] = {"examples": count, "file_bytes": size, **figures(start(job, Path(folder) / "data", count))}
    found["added_megabytes"] = found["many"]["peak_megabytes"] - found["few"]["peak_megabytes"]
    return found


def describe(results: Mapping[str, Any]) -> str:
    """The Markdown page."""
    m = results["machine"]
    parts = [
        "# Start-up and memory at scale\n",
        f"{m['cpu']}, {m['threads']} thread; torch {m['torch']}, transformers {m['transformers']}. Made-up rows as "
        f"long as PIQA's, {results['prompts']} prompts, a model of 1 MB. Processor seconds from the task YAML to "
        "the first training step, or to the first batch of a sweep; peak resident memory. "
        f"At most {TARGET} MB may be added.\n",
    ]
    head = ("start", "rows", "file", "seconds", "peak", "added")
    lines = []
    for found in results["starts"]:
        for name in ("few", "many"):
            one = found[name]
            added = f"**{found['added_megabytes']:.0f} MB**" if name == "many" else ""
            lines.append(
                (
                    f"{found['job']}, {found['format']}",
                    f"{one['examples']:,}",
                    f"{one['file_bytes'] / MEGABYTE:.1f} MB",
                    f"{one['seconds']:.1f}",
                    f"{one['peak_megabytes']:.0f} MB",
                    added,
                )
            )
    parts.append(table(head, lines))
    parts.append("By stage, many rows:\n")
    stages = [
        (f"{f['job']}, {f['format']}", name, f"{stage['seconds']:.1f}", f"{stage['peak_megabytes']:.0f} MB")
        for f in results["starts"]
        for name, stage in f["many"]["stages"].items()
    ]
    parts.append(table(("start", "stage", "seconds", "peak so far"), stages))
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1000, help="rows that the many are compared with")
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--formats", nargs="+", default=["parquet", "jsonl"], choices=["parquet", "jsonl"])
    parser.add_argument("--jobs", nargs="+", default=["train", "sweep"], choices=["train", "sweep"])
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of scale.json and scale.md")
    options = parser.parse_args()
    results: dict[str, Any] = {"format_version": 1, "machine": machine(), "prompts": options.prompts, "starts": []}
    for job in options.jobs:
        for kind in options.formats:
            results["starts"].append(compare(job, kind, options.few, options.examples, options.prompts))
            write_results("scale", results, describe(results), options.output)
    print(describe(results))


if __name__ == "__main__":
    main()
