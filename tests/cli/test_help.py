"""What ``--help`` says, and that every promised flag is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from paft.cli.main import PROMPT_VERBS, VERBS, find_verb

# the flags that scripts outside the project rely on
PROMISED = {
    "prompts generate": "--task --data --providers --output --per-strategy --total --strategies --seed-prompts --avoid "
    "--language --max-tokens --max-cost --concurrency --threshold --seed --dry-run",
    "prompts import": "--output",
    "prompts check": "--task --threshold --format",
    "prompts split": "--test --ratio --seed --stratify --output",
    "prompts show": "",
    "prompts stats": "--test --against --task --tokens --plot --format --seed",
    "prompts export": "--format --output --task --data --split --limit",
    "prompts render": "--task --data --prompts --prompt-id --example --model",
    "select": "--model --task --data --prompts --method --output --examples --halving --embeddings --providers --seed "
    "--split --limit --scoring --normalize --max-length --batch-tokens --on-long --dtype --device --chat "
    "--trust-remote-code",
    "train": "--model --task --data --prompts --output --method --prompt-id --selection --examples-per-prompt "
    "--num-train-epochs --max-length --limit --full --lora-r --lora-targets --resume --seed --batch-tokens --dtype "
    "--device --eval-prompts --qlora --lora-alpha --chat --trust-remote-code --output-dir --learning-rate --report-to",
    "sweep": "--model --adapter --task --data --split --prompts --output --scoring --limit --top --allow-overlap "
    "--fail-under-min --normalize --max-length --batch-tokens --dtype --device --seed --trust-remote-code",
    "compare": "--output --model --task --data --prompts --unseen --user-prompt --usage --methods --seeds --split "
    "--limit --train --sweep --select --sweeps --ablations --tasks --dry-run",
    "report": "--output --formats --task",
    "predict": "--model --adapter --task --data --prompts --prompt-id --output --batch-tokens --dtype --device",
    "merge": "--model --adapter --output",
    "init": "--output",
    "env": "",
    "demo": "--output --seed",
}


def names() -> list[str]:
    return [name for name in VERBS if name != "prompts"] + [f"prompts {name}" for name in PROMPT_VERBS]


def test_every_verb_is_promised_and_the_other_way_round() -> None:
    assert set(names()) == set(PROMISED)


@pytest.mark.parametrize("name", names())
def test_flags_are_there_in_both_spellings(name: str) -> None:
    verb, _ = find_verb(name.split())
    text = verb.help()
    flags = ["--config", *PROMISED[name].split()]
    for flag in flags:
        assert flag in text, flag
    spellings = _spellings(name)
    for flag in PROMISED[name].split():
        assert {flag, "--" + flag[2:].replace("-", "_")} <= spellings


def _spellings(name: str) -> set[str]:
    from paft.cli import train
    from paft.cli.options import options_of

    verb, _ = find_verb(name.split())
    groups = [g.options for g in train._groups()] if name == "train" else [options_of(verb.options)]
    return {spelling for group in groups for item in group for spelling in item.spellings}


@pytest.mark.parametrize("name", names())
def test_help_reads_well(name: str) -> None:
    verb, _ = find_verb(name.split())
    lines = verb.help().splitlines()
    assert lines[0].endswith((".", ")"))
    assert f"usage: paft {name}" in verb.help()
    assert f"  paft {name}" in verb.help()
    assert max(map(len, lines)) <= 125


def test_every_option_has_a_help_text() -> None:
    from paft.cli import train
    from paft.cli.options import options_of

    for name in names():
        verb, _ = find_verb(name.split())
        groups = [g.options for g in train._groups()[:2]] if name == "train" else [options_of(verb.options)]
        for item in (item for group in groups for item in group):
            assert len(item.help) > 5, (name, item.name)


def test_train_shows_its_own_options_before_those_of_transformers() -> None:
    text = find_verb(["train"])[0].help()
    own, _, theirs = text.partition("every other field of transformers.TrainingArguments:")
    assert "--examples-per-prompt N" in own
    assert "--learning-rate X" in own
    assert "(default: 0.0001)" in own
    assert "--weight-decay X" in theirs
    assert "--examples-per-prompt" not in theirs


def test_train_takes_every_field_of_training_arguments() -> None:
    import dataclasses

    from transformers import TrainingArguments

    offered = _spellings("train")
    fields = {f.name for f in dataclasses.fields(TrainingArguments) if f.init}
    missing = {name for name in fields if f"--{name}" not in offered}
    assert missing == {"parallelism_config"}  # an object with no written form


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["prompts", "--help"], ["sweep", "--help"], ["demo", "-h"]]
)
def test_help_needs_no_torch(words: list[str]) -> None:
    program = (
        "import sys; from paft.cli.main import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'datasets', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "paft" in done.stdout
