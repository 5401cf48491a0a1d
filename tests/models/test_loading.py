"""Loading models: what is found, what is refused, and what the message says."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from paft.errors import InputError, ModelError
from paft.models import load_model, load_tokenizer, pick_dtype, resolve_model


@pytest.fixture
def adapter(tiny_model_dir, tmp_path):
    """A LoRA adapter of the tiny Llama whose weights are not zero."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"))
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    folder = tmp_path / "adapter"
    get_peft_model(model, config).save_pretrained(folder)
    return folder


def test_a_plain_folder_loads_as_transformers_loads_it(tiny_model_dir):
    folder = tiny_model_dir("llama")
    ids = torch.tensor([[1, 5, 9, 33]])
    with torch.no_grad():
        ours = load_model(folder, device="cpu")(ids).logits
        theirs = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
    assert torch.equal(ours, theirs)


def test_an_adapter_folder_finds_its_base_and_equals_model_plus_adapter(tiny_model_dir, adapter):
    ids = torch.tensor([[1, 5, 9, 33]])
    source = resolve_model(adapter)
    assert source.base == str(tiny_model_dir("llama"))
    with torch.no_grad():
        one = load_model(source, device="cpu")(ids).logits
        two = load_model(resolve_model(tiny_model_dir("llama"), adapter), device="cpu")(ids).logits
        base = load_model(tiny_model_dir("llama"), device="cpu")(ids).logits
    assert torch.equal(one, two)
    assert not torch.allclose(one, base)


def test_an_adapter_of_another_shape_is_refused(tiny_model_dir, adapter):
    with pytest.raises(ModelError, match="does not fit the base model"):
        load_model(resolve_model(tiny_model_dir("qwen3"), adapter), device="cpu")
    with pytest.raises(ModelError, match="does not fit the base model"):
        load_model(resolve_model(tiny_model_dir("gpt2"), adapter), device="cpu")


def test_an_adapter_with_weights_missing_is_refused(adapter):
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="1 weights are missing"):
        load_model(adapter, device="cpu")


def test_a_base_that_moved_is_named(adapter):
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/nowhere/at/all"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="/nowhere/at/all, which is not there"):
        resolve_model(adapter)


def test_pickled_weights_are_not_loaded(tiny_model_dir, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model_dir("llama"), folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(folder, device="cpu")


def test_remote_code_does_not_run(tiny_model_dir, tmp_path):
    folder = tmp_path / "remote"
    shutil.copytree(tiny_model_dir("llama"), folder)
    proof = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass M: pass\nclass C: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="--trust-remote-code"):
        load_model(folder, device="cpu")
    assert not proof.exists()


def test_a_folder_without_tokenizer_is_refused(tiny_model_dir, tmp_path):
    folder = tmp_path / "bare"
    shutil.copytree(tiny_model_dir("llama"), folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match="holds no tokenizer"):
        load_tokenizer(folder)


@pytest.mark.parametrize(("name", "message"), [("./nope", "no such model folder"), ("a/b/c", "no such model folder")])
def test_a_path_that_is_not_there(name, message):
    with pytest.raises(ModelError, match=message):
        resolve_model(name)


def test_an_empty_folder_points_to_the_model_below(tiny_model_dir, tmp_path):
    shutil.copytree(tiny_model_dir("llama"), tmp_path / "x" / "checkpoint-3")
    with pytest.raises(ModelError, match="found one in .*checkpoint-3"):
        resolve_model(tmp_path / "x")


def test_a_hub_id_that_cannot_be_had_says_what_to_check():
    with pytest.raises(ModelError, match="check the name, the network"):
        load_model("nobody/nothing-here", device="cpu")


def test_the_chat_setting_of_a_run_is_taken_up_unless_another_is_asked_for(adapter):
    (adapter / "prompts.jsonl").write_text('{"id": "a", "text": "{x}:"}\n')
    (adapter / "config.yaml").write_text("method: paft\ntraining: {chat: 'off', seed: 0}\n")
    source = resolve_model(adapter)
    assert (source.chat(), source.chat("on")) == ("off", "on")
    (adapter / "config.yaml").unlink()
    assert resolve_model(adapter).chat() == "auto"


def test_dtypes():
    assert pick_dtype("auto", "cpu") is torch.float32
    assert pick_dtype("bf16") is torch.bfloat16
    with pytest.raises(InputError, match="unknown dtype"):
        pick_dtype("int3")


def test_four_bit_without_a_gpu_says_so(tiny_model_dir):
    with pytest.raises(InputError, match="CUDA GPU"):
        load_model(tiny_model_dir("llama"), device="cpu", quantization="4bit")
