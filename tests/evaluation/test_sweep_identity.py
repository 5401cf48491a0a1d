"""A sweep's folder knows the tokenizer, the chat template and the end tokens that its cells were computed with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from evaluation.sweep_tasks import make_task
from tokenizers import processors
from transformers import AutoTokenizer, GenerationConfig

from paft.errors import OutputError
from paft.evaluation import sweep
from paft.experiments import select_prompt

ONE = "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}</s>\n{% endfor %}"
ONE += "{% if add_generation_prompt %}[assistant]\n{% endif %}"
TWO = ONE.replace("[", "(").replace("]", ")")
LATER = ("tokenizer", "chat_template", "end_ids")


@pytest.fixture
def model(tiny_model_dir, tmp_path) -> Path:
    """A model folder of the test's own, with a chat template."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir("llama"), folder)
    write_template(folder, ONE)
    return folder


def write_template(folder: Path, template: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def drop_bos(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    tokenizer.save_pretrained(folder)


def forget(record: Path) -> None:
    """Make a folder's record what an earlier version would have written."""
    known = json.loads(record.read_text())
    record.write_text(json.dumps({name: value for name, value in known.items() if name not in LATER}))


@pytest.mark.parametrize("quick", [False, 25])
@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_another_template_is_other_work_where_it_is_used(quick: Any, scoring: str, model, prompts, tmp_path) -> None:
    task = make_task("label", 9)
    options: dict[str, Any] = {"scoring": scoring, "quick": quick}
    sweep(model, task, prompts, output=tmp_path / "chat", **options)
    sweep(model, task, prompts, output=tmp_path / "plain", chat="off", **options)
    before = (tmp_path / "chat" / "summary.json").read_bytes()
    write_template(model, TWO)
    with pytest.raises(OutputError, match=r"holds another sweep: its chat_template .*\n.*another output") as error:
        sweep(model, task, prompts, output=tmp_path / "chat", scoring=scoring)
    assert error.value.exit_code == 2
    assert (tmp_path / "chat" / "summary.json").read_bytes() == before
    sweep(model, task, prompts, output=tmp_path / "plain", chat="off", scoring=scoring)  # it goes on


def test_another_tokenizer_is_other_work(model, prompts, tmp_path) -> None:
    task = make_task("label", 3)
    sweep(model, task, prompts, output=tmp_path / "out", chat="off")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.save_pretrained(model)
    sweep(model, task, prompts, output=tmp_path / "out", chat="off")  # never used
    drop_bos(model)
    with pytest.raises(OutputError, match="its tokenizer"):
        sweep(model, task, prompts, output=tmp_path / "out", chat="off")


def test_other_end_tokens_are_other_work_where_text_is_generated(model, prompts, tmp_path) -> None:
    task = make_task("label", 3)
    for scoring in ("generate", "likelihood"):
        sweep(model, task, prompts, output=tmp_path / scoring, chat="off", scoring=scoring)
    assert json.loads((tmp_path / "generate" / "sweep.json").read_text())["end_ids"] == [2]
    GenerationConfig(eos_token_id=[2, 5], temperature=0.3, do_sample=True).save_pretrained(model)
    with pytest.raises(OutputError, match=r"its end_ids is \[2\], not \[2, 5\]"):
        sweep(model, task, prompts, output=tmp_path / "generate", chat="off", scoring="generate")
    sweep(model, task, prompts, output=tmp_path / "likelihood", chat="off", scoring="likelihood")


def test_a_finished_folder_of_an_earlier_version_is_read_and_a_half_done_one_refused(model, prompts, tmp_path) -> None:
    task, said = make_task("label", 9), []
    whole = sweep(model, task, prompts, output=tmp_path / "whole")
    sweep(model, task, prompts, output=tmp_path / "part", quick=25)
    for name in ("whole", "part"):
        forget(tmp_path / name / "sweep.json")
    again = sweep(model, task, prompts, output=tmp_path / "whole", say=said.append)
    assert again.per_prompt == whole.per_prompt
    assert [line.partition(": ")[2] for line in said] == [
        "an earlier version made it and did not record tokenizer, chat_template; taken as unchanged since"
    ]
    with pytest.raises(OutputError, match=r"begun by an earlier version of paft, which did not record its tokenizer"):
        sweep(model, task, prompts, output=tmp_path / "part")
    with pytest.raises(OutputError, match="its max_length is 1024, not 99"):  # the rest is compared as ever
        sweep(model, task, prompts, output=tmp_path / "whole", max_length=99)


def test_a_selection_knows_them_too(model, prompts, tmp_path) -> None:
    task = make_task("label", 9)
    select_prompt(model, task, prompts, output=tmp_path / "out", examples=2)
    forget(tmp_path / "out" / "job.json")
    select_prompt(model, task, prompts, output=tmp_path / "out", examples=2)  # done already
    (tmp_path / "out" / "selection.json").unlink()
    with pytest.raises(OutputError, match="a selection begun by an earlier version"):
        select_prompt(model, task, prompts, output=tmp_path / "out", examples=2)
    shutil.rmtree(tmp_path / "out")
    select_prompt(model, task, prompts, output=tmp_path / "out", examples=2)
    write_template(model, TWO)
    with pytest.raises(OutputError, match="holds another selection: its chat_template"):
        select_prompt(model, task, prompts, output=tmp_path / "out", examples=2)
