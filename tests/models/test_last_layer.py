"""The last layer at a few positions only: the same logits and gradients there, with less work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from paft.errors import ModelError
from paft.models.last_layer import LastLayer, find_last_layer

FAMILIES = ("llama", "qwen3", "mistral", "gpt2")
IDS = torch.arange(3, 3 + 2 * 9).view(2, 9)
INDEX = torch.tensor([4, 8, 11])  # of batch x tokens


def load(folder: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def figures(model: Any, last: LastLayer | None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits at INDEX, and the gradients of a number made of them."""
    model.zero_grad(set_to_none=True)
    if last is None:
        logits = model(input_ids=IDS, use_cache=False).logits.flatten(0, 1)[INDEX]
        logits.square().mean().backward()
    else:
        with last.only_at(INDEX):
            logits = model(input_ids=IDS, use_cache=False).logits.flatten(0, 1)[INDEX]
            logits.square().mean().backward()
    return logits.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_stay_the_same(family, checkpointing, tiny_model_dir):
    model = load(tiny_model_dir(family))
    if checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        model.train()
        model.apply(lambda m: setattr(m, "p", 0.0) if isinstance(m, torch.nn.Dropout) else None)
    last = find_last_layer(model)
    assert last is not None
    whole, part = figures(model, None), figures(model, last)
    torch.testing.assert_close(part[0], whole[0], rtol=1e-5, atol=1e-6)
    assert part[1].keys() == whole[1].keys()
    for name, gradient in whole[1].items():
        torch.testing.assert_close(part[1][name], gradient, rtol=1e-4, atol=1e-7)


def test_the_last_layer_alone_sees_fewer_positions(tiny_model_dir):
    model = load(tiny_model_dir("qwen3"))
    seen: dict[str, int] = {}
    for name, module in model.named_modules():
        if name.endswith(("mlp.up_proj", "k_proj")):
            module.register_forward_pre_hook(lambda m, args, name=name: seen.update({name: args[0].numel()}))
    last = find_last_layer(model)
    assert last is not None
    assert len(last.modules) == 3  # q_proj, o_proj and mlp
    with last.only_at(INDEX):
        model(input_ids=IDS)
    depth, width = model.config.num_hidden_layers, model.config.hidden_size
    up = [seen[f"model.layers.{i}.mlp.up_proj"] for i in range(depth)]
    assert up == [IDS.numel() * width] * (depth - 1) + [len(INDEX) * width]
    assert seen[f"model.layers.{depth - 1}.self_attn.k_proj"] == IDS.numel() * width
    model(input_ids=IDS)  # and all of them again afterwards
    assert seen[f"model.layers.{depth - 1}.mlp.up_proj"] == IDS.numel() * width


def test_hooks_are_gone_after_an_error(tiny_model_dir):
    model = load(tiny_model_dir())
    before, last = model(input_ids=IDS).logits, find_last_layer(model)
    assert last is not None
    with pytest.raises(TypeError), last.only_at(INDEX):
        model(7)
    assert model(input_ids=IDS).logits.equal(before)


def test_other_builds(tiny_model_dir):
    model = load(tiny_model_dir())
    model.extra = torch.nn.ModuleList([torch.nn.Identity() for _ in model.model.layers])
    assert find_last_layer(model) is None  # two stacks of the same depth
    del model.extra
    layer = model.model.layers[-1]
    layer.block = layer.mlp
    del layer.mlp
    assert find_last_layer(model) is None  # no feed-forward network of a known name
    layer.mlp = layer.block
    layer.mlp.register_forward_hook(lambda module, args, output: (output, None))
    last = find_last_layer(model)
    assert last is not None
    with (
        pytest.raises(ModelError, match="LlamaMLP of its last layer does not give a plain tensor"),
        last.only_at(INDEX),
    ):
        model(input_ids=IDS)
