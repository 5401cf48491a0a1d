"""``paft sweep``: a model over many prompts, and a gate for continuous integration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paft.cli.options import option
from paft.cli.quiet import console, hush_weights, say
from paft.cli.shared import AdapterOptions, HardwareOptions, ModelOptions, ScoringOptions, TaskOptions
from paft.cli.verb import SimpleVerb
from paft.errors import GateError, InputError
from paft.prompts import find_prompts
from paft.tasks import load_task


@dataclass(kw_only=True)
class Options(ModelOptions, AdapterOptions, TaskOptions, ScoringOptions, HardwareOptions):
    """Flags of ``paft sweep``."""

    split: Literal["train", "validation", "test"] = option("which rows", "test")
    prompts: str = option("prompts unseen in training: JSON lines, 'bundled' or 'bundled:hostile'", metavar="FILE")
    output: str = option("folder for the cells and summary.json; one with the same sweep is continued", metavar="DIR")
    limit: int | None = option("a uniform sample of so many examples, the same for every model", None)
    top: float | None = option("accuracy from which a prompt counts as a top prompt; by default the task's", None)
    on_long: Literal["error", "drop"] = option("what to do with an example that is too long under some prompt", "error")
    allow_overlap: bool = option("measure also with prompts that the run was trained on", False)
    fail_under_min: float | None = option(
        "exit with 1 if the worst prompt's accuracy is below this, such as 0.7", None, metavar="X"
    )
    show: int = option("how many of the best and of the worst prompts to list", 5)
    seed: int = option("of the interval's bootstrap draws; the answers involve no chance", 0)


def run(options: Options) -> int:
    for flag, value in (("--top", options.top), ("--fail-under-min", options.fail_under_min)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{flag} is an accuracy, a fraction from 0 to 1 such as 0.85; found {value:g}")
    if options.show < 1:
        raise InputError(f"--show must be at least 1, found {options.show}")
    task = load_task(options.task, options.data)
    prompts = find_prompts(options.prompts, task.name, "test")

    from paft.evaluation import sweep
    from paft.report.tables import extremes_table, sweep_lines

    hush_weights()
    result = sweep(
        options.model,
        task,
        prompts,
        options.split,
        adapter=options.adapter,
        output=options.output,
        scoring=options.scoring,
        limit=options.limit,
        top=options.top,
        batch_tokens=options.batch_tokens,
        max_length=options.max_length,
        normalize=options.normalize,
        dtype=options.dtype,
        device=options.device,
        chat=options.chat,
        allow_overlap=options.allow_overlap,
        on_long=options.on_long,
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
        trust_remote_code=options.trust_remote_code,
    )
    console().print(extremes_table(result.per_prompt, {p.id: p.text for p in prompts}, options.show))
    for line in sweep_lines(result.summary):
        say(line)
    say(f"{options.output}: summary.json and every answer in cells/ ({result.summary['seconds']:.1f} s)")
    gate(result.min, result.worst[0], options.fail_under_min)
    return 0


def gate(lowest: float, prompt_id: str, asked: float | None) -> None:
    """Raise GateError if the worst prompt is below the accuracy asked for."""
    if asked is not None and lowest < asked:
        raise GateError(f"the worst prompt, {prompt_id}, has accuracy {lowest:.4g}, below --fail-under-min {asked:g}")


VERB = SimpleVerb(
    name="sweep",
    summary="Measure a model over many prompts: mean, spread, worst prompt; every answer is kept.",
    example=(
        "paft sweep --model runs/trec --task task.yaml --data data --prompts prompts/test.jsonl --output sweeps/trec\n"
        "paft sweep ... --fail-under-min 0.7      # exits with 1 if the worst prompt is below 70%"
    ),
    options=Options,
    action=run,
)
