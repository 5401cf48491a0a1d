"""Prompts, prompt sets and their files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from paft.errors import DataError, InputError, MissingFileError, PaftError, TemplateError
from paft.prompts import Prompt, PromptSet

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{text} é"}]


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def test_default_id_is_a_digest_of_the_text() -> None:
    text = "Sort {text} — now:"
    assert Prompt.from_text(text).id == hashlib.sha256(text.encode()).hexdigest()[:12]
    canonical = '[{"content":"Be brief.","role":"system"},{"content":"{text} é","role":"user"}]'
    assert Prompt.from_text(CHAT).id == hashlib.sha256(canonical.encode()).hexdigest()[:12]
    swapped = [dict(reversed(turn.items())) for turn in CHAT]
    assert Prompt.from_text(swapped).id == Prompt.from_text(CHAT).id
    assert Prompt.from_text(text, id="mine").id == "mine"


def test_saved_sets_load_equal(tmp_path: Path) -> None:
    prompts = PromptSet(
        [
            Prompt.from_text(
                'Braces {{}} "quotes" \\n\nemoji 🧵 {text}', {"kind": "llm", "model": "m", "strategy": "s"}
            ),
            Prompt.from_row({"id": "two", "text": "{text}?", "split": "train", "group": "g"}),
            Prompt.from_text(CHAT),
            Prompt.from_text("x" * 100_000 + "{text}"),
        ]
    )
    prompts.save(tmp_path / "deep" / "set.jsonl")
    loaded = PromptSet.load(tmp_path / "deep" / "set.jsonl")
    assert loaded == prompts
    assert [p.source for p in loaded] == [p.source for p in prompts]
    assert loaded.ids == prompts.ids
    assert loaded["two"].group == "g"
    assert loaded["two"].split == "train"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["set.jsonl"]


def test_saved_rows_hold_only_what_is_set(tmp_path: Path) -> None:
    PromptSet.from_texts(["{text}?"]).save(tmp_path / "set.jsonl")
    row = json.loads((tmp_path / "set.jsonl").read_text())
    assert set(row) == {"id", "text"}


def test_a_set_counts_iterates_and_finds() -> None:
    prompts = PromptSet.from_texts(["a {x}", "b {x}"], source={"kind": "human"})
    assert len(prompts) == 2
    assert [p.text for p in prompts] == ["a {x}", "b {x}"]
    assert prompts[prompts.ids[1]].render({"x": "{y}"}) == "b {y}"
    assert prompts.ids[0] in prompts
    assert "nowhere" not in prompts
    assert {p.source["kind"] for p in prompts} == {"human"}
    with pytest.raises(InputError, match="no prompt with id 'nowhere' among the 2"):
        prompts["nowhere"]


@pytest.mark.parametrize("texts", [[], ["same {x}", "same {x}"]])
def test_empty_sets_and_repeated_ids_are_refused(texts: list[str]) -> None:
    with pytest.raises(InputError):
        PromptSet.from_texts(texts)


@pytest.mark.parametrize(
    ("line", "error", "reason"),
    [
        ("{", DataError, "line 3: expected one JSON object"),
        ("[1]", DataError, "line 3: expected a JSON object, found list"),
        ({"txt": "x"}, DataError, "line 3: unknown key 'txt'; expected id, text, source, split, group"),
        ({"id": "x"}, DataError, "line 3: expected a key 'text'"),
        ({"text": None}, DataError, "line 3: expected a key 'text'.*NoneType"),
        ({"text": "x", "id": 5}, DataError, "line 3: id must be text"),
        ({"text": "x", "id": ""}, DataError, "line 3: id must be text"),
        ({"text": "x", "group": 5}, DataError, "line 3: group must be text"),
        ({"text": "x", "source": "me"}, DataError, "line 3: source must be an object"),
        ({"text": "{x!r}"}, TemplateError, "line 3: character 0"),
        ({"text": "  "}, TemplateError, "line 3: the template is empty"),
        ({"text": [{"role": "user"}]}, TemplateError, "line 3: message 1"),
        ({"text": "other", "id": "one"}, DataError, "line 3: id 'one' already stands in line 1"),
    ],
)
def test_load_names_file_and_line(tmp_path: Path, line: object, error: type[PaftError], reason: str) -> None:
    path = write(tmp_path / "set.jsonl", {"id": "one", "text": "{x}?"}, "", line)
    with pytest.raises(error, match=reason) as caught:
        PromptSet.load(path)
    assert str(path) in str(caught.value)


def test_files_that_hold_no_prompts(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        PromptSet.load(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="no prompts"):
        PromptSet.load(write(tmp_path / "empty.jsonl", ""))
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match="line 1: byte 0xe9 is not utf-8"):
        PromptSet.load(tmp_path / "latin.jsonl")
