"""Flags, positionals and the ``--config`` file of one verb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from paft.cli.options import option, options_of
from paft.cli.parser import Group, Parser
from paft.errors import DataError, InputError, MissingFileError


@dataclass(kw_only=True)
class Things:
    file: str = option("a file", positional=True)
    max_length: int = option("a length", 10)
    ratio: str | None = option("a ratio", None)
    kind: Literal["big", "small"] = option("a kind", "big")
    fast: bool = option("a switch", False)
    warm: bool = option("a switch that is on", True)
    names: list[str] | None = option("names", None)
    extra: dict | str | None = option("more", None)
    output: str | None = option("where", None, alias="output_dir")


def parse(*words: str) -> dict[str, Any]:
    return Parser("thing", [Group("options", options_of(Things))]).parse(words)


def refusal(*words: str) -> str:
    with pytest.raises(InputError) as bad:
        parse(*words)
    return str(bad.value)


def test_both_spellings() -> None:
    assert parse("f", "--max-length", "3") == parse("f", "--max_length=3") == {"file": "f", "max_length": 3}


def test_a_positional_may_stand_anywhere() -> None:
    assert parse("--max-length", "3", "f") == parse("f", "--max-length", "3")
    assert parse("--", "f") == {"file": "f"}


def test_switches() -> None:
    assert parse("f", "--fast", "--no-warm") == {"file": "f", "fast": True, "warm": False}
    assert parse("f", "--fast", "false", "--no_warm") == {"file": "f", "fast": False, "warm": False}


def test_lists_and_aliases() -> None:
    assert parse("f", "--names", "a", "b", "--output_dir", "o") == {"file": "f", "names": ["a", "b"], "output": "o"}


def test_abbreviations_are_off_and_the_nearest_flag_is_named() -> None:
    assert refusal("f", "--max-len", "3") == "unknown flag --max-len for paft thing; did you mean --max-length?"
    assert refusal("f", "--nothing-alike", "3") == "unknown flag --nothing-alike for paft thing; see paft thing --help"


def test_what_is_missing_or_too_much() -> None:
    assert refusal("--max-length", "3") == "paft thing needs FILE; see paft thing --help"
    assert "does not know what to do with 'g'" in refusal("f", "g")
    assert "--max-length" in refusal("f", "--max-length")


def test_a_wrong_value_names_the_flag() -> None:
    assert refusal("f", "--max-length", "x") == "--max-length: expected a whole number, found 'x'"
    assert refusal("f", "--kind", "tiny") == "--kind: expected one of big, small, found 'tiny'"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "file: from-file\nmax-length: 5\nratio: 8:1\nwarm: no\noutput_dir: here\nextra: {lr: 1.5}\nnames: null\n"
    )
    found = parse("--config", str(config), "--max-length", "7")
    expected = {"file": "from-file", "max_length": 7, "ratio": "8:1", "warm": False, "output": "here"}
    assert found == expected | {"extra": {"lr": 1.5}, "names": None}


def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("max_lenght: 5\n")
    assert refusal("f", "--config", str(config)) == (
        f"{config}: unknown key 'max_lenght' for paft thing; did you mean max_length?"
    )


def test_a_wrong_value_in_the_file_names_file_and_key(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("max_length: long\n")
    assert refusal("f", "--config", str(config)) == f"{config}: max_length: expected a whole number, found 'long'"


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "a: [1\n", "x: !!python/object:os.system {}\n"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text)
    with pytest.raises(DataError, match=r"c\.yaml"):
        parse("f", "--config", str(config))


def test_an_empty_file_and_one_that_is_not_there(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("")
    assert parse("f", "--config", str(config)) == {"file": "f"}
    with pytest.raises(MissingFileError):
        parse("f", "--config", str(tmp_path / "none.yaml"))
