"""``paft prompts stats`` and ``paft prompts split --stratify``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paft.prompts import PromptSet, compare_sides, diversity
from paft.prompts.diversity import count_tokens
from paft.tasks import load_task

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TREC = EXAMPLES / "trec" / "prompts.jsonl"


@pytest.fixture
def parts(paft: Callable, tmp_path: Path) -> Path:
    """A folder with the TREC prompts split by source."""
    done = paft("prompts", "split", TREC, "--test", 50, "--stratify", "source", "--output", tmp_path / "parts")
    assert (done.code, done.err) == (0, "")
    assert "10 sources; furthest from its share: bundled / chatty, with 5 of its 21 prompts" in done.out
    return tmp_path / "parts"


def test_json_is_what_python_gives(paft: Callable, parts: Path) -> None:
    words = ("--test", parts / "test.jsonl", "--task", EXAMPLES / "trec" / "task.yaml", "--format", "json")
    found = paft("prompts", "stats", parts / "train.jsonl", *words)
    assert (found.code, found.err) == (0, "")
    train, test = (PromptSet.load(parts / f"{side}.jsonl") for side in ("train", "test"))
    figures = diversity(train, load_task(EXAMPLES / "trec" / "task.yaml"))
    expected = {"set": figures.row(), "sides": compare_sides(train, test).row()}
    assert json.loads(found.out) == json.loads(json.dumps(expected))
    assert set(expected["set"]) == {
        "size", "chat", "slots", "words", "characters", "layouts", "common_layouts",
        "similarity", "distinct", "tokens", "budget", "sources",
    }  # fmt: skip


def test_sides_of_one_file_and_of_two_are_the_same(paft: Callable, parts: Path) -> None:
    both = parts / "both.jsonl"
    both.write_text((parts / "train.jsonl").read_text() + (parts / "test.jsonl").read_text())
    one = json.loads(paft("prompts", "stats", both, "--format", "json").out)
    two = json.loads(
        paft("prompts", "stats", parts / "train.jsonl", "--test", parts / "test.jsonl", "--format", "json").out
    )
    assert one["sides"] == two["sides"]
    assert (one["set"]["size"], two["set"]["size"]) == (210, 160)
    assert json.loads(paft("prompts", "stats", TREC, "--format", "json").out)["sides"] is None


def test_tables_say_the_main_figures(paft: Callable, parts: Path) -> None:
    picture = parts / "map.png"
    found = paft("prompts", "stats", parts / "train.jsonl", "--test", parts / "test.jsonl", "--plot", picture)
    assert (found.code, found.err) == (0, "")
    figures = diversity(PromptSet.load(parts / "train.jsonl"))
    assert f"{figures.similarity_mean:.3f}" in found.out
    assert " / ".join(f"{value:.3f}" for value in figures.distinct) in found.out
    for words in ("{text}", "terse 10%", "160 training and 50 test prompts", "MMD²", f"wrote {picture}"):
        assert words in found.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert max(map(len, found.out.splitlines())) <= 100


def test_another_set_beside_it_over_equal_tokens(paft: Callable) -> None:
    other = EXAMPLES / "sst2" / "prompts.jsonl"
    rows = json.loads(paft("prompts", "stats", TREC, "--against", other, "--format", "json", "--seed", 4).out)
    least = min(count_tokens(PromptSet.load(path)) for path in (TREC, other))
    assert rows["set"] == json.loads(json.dumps(diversity(PromptSet.load(TREC), tokens=least, seed=4).row()))
    assert rows["set"]["budget"] == rows["against"]["budget"] == least
    table = paft("prompts", "stats", TREC, "--against", other)
    assert "trec/prompts.jsonl" in table.out
    assert "sst2/prompts.jsonl" in table.out
    assert f"over {least:,} tokens" in table.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--tokens", "0"], "--tokens must be from 1 to"),
        (["--tokens", "99999999"], "--tokens must be from 1 to"),
        (["--plot", "map.jpeg"], "written as .png, .svg, .pdf"),
        (["--plot", "map"], "written as .png, .svg, .pdf"),
        (["--test", "none.jsonl"], "no such file"),
        (["--against", "none.jsonl"], "no such file"),
        (["--task", "pigqa"], "pigqa"),
    ],
)
def test_wrong_calls(
    paft: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = paft("prompts", "stats", TREC, *words)
    assert (found.code, found.out) == (2, "")
    assert complaint in found.err
    assert len(found.err.splitlines()) <= 3
    assert not list(tmp_path.iterdir())


def test_small_and_odd_sets(paft: Callable, tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be [bold]brief[/bold]."}, {"role": "user", "content": "{text}?"}]
    rows = {
        "one": [{"text": "{text}"}],
        "none": [{"text": "no slot"}],
        "chat": [{"text": chat}],
        "same": [{"id": str(i), "text": "Say {text}:", "split": side} for i, side in enumerate(["train", "test"] * 2)],
    }
    for name, prompts in rows.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in prompts))
        for words in ([], ["--format", "json"], ["--plot", tmp_path / f"{name}.svg"], ["--against", path]):
            found = paft("prompts", "stats", path, *words)
            assert (found.code, found.err) == (0, ""), (name, words)
    same = json.loads(paft("prompts", "stats", tmp_path / "same.jsonl", "--format", "json").out)
    assert same["set"]["similarity"] == {"mean": 1.0, "q95": 1.0}
    assert (same["sides"]["nearest_max"], same["sides"]["p_value"]) == (1.0, 1.0)
    assert "1, 1 of them chats" in paft("prompts", "stats", tmp_path / "chat.jsonl").out
    lonely = paft("prompts", "stats", tmp_path / "one.jsonl", "--test", tmp_path / "none.jsonl").out
    assert "needs two prompts on each side" in lonely
    (tmp_path / "empty.jsonl").write_text("")
    assert "no prompts in it" in paft("prompts", "stats", tmp_path / "empty.jsonl").err


def test_without_sources_the_split_says_so(paft: Callable, case) -> None:
    words = ("--test", 1, "--stratify", "source", "--output", case.folder / "parts")
    found = paft("prompts", "split", case.train_prompts, *words)
    assert found.code == 0
    assert "note: no prompt names its source" in found.out
    assert paft("prompts", "split", case.train_prompts, *words[:2], "--stratify", "model", "--output", "x").code == 2
