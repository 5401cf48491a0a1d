"""``paft sweep``: a model over many prompts, and a gate for continuous integration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from paft.cli.options import option
from paft.cli.quiet import console, hush_weights, say
from paft.cli.several import leads, together
from paft.cli.shared import AdapterOptions, HardwareOptions, ModelOptions, ScoringOptions, TaskOptions, answering
from paft.cli.sweep_vllm import VllmOptions, read_object, vllm_model
from paft.cli.verb import SimpleVerb
from paft.endpoints import Price
from paft.errors import GateError, InputError
from paft.prompts import find_prompts
from paft.tasks import load_task

if TYPE_CHECKING:
    from paft.evaluation import ServerModel, VllmModel


@dataclass(kw_only=True)
class ServerOptions:
    """A model behind a server."""

    backend: Literal["local", "vllm", "server"] = option(
        "where the model is: local runs it here, vllm too but with vLLM on GPUs, server asks --base-url, which is "
        "OpenAI-compatible",
        "local",
    )
    base_url: str | None = option("server: its address, such as http://localhost:8000/v1", None, metavar="URL")
    api: Literal["auto", "completions", "chat"] = option(
        "server: completions sends prompts as they are, chat as messages; auto is chat for prompts made of messages "
        "and with --chat on, else completions",
        "auto",
    )
    api_key_env: str | None = option(
        "server: environment variable that holds the key; by default OPENAI_API_KEY where it is set", None
    )
    concurrency: int = option("server: most requests open at once", 8)
    requests_per_minute: float | None = option("server: most requests sent in a minute", None)
    timeout: float = option("server: seconds to wait for a reply", 180.0)
    price: str | None = option(
        "server: dollars per million tokens, such as 0.15,0.60", None, metavar="PROMPT,COMPLETION"
    )
    max_cost: float | None = option("server: dollars after which nothing more is asked; needs --price", None)
    extra_body: str | None = option("server: more fields of every request, as a JSON object", None, metavar="JSON")


@dataclass(kw_only=True)
class Options(ModelOptions, AdapterOptions, TaskOptions, ScoringOptions, HardwareOptions, VllmOptions, ServerOptions):
    """Flags of ``paft sweep``."""

    split: Literal["train", "validation", "test"] = option("which rows", "test")
    prompts: str = option("prompts unseen in training: JSON lines, 'bundled' or 'bundled:hostile'", metavar="FILE")
    output: str = option("folder for the cells and summary.json; one with the same sweep is continued", metavar="DIR")
    limit: int | None = option("a uniform sample of so many examples, the same for every model", None)
    top: float | None = option("accuracy from which a prompt counts as a top prompt; by default the task's", None)
    on_long: Literal["error", "drop"] = option("what to do with an example that is too long under some prompt", "error")
    allow_overlap: bool = option("measure also with prompts that the run was trained on", False)
    quick: bool | float = option(
        "estimate mean and spread from a part of the cells, with 95% intervals: alone, a tenth and at least 20 answers "
        "a prompt; or a share such as 0.2, or a number of cells",
        False,
        metavar="SHARE",
    )
    fail_under_min: float | None = option(
        "exit with 1 if the worst prompt's accuracy is below this, such as 0.7", None, metavar="X"
    )
    show: int = option("how many of the best and of the worst prompts to list", 5)
    seed: int = option("of the interval's bootstrap draws and of --quick's choice; the answers involve no chance", 0)


def run(options: Options) -> int:
    for flag, value in (("--top", options.top), ("--fail-under-min", options.fail_under_min)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{flag} is an accuracy, a fraction from 0 to 1 such as 0.85; found {value:g}")
    if options.quick is not False and options.fail_under_min is not None:
        raise InputError(
            "--fail-under-min needs the accuracy of every prompt, which --quick does not give; leave one out"
        )
    if options.show < 1:
        raise InputError(f"--show must be at least 1, found {options.show}")
    if options.seed < 0:
        raise InputError(f"--seed must be at least 0, found {options.seed}")
    task = load_task(options.task, options.data)
    prompts = find_prompts(options.prompts, task.name, "test")

    from paft.evaluation import sweep
    from paft.report.tables import extremes_table, sweep_lines

    hush_weights()
    result = sweep(
        measured_model(options),
        task,
        prompts,
        options.split,
        adapter=options.adapter,
        output=options.output,
        limit=options.limit,
        top=options.top,
        allow_overlap=options.allow_overlap,
        on_long=options.on_long,
        seed=options.seed,
        **answering(options),
        say=say,
        quick=options.quick,
    )
    whole = "quick" not in result.summary
    if leads() and whole:
        console().print(extremes_table(result.per_prompt, {p.id: p.text for p in prompts}, options.show))
    if leads():
        for line in sweep_lines(result.summary):
            say(line)
        say(f"{options.output}: summary.json and every answer in cells/ ({result.summary['seconds']:.1f} s)")
    if options.backend == "server":
        say(spent_line(result.summary))
    if whole:
        gate(result.min, result.worst[0], options.fail_under_min)
    return 0


def measured_model(options: Options) -> str | ServerModel | VllmModel:
    """What ``sweep`` takes as the model: its name, or what runs it."""
    for backend, group in (("server", ServerOptions), ("vllm", VllmOptions)):
        for field in dataclasses.fields(group):
            given = field.name != "backend" and getattr(options, field.name) != field.default
            if given and options.backend != backend:
                raise InputError(f"--{field.name.replace('_', '-')} goes with --backend {backend}")
    if options.backend == "local":
        return options.model
    if options.backend == "vllm":
        return vllm_model(options.model, options)
    if options.base_url is None:
        raise InputError("--backend server needs --base-url, such as http://localhost:8000/v1")

    from paft.evaluation import ServerModel

    return ServerModel(
        options.model,
        options.base_url,
        api=options.api,
        api_key_env=options.api_key_env,
        concurrency=options.concurrency,
        price=read_price(options.price),
        max_cost=options.max_cost,
        requests_per_minute=options.requests_per_minute,
        timeout=options.timeout,
        extra_body=read_object("--extra-body", options.extra_body, '{"seed": 1}'),
    )


def read_price(text: str | None) -> Price | None:
    """``0.15,0.60``: dollars per million tokens of prompts and of completions."""
    if text is None:
        return None
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        prompt = completion = -1.0
    if not (0 <= prompt < math.inf and 0 <= completion < math.inf):
        raise InputError(
            f"--price: expected dollars per million tokens, of prompts and of completions, such as 0.15,0.60; "
            f"found {text!r}"
        )
    return Price(prompt, completion)


def spent_line(summary: Mapping[str, Any]) -> str:
    """What a server was asked for."""
    tokens = summary["tokens"]
    about = "about " if tokens["estimated"] else ""
    cost = "" if summary["cost"] is None else f", ${summary['cost']:.4f}"
    return (
        f"{summary['requests']:,} requests, {about}{tokens['prompt']:,} prompt tokens and "
        f"{tokens['completion']:,} completion tokens{cost}"
    )


def gate(lowest: float, prompt_id: str, asked: float | None) -> None:
    """Raise GateError if the worst prompt is below the accuracy asked for."""
    if asked is not None and lowest < asked:
        raise GateError(f"the worst prompt, {prompt_id}, has accuracy {lowest:.4g}, below --fail-under-min {asked:g}")


class SweepVerb(SimpleVerb):
    """A verb that may be started as several processes, which share the work."""

    def run(self, argv: Sequence[str]) -> int:
        return together(lambda: super(SweepVerb, self).run(argv))


VERB = SweepVerb(
    name="sweep",
    summary="Measure a model over many prompts: mean, spread, worst prompt; every answer is kept.",
    example=(
        "paft sweep --model runs/trec --task task.yaml --data data --prompts prompts/test.jsonl --output sweeps/trec\n"
        "paft sweep ... --fail-under-min 0.7      # exits with 1 if the worst prompt is below 70%\n"
        "paft sweep --backend server --base-url http://localhost:8000/v1 --model NAME ...   # a model that is served"
    ),
    options=Options,
    action=run,
)
