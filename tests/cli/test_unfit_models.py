"""Models and adapters that are half there or damaged, and layers that take no adapter: exit 2 and what to do."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from paft.errors import InputError

TRAIN = "train --task task.yaml --prompts prompts-train.jsonl --output out --device cpu --max-steps 1"
SWEEP = "sweep --task task.yaml --prompts prompts-test.jsonl --output out --device cpu"


def _damage(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    settings = json.loads(config.read_text())
    if how == "cut":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif how == "empty":
        weights.write_bytes(b"")
    elif how == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif how == "a layer less":
        config.write_text(json.dumps({**settings, "num_hidden_layers": settings["num_hidden_layers"] + 1}))
    elif how == "another shape":
        state = load_file(weights)
        name = next(name for name in state if name.endswith("q_proj.weight"))
        save_file({**state, name: torch.zeros(8, 8)}, weights, metadata={"format": "pt"})
    elif how == "no setting of a model":
        config.write_text(json.dumps({**settings, "num_attention_heads": 5}))
    elif how == "a text for a number":
        config.write_text(json.dumps({**settings, "hidden_size": "32"}))
    elif how == "a list":
        config.write_text("[]")
    elif how == "no tokenizer inside":
        (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize("verb", [TRAIN, SWEEP], ids=["train", "sweep"])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut", "damaged"),
        ("empty", "damaged"),
        ("pointer", "git lfs pull"),
        ("a layer less", "lacks 9 of the weights that config.json asks for, such as model.layers.2."),
        ("another shape", "has the shape (8, 8), config.json asks for (32, 32)"),
        ("no setting of a model", "multiple of the number of attention heads"),
        ("a text for a number", "'hidden_size' expected int, got str"),
        ("a list", "damaged"),
        ("no tokenizer inside", "damaged"),
    ],
)
def test_a_model_folder_that_is_half_there(
    verb: str, how: str, said: str, refused: Callable, tiny_model_dir: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "half"
    shutil.copytree(tiny_model_dir(), folder)
    _damage(folder, how)
    assert said in refused(verb, model=folder)


def test_whole_models_lack_nothing(tiny_model_dir: Callable, tmp_path: Path) -> None:
    """Tied weights are not stored and not missed; heads for other things are there and not asked for."""
    from paft.models import load_model

    for family in ("llama", "gpt2", "gemma", "gpt_neox", "qwen3"):
        assert load_model(tiny_model_dir(family), device="cpu") is not None
    folder = tmp_path / "more"
    shutil.copytree(tiny_model_dir(), folder)
    state = load_file(folder / "model.safetensors")
    save_file({**state, "value_head.weight": torch.zeros(1, 32)}, folder / "model.safetensors", {"format": "pt"})
    assert load_model(folder, device="cpu") is not None


@pytest.mark.parametrize(
    ("how", "said"),
    [("cut", "does not fit"), ("list", "names no base model"), ("number", "names no base model"), ("kind", "FOO")],
)
def test_an_adapter_that_is_damaged(
    how: str, said: str, refused: Callable, tiny_model_dir: Callable, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir())
    folder = tmp_path / "adapter"
    get_peft_model(base, LoraConfig(target_modules=["q_proj"])).save_pretrained(folder)
    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    settings = json.loads(config.read_text())
    if how == "cut":
        weights.write_bytes(struct.pack("<Q", 10**6) + b"{")
    else:
        wrong = {
            "list": [],
            "number": {**settings, "base_model_name_or_path": 5},
            "kind": {**settings, "peft_type": "FOO"},
        }
        config.write_text(json.dumps(wrong[how]))
    assert said in refused(SWEEP, model=folder)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("layers", "ModuleList"),
        ("input_layernorm", "LlamaRMSNorm takes no adapter"),
        ("model", "LlamaModel takes no adapter"),
        ("nonsense", "the model has no nonsense"),
        (",", "--lora-targets is empty"),
    ],
)
def test_targets_that_take_no_adapter(targets: str, said: str, refused: Callable) -> None:
    message = refused(f"{TRAIN} --lora-targets {targets}")
    assert said in message
    assert "q_proj" in message


def test_all_linear_where_peft_refuses_some(refused: Callable, tiny_tokenizer, tmp_path: Path) -> None:
    """Mamba's fused kernel reads ``out_proj`` past an adapter: the layers that can have one are named."""
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=1, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    tiny_tokenizer.save_pretrained(tmp_path / "mamba")
    message = refused(f"{TRAIN} --lora-targets all-linear", model=tmp_path / "mamba")
    assert message.endswith("name layers with --lora-targets, of in_proj, x_proj, dt_proj\n")


def test_a_model_without_a_layer_that_peft_knows(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from paft.training.lora import attach, lora_config

    class Times(torch.nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(size, size))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    config = LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=16)
    model = LlamaForCausalLM(config)
    for module in list(model.model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, Times(8))
    for targets in ("all-linear", "q_proj"):
        with pytest.raises(InputError, match="--full"):
            attach(model, lora_config(targets=targets), seed=0, checkpointing=False)
