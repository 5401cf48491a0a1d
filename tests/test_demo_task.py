"""The demo's task: its rows come from the tool as they stand, and its templates are distinct and fair."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from rapidfuzz import fuzz

from paft.files import read_jsonl
from paft.prompts import PromptSet
from paft.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "src/paft/resources/demo"
BASE = ROOT / "src/paft/resources/base"
SIZES = {"train": 1000, "validation": 200, "test": 300}
VOICES = {"terse", "formal", "chatty", "teacher", "exam", "json", "steps", "learner", "expert", "question"}


def rows(name: str) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(DEMO / f"{name}.jsonl")]


def settings() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEMO / "task.yaml").read_text(encoding="utf-8"))
    return loaded


def masked(text: str) -> str:
    """A template as similarity sees it."""
    bare = text.replace("{text}", "\x00").replace("{{", "{").replace("}}", "}")
    return " ".join(bare.casefold().split())


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_demo_task", ROOT / "tools/make_demo_task.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_gives_the_committed_bytes(tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["--output", str(tmp_path)])
    for split in SIZES:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (DEMO / f"{split}.jsonl").read_bytes()


def test_another_seed_gives_other_rows(tool: ModuleType, tmp_path: Path) -> None:
    tool.main(["--output", str(tmp_path), "--seed", "1"])
    assert (tmp_path / "train.jsonl").read_bytes() != (DEMO / "train.jsonl").read_bytes()


@pytest.mark.parametrize("split", SIZES)
def test_rows_are_balanced_short_and_distinct(split: str) -> None:
    found = rows(split)
    assert len(found) == SIZES[split]
    assert Counter(row["label"] for row in found) == dict.fromkeys(settings()["labels"], SIZES[split] // 4)
    assert len({row["id"] for row in found}) == len({row["text"] for row in found}) == len(found)
    assert all(6 <= len(row["text"].split()) <= 16 for row in found)


def test_no_test_text_is_seen_in_training() -> None:
    def plain(split: str) -> set[str]:
        return {" ".join(re.findall(r"\w+", row["text"].casefold())) for row in rows(split)}

    assert not plain("test") & (plain("train") | plain("validation"))


def test_about_a_fifth_of_the_test_rows_is_from_frames_of_their_own(tool: ModuleType) -> None:
    """Recognises held-out frames in the files themselves, by a pattern built from each frame."""

    def pattern(frame: str) -> str:
        slots = {name: "|".join(map(re.escape, words)) for name, words in tool.FILLERS.items()}
        choices = re.sub(r"\[([^\]]+)\]", r"(?:\1)", frame.replace("?", r"\?"))
        return re.sub(r"\{(\w+)\}", lambda m: f"(?:{slots[m[1]]})", choices)

    held = [pattern(frame) for label in tool.FRAMES for frame in tool.frames_of(label, 0)[1]]
    found = re.compile("|".join(held), re.IGNORECASE)
    unseen = sum(bool(found.search(row["text"])) for row in rows("test"))
    assert unseen / SIZES["test"] == pytest.approx(0.2, abs=0.02)
    assert not any(found.search(row["text"]) for row in rows("train") + rows("validation"))


def test_the_task_loads_with_four_words() -> None:
    task = load_task(DEMO / "task.yaml")
    assert task.answers == ("money", "post", "return", "account")
    labels = settings()["labels"]
    for split in SIZES:
        assert [e.answer for e in task.examples(split)] == [labels[row["label"]] for row in rows(split)]


def test_templates_have_their_ids_voices_and_size() -> None:
    for name, count in {"prompts-train": 100, "prompts-test": 50}.items():
        found = rows(name)
        assert len(found) == count
        for row in found:
            assert row["id"] == hashlib.sha256(row["text"].encode()).hexdigest()[:12]
            assert {**row["source"], "style": ""} == {"kind": "bundled", "author": "paft", "style": ""}
            assert row["text"] == row["text"].strip()
            assert row["text"].count("{text}") == 1
            assert 5 <= len(re.findall(r"\w+", row["text"])) <= 40
        assert {row["source"]["style"] for row in found} == VOICES
        listed = [all(word in row["text"].casefold() for word in settings()["labels"].values()) for row in found]
        assert 0.55 <= sum(listed) / count <= 0.65


@pytest.mark.parametrize("name", ["prompts-train", "prompts-test"])
def test_templates_pass_the_check_without_a_remark(name: str) -> None:
    prompts = PromptSet.load(DEMO / f"{name}.jsonl")
    assert prompts.check(load_task(DEMO / "task.yaml"), threshold=0.8).problems == []


def test_no_two_templates_are_near_copies() -> None:
    texts = [row["text"] for name in ("prompts-train", "prompts-test") for row in rows(name)]
    texts.append(settings()["user_prompt"])
    pairs = itertools.combinations(map(masked, texts), 2)
    assert max(fuzz.ratio(a, b) / 100 for a, b in pairs) <= 0.8


def test_label_words_are_single_tokens_of_the_embedded_model() -> None:
    if not (BASE / "tokenizer.json").exists():
        pytest.skip("the embedded model's tokenizer is not in src/paft/resources/base yet")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(BASE / "tokenizer.json"))
    ids = [tokenizer.encode(f" {word}", add_special_tokens=False).ids for word in settings()["labels"].values()]
    assert [len(i) for i in ids] == [1, 1, 1, 1]
    assert len({i[0] for i in ids}) == 4
    for name in ("prompts-train", "prompts-test"):
        for row in rows(name):
            bare = tokenizer.encode(row["text"]).ids
            assert tokenizer.encode(row["text"] + " money").ids == [*bare, ids[0][0]], row["text"]
