"""``paft prompts split``: train and test prompts without near-copies across."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paft.cli.options import option
from paft.cli.outputs import save_prompt_sets
from paft.cli.quiet import say
from paft.cli.verb import SimpleVerb
from paft.errors import InputError
from paft.prompts import SplitResult, find_prompts


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft prompts split``."""

    file: str = option("the prompt set, JSON lines", positional=True)
    output: str = option("folder that train.jsonl and test.jsonl are written to", metavar="DIR")
    test: int | None = option("number of test prompts", None)
    ratio: str | None = option("train to test, such as 8:1; instead of --test", None)
    seed: int = option("decides which prompts are for testing", 0)
    threshold: float = option("similarity from which prompts stay on one side", 0.9)
    stratify: Literal["source"] | None = option("source: each side holds every source in proportion", None)


def run(options: Options) -> int:
    if (options.test is None) == (options.ratio is None):
        raise InputError("paft prompts split needs either --test N or --ratio TRAIN:TEST")
    prompts = find_prompts(options.file)
    parts = prompts.split(options.test, options.ratio, options.seed, options.threshold, options.stratify)
    folder = Path(options.output)
    save_prompt_sets({folder / "train.jsonl": parts.train, folder / "test.jsonl": parts.test})
    say(f"{folder / 'train.jsonl'}: {len(parts.train)} prompts")
    say(f"{folder / 'test.jsonl'}: {len(parts.test)} prompts")
    if parts.groups:
        say(f"{parts.grouped} prompts in {parts.groups} groups of near-copies were each kept on one side")
    if len(parts.strata) > 1:
        say(_balance(parts))
    for note in parts.notes:
        say(f"note: {note}")
    return 0


def _balance(parts: SplitResult) -> str:
    """How near to proportional the test prompts are over the sources."""
    share = len(parts.test) / (len(parts.train) + len(parts.test))
    off = max(parts.strata, key=lambda each: abs(each.test - share * (each.train + each.test)))
    whole = off.train + off.test
    return (
        f"{len(parts.strata)} sources; furthest from its share: {off.name}, with {off.test} of its {whole} prompts on "
        f"the test side where {share * whole:.1f} would be in proportion"
    )


VERB = SimpleVerb(
    name="prompts split",
    summary="Part a prompt set into train and test prompts; near-copies go to one side together.",
    example="paft prompts split prompts.jsonl --test 50 --stratify source --output prompts",
    options=Options,
    action=run,
)
