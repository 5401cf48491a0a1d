"""Tasks for the lm-evaluation-harness: what the files say, without the harness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2
import pyarrow.parquet as pq
import pytest
import yaml

from paft.cli.main import main
from paft.errors import InputError, OutputError
from paft.prompts import Prompt, PromptSet, export_prompts
from paft.tasks.base import Example, Task

ROWS = ["plain", "{{ 7 * 7 }}", "{% raw %}", "a\r\nb", "trail \t ", "2009-01-01", '"q" \\n', "|", "🙂 ö"]
TEXTS = [
    "Message: {text}\nDepartment: ",
    "{{% {{text}} {{# {{{text}}} #}} %}} \t\n  ",
    "{text} ",
    "Say: {text}\t",
    "x {gold} {text}\n\n",
]


def make_task(rows: Sequence[str] = ROWS, kind: str = "label", **settings: object) -> Task:
    answers = ("yes", "on the way", "{{x}}") if kind == "label" else ()
    examples = [
        Example(f"r{i}", {"text": row, "gold": "a slot", "alias": "x"}, answers[i % 3] if answers else f" {i} ", i % 3)
        for i, row in enumerate(rows)
    ]
    return Task("my task/x", kind, {"text": "", "gold": ""}, answers, read=lambda split: examples, **settings)  # type: ignore[arg-type]


def rendered(folder: Path, name: str) -> list[tuple[str, str]]:
    """(prompt, delimiter) of every example, as the harness makes them."""
    task = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = jinja.from_string(task["doc_to_text"])
    rows = pq.read_table(folder / "examples.parquet").to_pylist()
    return [(template.render(**row), task["target_delimiter"]) for row in rows]


def test_prompts_answers_and_data(tmp_path: Path) -> None:
    task, prompts = make_task(), PromptSet.from_texts(TEXTS)
    report = export_prompts(prompts, tmp_path / "out", "lm-eval", task)
    names = [f"paft_my_task_x_{n:03d}_{prompt.id}" for n, prompt in enumerate(prompts, start=1)]
    files = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert files == sorted(["_shared", "examples.parquet", "paft_my_task_x.yaml", *(f"{n}.yaml" for n in names)])
    assert "--tasks paft_my_task_x --model hf" in report.notes[1]
    group = yaml.safe_load((tmp_path / "out/paft_my_task_x.yaml").read_text())
    assert group["task"] == names
    shared = yaml.safe_load((tmp_path / "out/_shared").read_text())
    assert shared["doc_to_choice"] == list(task.answers)
    assert shared["doc_to_target"] == "gold_"
    rows = pq.read_table(tmp_path / "out/examples.parquet").to_pylist()
    assert [row["gold_"] for row in rows] == [e.gold for e in task.examples("test")]
    assert set(rows[0]) == {"example_id", "text", "gold", "gold_"}
    for name, prompt in zip(names, prompts, strict=True):
        # the encoding of paft: spaces and tabs at the end go, and a space parts the answer but after a line break
        wanted = [str(prompt.render(e.slots)).rstrip(" \t") for e in task.examples("test")]
        made = rendered(tmp_path / "out", f"{name}.yaml")
        assert [text for text, _ in made] == wanted
        if prompt.text != "{text} ":
            assert [mark for _, mark in made] == ["" if text.endswith("\n") else " " for text in wanted]


def test_a_slot_at_the_end_must_end_alike_everywhere(tmp_path: Path) -> None:
    prompts = PromptSet([Prompt.from_text("{text} ", id="bare")])
    export_prompts(prompts, tmp_path / "a", "lm-eval", make_task(["a\n", "b\n "]))
    assert rendered(tmp_path / "a", "paft_my_task_x_001_bare.yaml") == [("a\n", ""), ("b\n", "")]
    with pytest.raises(InputError, match="prompt bare ends in a slot.* example r1 and does not for r0"):
        export_prompts(prompts, tmp_path / "b", "lm-eval", make_task(["a", "b\n"]))
    with pytest.raises(InputError, match="prompt bare, example r1: the whole prompt is '42'"):
        export_prompts(prompts, tmp_path / "b", "lm-eval", make_task(["a", "42 "]))
    assert not (tmp_path / "b").exists()


def test_free_answers(tmp_path: Path) -> None:
    prompts = PromptSet([Prompt.from_text("{text}\nSum:", id="a")])
    export_prompts(prompts, tmp_path / "out", "lm-eval", make_task(kind="free"), limit=3)
    shared = yaml.safe_load((tmp_path / "out/_shared").read_text())
    assert (shared["output_type"], shared["doc_to_target"]) == ("generate_until", "answer")
    rows = pq.read_table(tmp_path / "out/examples.parquet").to_pylist()
    assert [row["answer"] for row in rows] == [e.answer.strip() for e in make_task(kind="free").examples("test", 3)]
    with pytest.raises(InputError, match="compares free answers normalized"):
        export_prompts(prompts, tmp_path / "b", "lm-eval", make_task(kind="free", match="normalized"))
    lines = Task("t", "free", {"text": ""}, read=lambda split: [Example("r", {"text": "x"}, "1\n2")])
    with pytest.raises(InputError, match="example r: its answer has several lines"):
        export_prompts(prompts, tmp_path / "b", "lm-eval", lines)


def test_refusals(tmp_path: Path) -> None:
    task, prompts = make_task(), PromptSet.from_texts(TEXTS)
    for bad, said in (
        (Prompt.from_text([{"role": "user", "content": "{text}"}], id="p"), "chat messages, which lm-eval cannot hold"),
        (
            Prompt.from_text("{text} {other}:", id="p"),
            r"prompt p has a slot \{other\}, which task 'my task/x' does not",
        ),
        (Prompt.from_text("{text} {self}:", id="p"), r"prompt p: slot \{self\} means something else"),
    ):
        with pytest.raises(InputError, match=said):
            export_prompts(PromptSet([bad]), tmp_path / "out", "lm-eval", task)
    with pytest.raises(InputError, match="the data loader takes '::'"):
        export_prompts(prompts, tmp_path / "a::b", "lm-eval", task)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_anything_else_is_refused(tmp_path: Path) -> None:
    task, prompts, out = make_task(), PromptSet.from_texts(TEXTS), tmp_path / "out"
    export_prompts(prompts, out, "lm-eval", task)
    (out / "paft_my_task_x.yaml").unlink()  # as after an interrupted export
    export_prompts(prompts, out, "lm-eval", task)
    assert (out / "paft_my_task_x.yaml").is_file()
    before = {p: p.read_bytes() for p in out.iterdir()}
    for other in (PromptSet.from_texts(TEXTS[1:]), PromptSet.from_texts([*TEXTS, "{text}:"])):
        with pytest.raises(OutputError, match="holds something else"):
            export_prompts(other, out, "lm-eval", task)
    assert {p: p.read_bytes() for p in out.iterdir()} == before


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PromptSet.from_texts(["{text}\nDepartment:", "Sort: {text} It goes to"]).save(tmp_path / "p.jsonl")
    words = ["--format", "lm-eval", "--task", "demo", "--limit", "5", "--output", str(tmp_path / "out")]
    assert main(["prompts", "export", str(tmp_path / "p.jsonl"), *words]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{tmp_path / 'out'}: 2 prompts"
    assert out[1] == "group paft_demo: 2 tasks over the same 5 examples (test of demo)"
