"""``paft train``: fine-tune a model while the prompt changes."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.cli.help import verb_help
from paft.cli.options import option, options_of
from paft.cli.parser import Group, Parser
from paft.cli.quiet import hush_weights, say
from paft.cli.several import leads, together
from paft.cli.shared import ModelOptions, TaskOptions
from paft.cli.training_flags import training_groups
from paft.defaults import TrainingMethod
from paft.errors import InputError, PaftError
from paft.tasks import Task, load_task

NAME = "train"
SUMMARY = "Fine-tune a model on a task while the wording of its prompt changes; LoRA unless --full is given."
EXAMPLE = (
    "paft train --model meta-llama/Llama-3.2-1B --task task.yaml --data data \\\n"
    "    --prompts prompts/train.jsonl --output runs/mine --num-train-epochs 3"
)


@dataclass(kw_only=True)
class Options(ModelOptions, TaskOptions):
    """Flags of ``paft train`` besides the fields of ``PaftConfig``."""

    prompts: str | None = option(
        "the prompts to train on, JSON lines, or 'bundled'; not needed by --method user", None, metavar="FILE"
    )
    eval_prompts: str | None = option("unseen prompts to validate with during training", None, metavar="FILE")
    output: str = option("the run folder; one with the same work is continued", metavar="DIR", alias="output_dir")
    method: TrainingMethod = option(
        "paft draws prompts anew, static-mix pairs each example with one prompt, user trains on one prompt", "paft"
    )
    prompt_id: str | None = option(
        "the one prompt of --method user; by default the task's user_prompt", None, metavar="ID"
    )
    selection: str | None = option("a selection.json that names the one prompt of --method user", None, metavar="FILE")
    limit: int | None = option("most training examples, a uniform sample; 20000 where not given, as in the paper", None)
    full: bool = option("train all weights rather than a LoRA adapter", False)
    qlora: bool = option("train the adapter on 4-bit weights; needs a CUDA GPU and paft[qlora]", False)
    lora_r: int = option("rank of the adapter", 8)
    lora_alpha: int = option("scale of the adapter", 16)
    lora_dropout: float = option("dropout inside the adapter", 0.0)
    lora_targets: str = option(
        "layers with an adapter: auto (query and value where they exist), all-linear, or names such as q_proj,v_proj",
        "auto",
    )
    resume: bool = option("go on from the newest complete checkpoint in --output", False)
    device: str = option("auto, cpu, cuda, mps", "auto")
    trust_remote_code: bool = option("let a model folder run Python code of its own", False)


class TrainVerb:
    """The verb whose options are ``Options`` and every field of ``PaftConfig``."""

    name = NAME

    def help(self) -> str:
        return verb_help(NAME, SUMMARY, EXAMPLE, _groups())

    def run(self, argv: Sequence[str]) -> int:
        return together(lambda: self._run(argv))

    def _run(self, argv: Sequence[str]) -> int:
        values = Parser(NAME, _groups()).parse(argv)
        own = {f.name for f in dataclasses.fields(Options)}
        options = Options(**{name: value for name, value in values.items() if name in own})
        return run(options, {name: value for name, value in values.items() if name not in own})


def run(options: Options, training: dict[str, Any]) -> int:
    """Train, then say where the result is and how to sweep it."""
    task = load_task(options.task, options.data)
    _refuse_contradictions(options, training)

    from paft.training import train

    hush_weights()
    keep = {f.name for f in dataclasses.fields(Options)} - {"task", "data"}
    given = {name: getattr(options, name) for name in keep}
    result = train(task=task, **given, **training)
    if leads():
        what = "the model" if options.full else "the adapter"
        loss = "" if result.final_loss is None else f", last loss {result.final_loss:.4f}"
        say(f"{what} is in {result.output_dir} ({result.steps} steps, {result.seconds:.1f} s{loss})")
        say("measure it over unseen prompts:")
        say(f"  {sweep_command(options, training, task)}")
    return 0


def sweep_command(options: Options, training: dict[str, Any], task: Task) -> str:
    """The call that sweeps the run, with the test prompts beside the training prompts if there are any."""
    unseen = _test_prompts(options.prompts)
    words = ["paft", "sweep", "--model", options.output, "--task", options.task]
    words += ["--data", options.data] if options.data is not None else []
    words += ["--split", _split(task), "--prompts", unseen or "UNSEEN.jsonl", "--output", f"{options.output}-sweep"]
    for name in ("max_length", "dtype"):
        words += [f"--{name.replace('_', '-')}", str(training[name])] if name in training else []
    words += ["--device", options.device] if options.device != "auto" else []
    words += ["--trust-remote-code"] if options.trust_remote_code else []
    return shlex.join(words)


def _refuse_contradictions(options: Options, training: dict[str, Any]) -> None:
    if options.prompt_id is not None and options.selection is not None:
        raise InputError("--prompt-id and --selection both name the one prompt; give one of them")
    if training.get("resume_from_checkpoint") is not None:
        raise InputError("--resume-from-checkpoint: give --resume, which takes the newest complete one in --output")


def _test_prompts(trained_on: str | None) -> str | None:
    """``test.jsonl`` beside ``train.jsonl``, where it is there."""
    if trained_on is None:
        return None
    path = Path(trained_on)
    sibling = path.with_name(path.name.replace("train", "test"))
    return str(sibling) if sibling != path and sibling.is_file() else None


def _split(task: Task) -> str:
    """``test`` where the task has it, else ``validation``."""
    try:
        task.examples("test")
    except PaftError:
        return "validation"
    return "test"


def _groups() -> list[Group]:
    return [Group("what to train, on what", options_of(Options)), *training_groups()]


VERB = TrainVerb()
