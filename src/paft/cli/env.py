"""``paft env``: versions and hardware."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from paft.cli.options import option
from paft.cli.quiet import say
from paft.cli.verb import SimpleVerb

PACKAGES = (
    "paft",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "pyarrow",
    "numpy",
    "rich",
    "rapidfuzz",
    "openpyxl",
    "matplotlib",
    "bitsandbytes",
)


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft env``."""

    format: Literal["text", "json"] = option("lines for people or JSON", "text")


def run(options: Options) -> int:
    facts = facts_of_machine()
    if options.format == "json":
        say(json.dumps(facts, indent=2))
        return 0
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        say(f"{name.ljust(width)}{value}")
    return 0


def facts_of_machine() -> dict[str, str]:
    """What a bug report needs: nothing in it names the user or the machine."""
    facts = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    facts |= {name: _version(name) for name in PACKAGES}
    facts["cpu cores"] = str(os.cpu_count())
    return facts | _torch_facts()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _torch_facts() -> dict[str, str]:
    try:
        import torch
    except ImportError as bad:
        return {"torch problem": str(bad)}
    facts = {"torch threads": str(torch.get_num_threads()), "cuda": str(torch.version.cuda or "no")}
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        facts[f"gpu {index}"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        facts["gpu"] = "Apple MPS"
    return facts


VERB = SimpleVerb(
    name="env",
    summary="Print versions and hardware: what a bug report needs.",
    example="paft env",
    options=Options,
    action=run,
)
