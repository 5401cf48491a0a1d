"""``paft demo``: the whole method on the embedded model and task, offline."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paft.cli.options import option
from paft.cli.quiet import console, hush_weights, say
from paft.cli.verb import SimpleVerb
from paft.errors import InputError

if TYPE_CHECKING:
    from paft.experiments.demo import DemoResult

STEPS = {
    "base": "the model as it is",
    "user": "fine-tuned on one prompt",
    "static-mix": "fine-tuned on 100 prompts, each example with one of them throughout",
    "paft": "fine-tuned on 100 prompts, drawn anew after every few examples",
}


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft demo``."""

    output: str = option("folder for runs, sweeps, a report and results.json", "paft-demo", metavar="DIR")
    seed: int = option("decides every draw of the demo", 0)


def run(options: Options) -> int:
    if options.seed < 0:
        raise InputError(f"--seed must be at least 0, found {options.seed}")
    from paft.experiments.demo import run_demo

    hush_weights()
    result = run_demo(options.output, options.seed, progress=sys.stderr.isatty(), announce=_announce)
    _print_table(result)
    from paft.report import report

    report(result.output)
    _print_next(result)
    return 0


def _announce(method: str) -> None:
    print(f"{method}: {STEPS.get(method, '')}", file=sys.stderr, flush=True)


def _print_table(result: DemoResult) -> None:
    from paft.report.tables import comparison_table

    title = f"Accuracy (%) over {result.prompts} unseen prompts x {result.examples} test examples"
    console().print(comparison_table(result.methods, title))


def _print_next(result: DemoResult) -> None:
    folder = shlex.quote(str(result.output))
    say(f"{result.output}: results.json, the runs and sweeps of each method ({result.seconds:.0f} s)")
    say(f"Look around in the report: {result.output / 'report' / 'index.html'}")
    say()
    say("Next, the prompts that the PAFT model does best and worst under, and your own model and task:")
    paft = f"{folder}/work/demo/paft-seed{result.seed}"
    say(
        f"  paft sweep --model {paft}/run --task demo --prompts {paft}/sweep/prompts.jsonl "
        f"--output {folder}-more --limit 100"
    )
    say("  paft init DATA.csv --output mine")
    say("  paft prompts generate --task mine/task.yaml --providers grammar --total 150 --output mine/all.jsonl")
    say("  paft prompts split mine/all.jsonl --test 30 --output mine/prompts")
    say("  paft train --model MODEL --task mine/task.yaml --prompts mine/prompts/train.jsonl --output runs/mine")


VERB = SimpleVerb(
    name="demo",
    summary="A small model that ships with paft, as it is and fine-tuned in three ways, over unseen prompts; offline.",
    example="paft demo",
    options=Options,
    action=run,
)
