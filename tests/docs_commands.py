"""What the documentation tells a reader to type: shell and Python blocks of the pages, in the order they stand in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from paft.cli.main import find_verb
from paft.cli.parser import Parser
from paft.cli.verb import SimpleVerb
from paft.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if p.is_file()]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = re.compile(r"^examples?:\n(.*?)^$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^\s*(?:\w+=\S+ )?(?:(?:torchrun|accelerate launch) .*-m )?paft (?=[a-z-])(?P<words>.*)")


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, its language (empty where none is named), and its text."""

    page: str
    kind: str
    text: str


def blocks(*kinds: str) -> list[Block]:
    """The blocks of these languages, page by page."""
    found = [
        Block(page.name, match[1], match[2])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if block.kind in kinds]


def joined(text: str) -> list[str]:
    """The lines of a shell text, those that end in a backslash with the next."""
    return text.replace("\\\n", " ").splitlines()


def calls() -> Iterator[tuple[str, str]]:
    """``(page, words)`` of all that runs ``paft``: in shell blocks, indented as code, and as an example of a verb."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = [line for block in blocks("sh", "") if block.page == page.name for line in joined(block.text)]
        found += [line for line in joined(BLOCK.sub("", text)) if line.startswith("    ")]
        for examples in EXAMPLES.findall(text):
            found += [line for line in joined(examples) if line.startswith("  paft ")]
        for line in found:
            if match := CALL.search(line):
                yield page.name, match["words"]


def parse(call: str) -> None:
    """Read the flags of a call as ``paft`` does; ``...`` stands for more of them, and a missing file for none.

    Raises:
        PaftError: a verb or a flag that there is not.
    """
    words = shlex.split(call, comments=True)
    given = [word for word in words if word != "..."]
    if "--config" in given and not Path(given[given.index("--config") + 1]).is_file():
        del given[given.index("--config") : given.index("--config") + 2]
    if given in ([], ["--help"], ["--version"]):
        return
    verb, rest = find_verb(given)
    groups = verb._groups() if isinstance(verb, SimpleVerb) else import_module(type(verb).__module__)._groups()
    try:
        Parser(verb.name, groups).parse(rest)
    except InputError as wrong:
        if given == words or " needs " not in str(wrong):
            raise
