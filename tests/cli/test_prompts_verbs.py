"""``paft prompts`` import, check, split, show and render, and ``paft init`` and ``paft env``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from paft.prompts import PromptSet


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_import_mends_and_says_so(paft: Callable, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text\n"Read {text}\\nAnswer:"\n"Read {text}\\nAnswer:"\n"Other {text}:"\n')
    found = paft("prompts", "import", tmp_path / "t.csv", "--output", tmp_path / "out.jsonl")
    assert (found.code, found.err) == (0, "")
    assert "3 rows read, 2 prompts kept" in found.out
    assert [p.text for p in PromptSet.load(tmp_path / "out.jsonl")] == ["Read {text}\nAnswer:", "Other {text}:"]


def test_import_again_is_fine_and_over_something_else_is_not(paft: Callable, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One {text}:\nTwo {text}:\n")
    (tmp_path / "b.txt").write_text("Three {text}:\nFour {text}:\n")
    target = tmp_path / "out.jsonl"
    assert paft("prompts", "import", tmp_path / "a.txt", "--output", target).code == 0
    before = target.read_bytes()
    assert paft("prompts", "import", tmp_path / "a.txt", "--output", target).code == 0
    refused = paft("prompts", "import", tmp_path / "b.txt", "--output", target)
    assert refused.code == 2
    assert "is there already" in refused.err
    assert target.read_bytes() == before


def test_check_finds_what_is_wrong(paft: Callable, case) -> None:
    bad = case.folder / "bad.jsonl"
    rows = [("a", "{text} Answer:"), ("b", "no slot here. Answer:"), ("c", "{text.__class__} Answer:"), ("d", "{txt}?")]
    bad.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in rows))
    found = paft("prompts", "check", bad, "--task", case.task)
    assert found.code == 2
    assert found.err == f"error: 3 of the 4 prompts in {bad} cannot be used; mend or remove them\n"
    for word in ("missing-slot", "unknown-slot", "bad-syntax", "4 prompts: "):
        assert word in found.out
    as_json = paft("prompts", "check", bad, "--task", case.task, "--format", "json")
    assert as_json.code == 2
    rows = json.loads(as_json.out)
    assert {(r["prompt_id"], r["position"], r["code"]) for r in rows} >= {
        ("b", 2, "missing-slot"),
        ("c", 3, "bad-syntax"),
        ("d", 4, "unknown-slot"),
    }
    assert set(rows[0]) == {"prompt_id", "position", "code", "severity", "message", "other_id"}


def test_check_of_a_good_set(paft: Callable, case) -> None:
    found = paft("prompts", "check", case.test_prompts, "--task", case.task)
    assert (found.code, found.err) == (0, "")
    assert found.out == "2 prompts: 0 errors, 0 warnings\n"
    assert json.loads(paft("prompts", "check", case.test_prompts, "--task", case.task, "--format", "json").out) == []


def test_check_against_another_set_names_what_both_hold(paft: Callable, case) -> None:
    other = case.folder / "other.jsonl"
    mine = PromptSet.from_texts(["Judge this for me: {text} Answer:", "Wholly different words {text} so it is a:"])
    mine.save(case.folder / "mine.jsonl")
    PromptSet.from_texts(["Judge this, for me: {text} Answer:", "Some third wording of the task {text} ="]).save(other)
    found = paft(
        "prompts", "check", case.folder / "mine.jsonl", "--task", case.task, "--against", other, "--format", "json"
    )
    rows = json.loads(found.out)
    assert [(r["prompt_id"], r["code"]) for r in rows] == [(mine.ids[0], "near-duplicate")]
    assert rows[0]["other_id"] == PromptSet.load(other).ids[0]
    assert "punctuation" in rows[0]["message"]


def test_split_is_seeded_and_writes_both_sides_or_none(paft: Callable, case) -> None:
    target = case.folder / "parts"
    words = ("prompts", "split", case.train_prompts, "--test", 1, "--output", target)
    assert paft(*words).code == 0
    train, test = PromptSet.load(target / "train.jsonl"), PromptSet.load(target / "test.jsonl")
    assert (len(train), len(test)) == (3, 1)
    assert sorted(train.ids + test.ids) == sorted(PromptSet.load(case.train_prompts).ids)
    before = snapshot(target)
    assert paft(*words).code == 0
    assert snapshot(target) == before
    (target / "train.jsonl").unlink()
    refused = paft("prompts", "split", case.train_prompts, "--ratio", "1:1", "--output", target)
    assert refused.code == 2
    assert not (target / "train.jsonl").exists()


def test_split_wants_a_number_or_a_ratio(paft: Callable, case) -> None:
    target = case.folder / "parts"
    for more in ((), ("--test", 1, "--ratio", "1:1")):
        found = paft("prompts", "split", case.train_prompts, "--output", target, *more)
        assert found.code == 2
        assert "either --test N or --ratio" in found.err
    assert not target.exists()


def test_show_a_table_one_prompt_and_all(paft: Callable, case) -> None:
    assert "train3   " in paft("prompts", "show", case.train_prompts).out
    assert "2 not shown" in paft("prompts", "show", case.train_prompts, "--limit", 2).out
    one = paft("prompts", "show", case.train_prompts, "--prompt-id", "train0")
    assert one.out == "# train0\nText: {text}\nAnswer:\n\n"
    assert paft("prompts", "show", case.train_prompts, "--full").out.count("# train") == 4
    assert paft("prompts", "show", case.train_prompts, "--prompt-id", "none").code == 2


def test_show_leaves_brackets_and_marks_alone(paft: Callable, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    text = "[bold]not markup[/bold] :smile: {{x}} {text}"
    path.write_text(json.dumps({"id": "a", "text": text}) + "\n")
    assert text in paft("prompts", "show", path, "--full").out


def test_render_marks_the_supervised_tokens(paft: Callable, case, tiny_model_dir: Callable) -> None:
    words = ("prompts", "render", "--task", case.task, "--prompts", case.train_prompts, "--model", tiny_model_dir())
    found = paft(*words, "--example", 3)
    assert (found.code, found.err) == (0, "")
    first, text = found.out.split("\n", 1)
    assert first.startswith("prompt train0, example train3: ")
    plain = text.rpartition("\n⟦")[0].replace("|", "").replace("↵", "").replace("⟦", "").replace("⟧", "")
    assert plain == "<s>Text: the train fox 3 jumps\nAnswer: negative</s>"
    marked = "".join(part.split("⟧")[0] for part in text.rpartition("\n⟦")[0].split("⟦")[1:])
    assert marked == " negative</s>"


def test_render_as_json_agrees_with_the_encoder(paft: Callable, case, tiny_model_dir: Callable, tiny_tokenizer) -> None:
    words = ("prompts", "render", "--task", case.task, "--prompts", case.train_prompts, "--model", tiny_model_dir())
    record = json.loads(paft(*words, "--prompt-id", "train3", "--example", "train2", "--format", "json").out)
    ids = tiny_tokenizer("the train fox 2 jumps -> positive")["input_ids"] + [tiny_tokenizer.eos_token_id]
    assert [token["id"] for token in record["tokens"]] == ids
    supervised = [token["id"] for token in record["tokens"] if token["supervised"]]
    assert supervised == [*tiny_tokenizer(" positive", add_special_tokens=False)["input_ids"], ids[-1]]
    assert "".join(token["text"] for token in record["tokens"]) == "<s>the train fox 2 jumps -> positive</s>"


def test_render_of_a_chat_on_a_day(paft: Callable, case, tiny_model_dir: Callable, tmp_path: Path) -> None:
    shutil.copytree(tiny_model_dir(), tmp_path / "model")
    chat = "{{ strftime_now('%d.%m.%Y') }}{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}"
    (tmp_path / "model" / "chat_template.jinja").write_text(chat)
    words = ("prompts", "render", "--task", case.task, "--prompts", case.train_prompts, "--model", tmp_path / "model")
    record = json.loads(paft(*words, "--example", 3, "--date", "2024-02-29", "--format", "json").out)
    text = "".join(token["text"] for token in record["tokens"])
    assert text == "<s>29.02.2024[user]Text: the train fox 3 jumps\nAnswer:</s>[assistant]negative</s>"
    assert "".join(token["text"] for token in record["tokens"] if token["supervised"]) == "negative</s>"
    refused = paft(*words, "--date", "29.2.")
    assert (refused.code, refused.err) == (2, "error: --date must be a day such as 2025-03-01, found '29.2.'\n")
    (tmp_path / "model" / "chat_template.jinja").write_text("{% for m in messages[1:] %}{{ m.content }}{% endfor %}")
    refused = paft(*words)
    assert refused.code == 2
    assert refused.err.startswith(f"error: the chat template of {tmp_path / 'model'} does not write the user message")


def test_render_keeps_characters_of_many_bytes_whole(paft: Callable, case, tiny_model_dir: Callable) -> None:
    text = 'a 🙂 in {braces} "quotes" [red]'
    (case.folder / "train.jsonl").write_text(json.dumps({"key": "e", "text": text, "kind": "c"}) + "\n")
    words = ("prompts", "render", "--task", case.task, "--prompts", case.train_prompts, "--model", tiny_model_dir())
    record = json.loads(paft(*words, "--format", "json").out)
    assert "".join(token["text"] for token in record["tokens"]) == f"<s>Text: {text}\nAnswer: positive</s>"
    assert paft(*words, "--format", "table").out.count("yes") == sum(t["supervised"] for t in record["tokens"])


def test_render_of_an_example_that_is_not_there(paft: Callable, case, tiny_model_dir: Callable) -> None:
    words = ("prompts", "render", "--task", case.task, "--prompts", case.train_prompts, "--model", tiny_model_dir())
    found = paft(*words, "--example", 12)
    assert found.code == 2
    assert "holds 12 examples; give a place from 0 to 11 or an id such as train0" in found.err


def test_init_writes_what_the_other_verbs_take(paft: Callable, tmp_path: Path) -> None:
    rows = "".join(
        f"a {adjective} film {i},{label}\n" for i in range(15) for adjective, label in (("good", 1), ("bad", 0))
    )
    (tmp_path / "films.csv").write_text("review,label\n" + rows)
    found = paft("init", tmp_path / "films.csv", "--output", tmp_path / "films")
    assert (found.code, found.err) == (0, "")
    assert "answer: column 'label'" in found.out
    task, prompts = tmp_path / "films/task.yaml", tmp_path / "films/prompts.jsonl"
    assert paft("prompts", "check", prompts, "--task", task).code == 0
    before = snapshot(tmp_path)
    assert paft("init", tmp_path / "films.csv", "--output", tmp_path / "films").code == 2
    assert snapshot(tmp_path) == before


def test_env(paft: Callable) -> None:
    import torch

    facts = json.loads(paft("env", "--format", "json").out)
    assert facts["torch"] == torch.__version__
    assert "transformers  " in paft("env").out
