"""``paft merge``: an adapter merged into a plain model folder."""

from __future__ import annotations

from dataclasses import dataclass

from paft.cli.options import option
from paft.cli.quiet import hush_weights, say
from paft.cli.shared import AdapterOptions, HardwareOptions, ModelOptions
from paft.cli.verb import SimpleVerb


@dataclass(kw_only=True)
class Options(ModelOptions, AdapterOptions, HardwareOptions):
    """Flags of ``paft merge``."""

    output: str = option("folder for the merged model; it must not exist, or be empty", metavar="DIR")
    device: str = option("where to merge: cpu, cuda, ...", "cpu")


def run(options: Options) -> int:
    from paft.training import merge

    hush_weights()
    folder = merge(
        options.model,
        options.output,
        adapter=options.adapter,
        dtype=options.dtype,
        device=options.device,
        trust_remote_code=options.trust_remote_code,
    )
    say(f"{folder}: a plain model folder, adapter and base in one")
    return 0


VERB = SimpleVerb(
    name="merge",
    summary="Merge an adapter into its base model and write a plain model folder that needs no PEFT.",
    example="paft merge --model runs/trec --output models/trec",
    options=Options,
    action=run,
)
