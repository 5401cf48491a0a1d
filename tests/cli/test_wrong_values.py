"""Every verb with flags set at random to values that people type by mistake: it works, or says what is wrong."""

from __future__ import annotations

import json
import random
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from paft.cli.main import find_verb
from paft.cli.options import Option
from paft.cli.verb import SimpleVerb

# a call of each verb that would do its work at once; nothing here asks a network
CALLS = {
    "train": "--model MODEL --task task.yaml --prompts prompts-train.jsonl --output OUT --max-steps 1 --device cpu "
    "--save-strategy no",
    "sweep": "--model MODEL --task task.yaml --prompts prompts-test.jsonl --output OUT --device cpu",
    "select": "--model MODEL --task task.yaml --prompts prompts-train.jsonl --output OUT --device cpu --examples 2",
    "compare": "--model MODEL --task task.yaml --prompts prompts-train.jsonl --unseen prompts-test.jsonl --output OUT "
    "--methods base",
    "predict": "test.jsonl --model MODEL --task task.yaml --device cpu",
    "merge": "--model MODEL --output OUT",
    "report": "OUT",
    "init": "table.csv --output OUT",
    "prompts check": "prompts-train.jsonl --task task.yaml",
    "prompts split": "prompts-train.jsonl --test 1 --output OUT",
    "prompts show": "prompts-train.jsonl",
    "prompts stats": "prompts-train.jsonl --task task.yaml",
    "prompts render": "--model MODEL --task task.yaml --prompts prompts-train.jsonl",
    "prompts import": "prompts-train.jsonl --output OUT",
    "prompts export": "prompts-train.jsonl --format csv --output OUT",
    "prompts generate": "--task task.yaml --providers grammar --output OUT --total 2",
}
HEAVY = ("train", "compare")  # a call that is right takes a second
NUMBERS = ("nan", "inf", "-inf", "0", "-1", "1e999", "1e3", "1,5", "five", "99999999999999999999", "0x10", "½", "1_0")
TEXTS = ("", " ", "none", "nowhere", "./nowhere", "words.txt", "folder", "no/such", "a/b/c", "task.yaml", "empty.jsonl")
TEXTS += ("prompts-test.jsonl", "chats.jsonl", "cut.parquet", "words.txt/x", "[", "{", "'", "{foo}", "日本", "-")
# they would ask a network, start a server's client, or take long when they are right
LEFT_OUT = {"backend", "base_url", "push_to_hub", "torch_compile", "torch_compile_backend", "torch_compile_mode"}
LEFT_OUT |= {"model", "dataloader_num_workers", "total", "per_strategy", "num_train_epochs", "max_steps", "limit"}
LEFT_OUT |= {"use_cpu", "embeddings", "accelerator_config", "fsdp", "fsdp_config", "deepspeed", "ddp_backend"}


@pytest.fixture
def place(case, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small task's folder, with files of other kinds beside it; the working directory of the test."""
    here = case.folder
    (here / "words.txt").write_text("hello\n")
    (here / "folder").mkdir()
    (here / "empty.jsonl").write_text("")
    (here / "chats.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    (here / "cut.parquet").write_bytes(b"PAR1\x15\x00")
    (here / "table.csv").write_text("text,kind\n" + "".join(f"the fox {i} jumps,{'cd'[i % 2]}\n" for i in range(20)))
    monkeypatch.chdir(here)
    return here


def options_of(verb: str) -> list[Option]:
    """The flags of a verb, without those that are left out."""
    found, _ = find_verb([*verb.split(), "x"])
    groups = found._groups() if isinstance(found, SimpleVerb) else train_groups()
    flags = {o.name: o for group in groups for o in group.options if not o.positional and o.name not in LEFT_OUT}
    return list(flags.values())


def train_groups():
    from paft.cli.train import _groups

    return _groups()


def wrong_words(item: Option, draw: random.Random) -> list[str]:
    """A flag with a value that is wrong in most cases."""
    if item.is_switch and str not in item.members:
        return [f"{item.flag}={draw.choice(('maybe', '2', '', 'nan'))}"]
    numbers = int in item.members or float in item.members
    value = draw.choice(NUMBERS if numbers and draw.random() < 0.8 else TEXTS)
    return [f"{item.flag}={value}"]


@pytest.mark.parametrize("verb", CALLS)
def test_wrong_values(verb: str, place: Path, paft: Callable, tiny_model_dir: Callable) -> None:
    draw = random.Random(f"wrong values of {verb}")
    options = options_of(verb)
    right = CALLS[verb].replace("MODEL", shlex.quote(str(tiny_model_dir()))).replace("OUT", "out")
    for _ in range(24):
        picked = draw.sample(options, min(len(options), 2 if verb in HEAVY else draw.choice((1, 1, 2))))
        words = [*shlex.split(right), *(word for item in picked for word in wrong_words(item, draw))]
        shutil.rmtree(place / "out", ignore_errors=True)
        (place / "out").unlink() if (place / "out").is_file() else None
        found = paft(*verb.split(), *words)
        call = f"paft {verb} {shlex.join(words)}\n{found.err}"
        assert found.code in (0, 2), call
        assert "Traceback" not in found.err, call
        assert "error: unexpected" not in found.err, call
        if found.code == 2 and verb != "prompts check":  # a check tells of every prompt
            complaint = found.err[found.err.rindex("error: ") :]
            assert len(complaint.splitlines()) <= 3, call


RECORDS = {  # a file of a folder that a verb reads, and the call that reads it
    "sweep.json": "sweep --model MODEL --task task.yaml --prompts prompts-test.jsonl --output done --device cpu",
    "summary.json": "sweep --model MODEL --task task.yaml --prompts prompts-test.jsonl --output done --device cpu",
    "prompts.jsonl": "sweep --model MODEL --task task.yaml --prompts prompts-test.jsonl --output done --device cpu",
    "cells/part-00000.parquet": "sweep --model MODEL --task task.yaml --prompts prompts-test.jsonl --output done "
    "--device cpu",
}


@pytest.mark.parametrize("file", RECORDS)
def test_records_that_somebody_changed(file: str, place: Path, paft: Callable, tiny_model_dir: Callable) -> None:
    words = shlex.split(RECORDS[file].replace("MODEL", shlex.quote(str(tiny_model_dir()))))
    assert paft(*words).code == 0
    whole = (place / "done" / file).read_bytes()
    for wrong in (b"", b"{", b"[]", b"5", b"{}", b"\xff\xfe", whole[: len(whole) // 2], json.dumps("x").encode()):
        (place / "done" / file).write_bytes(wrong)
        found = paft(*words)
        assert found.code in (0, 2), found.err
        assert "error: unexpected" not in found.err
        (place / "done" / file).write_bytes(whole)
