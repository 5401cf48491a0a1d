"""What a run could not be saved with is found out before its first step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training.helpers import TEMPLATES, make_task, settings
from transformers import AutoModelForCausalLM, GenerationConfig

from paft.errors import ModelError, OutputError
from paft.prompts import PromptSet
from paft.training import PaftTrainer, merge, train
from paft.training.saving import try_saving


@pytest.fixture
def model(tiny_model_dir, tmp_path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir("llama"), folder)
    return folder


def run(model: Path, output: Path, **changes: Any) -> Any:
    plain: dict[str, Any] = {"num_train_epochs": 1, "device": "cpu", "chat": "off", "say": lambda text: None}
    prompts = PromptSet.from_texts(TEMPLATES)
    return train(model=model, task=make_task(), prompts=prompts, output=output, **(plain | changes))


def trainer(model: Any, output: Path, **options: Any) -> PaftTrainer:
    return PaftTrainer(model, settings(output), make_task(), PromptSet.from_texts(TEMPLATES), **options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"do_sample": False, "temperature": 0.9, "top_p": 0.6},
        {"temperature": 0.6, "top_k": 20, "min_p": 0.1},
        {"pad_token_id": -1, "num_beams": 1, "length_penalty": 2.0},
    ],
    ids=str,
)
def test_generation_settings_that_do_not_save_are_taken_back(wrong: dict, model, tmp_path, caplog) -> None:
    kept = {"bos_token_id": 1, "eos_token_id": [2, 7], "max_length": 99}
    (model / "generation_config.json").write_text(json.dumps({**kept, **wrong}))
    plain = trainer(model, tmp_path / "run")
    for _ in range(2):
        try_saving(plain)
    plain.model.generation_config.pad_token_id = 0  # as Trainer changes it
    plain.save_model()
    found = json.loads((tmp_path / "run" / "generation_config.json").read_text())
    assert {name: found.get(name) for name in kept} == kept
    harmless = {"do_sample", "num_beams"}
    assert not {name for name in wrong if found.get(name) == wrong[name]} - harmless
    said = [r.message for r in caplog.records if "generation settings" in r.message]
    assert len(said) == 1  # once, by name and value
    assert all(f"{name} {value}" in said[0] for name, value in wrong.items() if name not in harmless)


def test_such_a_model_is_trained_saved_and_merged(model, tmp_path) -> None:
    GenerationConfig(eos_token_id=[2, 7]).save_pretrained(model)
    settings = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**settings, "temperature": 0.9, "do_sample": False}))
    run(model, tmp_path / "full", full=True, method="user", save_steps=2)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "full").generation_config.eos_token_id == [2, 7]
    run(model, tmp_path / "adapter")
    assert AutoModelForCausalLM.from_pretrained(merge(tmp_path / "adapter", tmp_path / "merged"))


def test_generation_settings_that_contradict_each_other(model, tmp_path) -> None:
    plain = trainer(AutoModelForCausalLM.from_pretrained(model), tmp_path / "run")
    plain.model.generation_config.num_return_sequences = 3
    with pytest.raises(
        ModelError, match="generation settings of the model cannot be saved.*\nmend its generation_conf"
    ):
        plain.train()
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_a_folder_that_cannot_be_written(place: str, model, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*run: .*\n?.*another output") as error:
        run(model, tmp_path / place)
    assert error.value.exit_code == 2


def test_weights_that_are_shared_without_being_declared(model, tmp_path) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(model)
    loaded.model.layers[1].mlp.up_proj.weight = loaded.model.layers[0].mlp.up_proj.weight
    with pytest.raises(ModelError, match=r"could not be saved after training: .*shared tensors"):
        trainer(loaded, tmp_path / "run").train()
    assert not (tmp_path / "run" / "plan").exists()


def test_a_tokenizer_that_does_not_save(model, tmp_path) -> None:
    plain = trainer(model, tmp_path / "run")
    plain.processing_class.init_kwargs["made_by"] = object()
    with pytest.raises(ModelError, match="could not be saved after training"):
        plain.train()
    assert not (tmp_path / "run" / "plan").exists()


def test_nothing_of_the_trial_is_left(model, tmp_path) -> None:
    run(model, tmp_path / "run")
    assert not [p.name for p in (tmp_path / "run").iterdir() if p.name.startswith(".paft")]
    assert torch.isfinite(torch.tensor(json.loads((tmp_path / "run" / "result.json").read_text())["seconds"]))
