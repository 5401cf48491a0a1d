"""WinoGrande: a sentence with a blank and two names or nouns for it (Sakaguchi et al., 2020).

Official files: ``train_{xs,s,m,l,xl}.jsonl``, ``dev.jsonl``, each with ``-labels.lst``. The sizes are nested, so
the largest that is present is the training split, and ``Task.source`` says which. Hub rows: sentence, option1,
option2, answer ("1", "2", or "" where it is kept back), in a folder per size. The blank ``_`` stays in the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paft.tasks.base import Task
from paft.tasks.benchmark import Asked, gold_index, question_reader, reader
from paft.tasks.rows import cell
from paft.tasks.sources import FileSource, Groups, HubSource, find_data, find_splits, nothing_fits, one_file, only

SIZES = ("debiased", "xs", "s", "m", "l", "xl")
CONFIGS = tuple(f"winogrande_{size}" for size in SIZES)
LAYOUT = "train_xl.jsonl (or l, m, s, xs) and dev.jsonl, or parquet as winogrande_xl/train-00000-of-00001.parquet"
PROMPT = """The sentence has a blank, written as an underscore. Which option belongs there?

Sentence: {prompt}
A. {only_option1}
B. {only_option2}

Reply with the letter of the option.
Answer:"""
ALIASES = {"sentence": "prompt", "option1": "only_option1", "option2": "only_option2"}
_SIZE = re.compile(r"(?:train|winogrande)_(debiased|xs|s|m|l|xl)(?![a-z])")


def ask(where: str, row: Mapping[str, Any]) -> Asked:
    given = {alias: cell(where, row, alias) for alias in ALIASES}
    return {**{ALIASES[alias]: text for alias, text in given.items()}, **given}, (given["option1"], given["option2"])


def gold(where: str, row: Mapping[str, Any]) -> int:
    return gold_index(where, row, "answer", ("1", "2"), "WinoGrande")


def _size(files: tuple[Path, ...]) -> str | None:
    match = _SIZE.search(f"{files[0].parent.name}/{files[0].stem}")
    return match[1] if match else None


def _largest(groups: Groups) -> tuple[Groups, str]:
    """For each split the group of the largest size where all its groups have one; and what to say of it."""
    chosen, note = dict(groups), ""
    for split, several in groups.items():
        sizes = {size: files for files in several if (size := _size(files))}
        if len(sizes) != len(several):
            continue
        ranked = sorted(sizes, key=SIZES.index)
        chosen[split] = [sizes[ranked[-1]]]
        if split == "train":
            note = f"train: size {ranked[-1]}" + (f", the largest of {', '.join(ranked)}" if len(ranked) > 1 else "")
    return chosen, note


def _source(path: Path) -> FileSource:
    if path.is_file():
        return one_file(path, "answer")
    groups = find_splits(path, CONFIGS)
    if not groups:
        raise nothing_fits("winogrande", path, LAYOUT)
    chosen, note = _largest(groups)
    return FileSource(path, only(chosen, path), label_key="answer", note=note)


def winogrande(data: str | Path | None = None) -> Task:
    """The task; ``data`` is a folder, a file or a hub id (``allenai/winogrande``: size xl, or ``:winogrande_m``)."""
    found = find_data(data, config="winogrande_xl") if data is not None else None
    source = found if found is None or isinstance(found, HubSource) else _source(found)
    return Task(
        name="winogrande",
        type="choice",
        slots={
            "prompt": "a sentence with a blank, written as an underscore",
            "only_option1": "the first name or noun for the blank",
            "only_option2": "the second name or noun for the blank",
        },
        aliases=ALIASES,
        answers=("A", "B"),
        choices=("only_option1", "only_option2"),
        top_threshold=0.8,
        user_prompt=PROMPT,
        description="Common sense: of two names or nouns, choose the one that fills the blank of a sentence.",
        source=source.description if source else "",
        read=reader(source, ask, gold) if source else None,
        read_questions=question_reader(ask),
    )
