"""The flags of ``paft train`` that are kept: fast, the same as those of the classes, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paft.cli.help import default_text, verb_help
from paft.cli.options import Option
from paft.cli.train import VERB
from paft.cli.training_flags import _from_classes, training_groups

PROGRAM = (
    "import sys; from paft.cli.main import main; code = main(sys.argv[1:]); "
    "heavy = {'torch', 'transformers', 'peft', 'datasets', 'matplotlib'} & set(sys.modules); "
    "sys.exit(f'imported {heavy}' if heavy else code)"
)
VALUES = ["3", "0.5", "-1", "true", "no", "none", "", "steps", "adamw_torch", "nan", "words", None, ["a", "b"], ["3"]]
VALUES += [["none"], [], {"a": 1}, 2, 0.25, True]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept(cache: Path) -> Path:
    """The one file in the cache."""
    [found] = (cache / "paft").iterdir()
    return found


def as_seen(item: Option) -> tuple[Any, ...]:
    """All that a flag shows to a user and does with a value."""
    looks = (item.name, item.spellings, item.help, default_text(item), item.choices, item.expected)
    return (*looks, item.is_switch, item.is_list, [outcome(item, value) for value in VALUES])


def outcome(item: Option, value: Any) -> Any:
    try:
        made = item.convert(value)
    except ValueError as bad:
        return f"refused: {bad}"
    return type(made).__name__, made


def test_what_is_kept_is_what_the_classes_say(cache: Path) -> None:
    plain = [(group.title, [as_seen(item) for item in group.options]) for group in _from_classes()]
    for _ in range(2):  # made, then read
        found = [(group.title, [as_seen(item) for item in group.options]) for group in training_groups()]
        assert found == plain
    assert sum(len(items) for _, items in plain) > 100
    assert kept(cache).name.startswith("training-flags-")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["train", "--help"], 0, "--weight-decay X"),
        (["train", "--lerning-rate", "1"], 2, "unknown flag --lerning-rate for paft train; did you mean --learning"),
        (["train", "--learning-rate", "fast"], 2, "--learning-rate: expected a number, found 'fast'"),
        (["train", "--eval-strategy", "often"], 2, "--eval-strategy: expected one of no, steps, epoch, found 'often'"),
        (["train", "--seed", "1"], 2, "paft train needs --model and --task and --output"),
    ],
)
def test_help_and_refusals_load_nothing_heavy(words: list[str], code: int, said: str, cache: Path) -> None:
    training_groups()
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "imported" not in done.stderr


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def other_json(path: Path) -> None:
    path.write_text('[{"title": "how to train", "options": []}, {"title": "every other", "options": [{"name": 1}]}]')


def nothing_in_it(path: Path) -> None:
    path.write_text("[]")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\x00\xfe")


@pytest.mark.parametrize("damage", [cut_short, other_json, nothing_in_it, no_text])
def test_a_damaged_file_is_written_again(damage: Callable[[Path], None], cache: Path) -> None:
    right = verb_help("train", "", "", training_groups())
    whole = kept(cache).read_bytes()
    damage(kept(cache))
    assert verb_help("train", "", "", training_groups()) == right
    assert kept(cache).read_bytes() == whole


def test_a_cache_that_cannot_be_written_or_read_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    assert "--weight-decay X" in VERB.help()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    training_groups()
    path = kept(tmp_path)
    path.unlink()
    path.mkdir()  # a folder stands where the file should
    assert "--weight-decay X" in VERB.help()
    assert path.is_dir()


def test_a_relative_cache_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    training_groups()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert kept(tmp_path / "home" / ".cache").is_file()


def test_another_version_or_source_is_another_file(tmp_path: Path) -> None:
    seen = {fingerprint(tmp_path / "nothing")}
    for version, source in (("99.0", "a = 1"), ("99.1", "a = 1"), ("99.1", "a = 2")):
        folder = tmp_path / f"{version}{source}"
        (folder / f"transformers-{version}.dist-info").mkdir(parents=True)
        (folder / f"transformers-{version}.dist-info" / "METADATA").write_text(
            f"Name: transformers\nVersion: {version}\n"
        )
        (folder / "transformers").mkdir()
        for name in ("__init__.py", "trainer_utils.py", "training_args.py"):
            (folder / "transformers" / name).write_text(source)
        seen.add(fingerprint(folder))
    assert len(seen) == 4
    assert fingerprint(tmp_path / "nothing") in seen


def fingerprint(first: Path) -> str:
    """What the flags are kept by, with ``first`` at the head of the path."""
    path = os.pathsep.join([str(first), os.environ.get("PYTHONPATH", "")])
    program = "from paft.cli.training_flags import _fingerprint; print(_fingerprint())"
    call = [sys.executable, "-c", program]
    return subprocess.run(
        call, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path}
    ).stdout
