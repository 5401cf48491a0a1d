"""Which modules get an adapter, and that nothing else is trained."""

from __future__ import annotations

import pytest
import torch
from conftest import FAMILIES
from peft import LoraConfig
from transformers import AutoModelForCausalLM

from paft.errors import InputError
from paft.training.lora import attach, lora_config

AUTO = {"gpt2": {"c_attn"}, "gpt_neox": {"query_key_value"}}
MLP = {"gate_proj", "up_proj", "down_proj"}
ALL = {"gpt2": {"c_attn", "c_proj", "c_fc"}, "gpt_neox": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}}


def adapted(model) -> set[str]:
    names = {n.split(".lora_")[0].rpartition(".")[2] for n, p in model.named_parameters() if p.requires_grad}
    assert all(".lora_" in n for n, p in model.named_parameters() if p.requires_grad)
    return names


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_of_each_family(family, tiny_model_dir):
    auto = attach(load(tiny_model_dir(family)), lora_config(), seed=0, checkpointing=False)
    assert adapted(auto) == AUTO.get(family, {"q_proj", "v_proj"})
    config = auto.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout, config.task_type) == (8, 16, 0.0, "CAUSAL_LM")
    everything = attach(load(tiny_model_dir(family)), lora_config(targets="all-linear"), seed=0, checkpointing=False)
    assert adapted(everything) == ALL.get(family, {"q_proj", "k_proj", "v_proj", "o_proj"} | MLP)


def test_named_targets_and_numbers(tiny_model_dir):
    model = attach(load(tiny_model_dir("llama")), lora_config(4, 32, 0.1, "k_proj, mlp.up_proj"), 0, False)
    assert adapted(model) == {"k_proj", "up_proj"}
    assert model.peft_config["default"].r == 4


def test_first_weights_depend_on_the_seed_alone(tiny_model_dir):
    def first(seed: int) -> torch.Tensor:
        torch.rand(seed + 3)
        model = attach(load(tiny_model_dir("llama")), lora_config(), seed, False)
        return next(p for n, p in model.named_parameters() if "lora_A" in n)

    assert first(0).equal(first(0))
    assert not first(0).equal(first(1))


def test_the_callers_config_is_left_as_it_was(tiny_model_dir):
    config = LoraConfig(r=8)
    attach(load(tiny_model_dir("gpt2")), config, 0, False)
    assert config.target_modules is None
    assert not config.fan_in_fan_out


def test_a_target_that_is_not_there(tiny_model_dir):
    with pytest.raises(InputError, match=r"the model has no q_proj, v_proj; linear layers: c_attn, c_proj, c_fc"):
        attach(load(tiny_model_dir("gpt2")), lora_config(targets="v_proj,c_fc,q_proj"), 0, False)


def test_the_order_of_targets_does_not_hang_on_the_hash_seed(tiny_model_dir):
    names = ["v_proj", "down_proj", "q_proj", "o_proj", "k_proj"]
    model = attach(load(tiny_model_dir("llama")), lora_config(targets=",".join(names)), 0, False)
    assert model.peft_config["default"].target_modules == sorted(names)


def test_an_architecture_without_a_default(tiny_model_dir):
    model = load(tiny_model_dir("gpt2"))
    model.config.model_type = "unheard-of"
    with pytest.raises(InputError, match="no default LoRA targets are known for 'unheard-of' models\nname some"):
        attach(model, lora_config(), 0, False)
    model = load(tiny_model_dir("llama"))
    model.config.model_type = "unheard-of"
    assert adapted(attach(model, lora_config(), 0, False)) == {"q_proj", "v_proj"}


@pytest.mark.parametrize("bad", [{"r": 0}, {"alpha": 0}, {"dropout": 1.0}, {"targets": " , "}])
def test_numbers_out_of_range(bad):
    with pytest.raises(InputError):
        lora_config(**bad)
