"""A run goes on only with the tokenizer, the chat template and the base model that it was begun with."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import processors
from training.helpers import TEMPLATES, UNSEEN, make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import InputError, ModelError, OutputError
from paft.evaluation import sweep
from paft.prompts import PromptSet
from paft.training import train

TEMPLATE = "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}</s>\n{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}[assistant]\n{% endif %}"


@pytest.fixture
def model(tiny_model_dir, tmp_path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir("llama"), folder)
    other_template(folder, TEMPLATE)
    return folder


def other_template(folder: Path, template: str = TEMPLATE.replace("[", "(")) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def other_tokenizer(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    tokenizer.save_pretrained(folder)


def other_weights(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(1.01)
    model.save_pretrained(folder)


class Stop(Exception):
    """What kills a run."""


def run(model: Path, output: Path, stop: bool = False, **changes: Any) -> Any:
    from transformers import TrainerCallback

    class Stopping(TrainerCallback):
        def on_save(self, *args: Any, **kwargs: Any) -> None:
            raise Stop

    plain: dict[str, Any] = {"num_train_epochs": 1, "device": "cpu", "say": lambda text: None, "save_steps": 1}
    if stop:
        plain["callbacks"] = [Stopping()]
    prompts = PromptSet.from_texts(TEMPLATES)
    return train(model=model, task=make_task(), prompts=prompts, output=output, **(plain | changes))


@pytest.mark.parametrize("done", [True, False], ids=["finished", "half done"])
@pytest.mark.parametrize(
    ("change", "name"),
    [(other_template, "chat_template"), (other_tokenizer, "tokenizer"), (other_weights, "files|base.weights")],
)
def test_what_changed_is_refused(change: Callable, name: str, done: bool, model, tmp_path) -> None:
    if done:
        run(model, tmp_path / "run")
    else:
        with pytest.raises(Stop):
            run(model, tmp_path / "run", stop=True)
    change(model)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(OutputError, match=rf"holds other work: base\.({name}) is .*\n.*another output") as error:
        run(model, tmp_path / "run")
    assert error.value.exit_code == 2
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_a_template_that_is_not_used_may_change(model, tmp_path) -> None:
    with pytest.raises(Stop):
        run(model, tmp_path / "run", stop=True, chat="off")
    other_template(model)
    assert run(model, tmp_path / "run", chat="off").steps == 3


@pytest.mark.parametrize("done", [True, False], ids=["finished", "half done"])
def test_a_run_of_an_earlier_version_goes_on_and_that_is_said(done: bool, model, tmp_path, caplog) -> None:
    if done:
        run(model, tmp_path / "run")
    else:
        with pytest.raises(Stop):
            run(model, tmp_path / "run", stop=True)
    path = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    assert set(config.pop("base")) == {"tokenizer", "chat_template", "files", "weights"}
    path.write_text(yaml.safe_dump(config))
    with caplog.at_level(logging.WARNING):
        assert run(model, tmp_path / "run").steps == 3
    assert [r.message for r in caplog.records if "taken as unchanged" in r.message]


def test_the_adapter_of_a_run_is_not_put_upon_other_weights(model, tmp_path) -> None:
    run(model, tmp_path / "run")
    task, unseen = make_task(), PromptSet.from_texts(UNSEEN)
    other_template(model)  # the run has a tokenizer of its own
    first = sweep(tmp_path / "run", task, unseen, "validation").loglik_pnk
    shutil.copytree(model, tmp_path / "kept")
    other_weights(model)
    with pytest.raises(ModelError, match=r"was trained on other weights than .*model holds now\n.*--adapter"):
        sweep(tmp_path / "run", task, unseen, "validation")
    again = sweep(tmp_path / "kept", task, unseen, "validation", adapter=tmp_path / "run").loglik_pnk
    assert (again == first).all()


def test_checkpoints_without_the_optimiser_are_not_gone_on_from(model, tmp_path) -> None:
    with pytest.raises(Stop):
        run(model, tmp_path / "run", stop=True, save_only_model=True)
    with pytest.raises(InputError, match=r"checkpoint-1 was saved with --save-only-model.*\n.*another folder"):
        run(model, tmp_path / "run", save_only_model=True)
