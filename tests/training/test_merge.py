"""Merged models: the numbers of base and adapter, tied layers among them, and the settings of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from training.helpers import TEMPLATES, UNSEEN, make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import InputError, ModelError, OutputError
from paft.evaluation import sweep
from paft.models import resolve_model
from paft.prompts import PromptSet
from paft.training import merge, train
from paft.training.merge import TOLERANCES, refuse_other

TEMPLATE = "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}</s>\n{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}[assistant]\n{% endif %}"
BOTH = ["lm_head", "embed_tokens"]


@pytest.fixture(scope="module")
def tied(tiny_tokenizer, tmp_path_factory) -> Path:
    """A Llama whose output layer is its embedding."""
    from transformers import LlamaConfig

    folder = tmp_path_factory.mktemp("tied") / "base"
    torch.manual_seed(3)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = LlamaConfig(vocab_size=len(tiny_tokenizer), **size, tie_word_embeddings=True, initializer_range=0.2)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, **options: Any) -> Path:
    """A LoRA adapter none of whose weights is zero, nor as the base has it."""
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=32, init_lora_weights=False, task_type="CAUSAL_LM", **options)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("options", "one"),
    [
        ({"target_modules": ["q_proj"]}, True),
        ({"target_modules": ["lm_head"]}, False),
        ({"target_modules": ["embed_tokens", "q_proj"]}, False),
        ({"target_modules": BOTH}, False),
        ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, False),
        ({"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}, False),
        ({"target_modules": ["q_proj"], "modules_to_save": BOTH}, False),
        ({"target_modules": ["q_proj"], "modules_to_save": BOTH, "ensure_weight_tying": True}, True),
        ({"target_modules": ["q_proj"], "trainable_token_indices": [5, 9, 30]}, True),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT's, of tied layers
def test_a_merged_model_gives_the_logits_of_base_and_adapter(options: dict, one: bool, tied, tmp_path) -> None:
    adapter = make_adapter(tied, tmp_path / "adapter", **options)
    base = AutoModelForCausalLM.from_pretrained(tied)
    ids = torch.randint(3, base.config.vocab_size, (2, 17), generator=torch.Generator().manual_seed(0))
    plain = base(ids).logits
    wanted = PeftModel.from_pretrained(base, adapter)(ids).logits
    assert (wanted - plain).abs().max() > 0.5  # the adapter does something
    folder = merge(tied, tmp_path / "merged", adapter=adapter)
    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert (merged(ids).logits - wanted).abs().max() < 1e-3
    if "trainable_token_indices" not in options:
        assert merged.config.tie_word_embeddings is one
        assert (merged.lm_head.weight is merged.model.embed_tokens.weight) is one
    assert not list(tmp_path.glob(".*"))


def test_another_model_is_refused_with_figures() -> None:
    wanted = torch.randn(2, 8, 50, generator=torch.Generator().manual_seed(0))
    for dtype, most in TOLERANCES.items():
        refuse_other(wanted, wanted + 0.9 * most * wanted.std(), dtype, "a")
        with pytest.raises(ModelError, match=r"its logits are .* standard deviations .* expected at most .*\n"):
            refuse_other(wanted, wanted + 1.1 * most * wanted.std(), dtype, "a")
    with pytest.raises(ModelError, match="its logits are nan"):
        refuse_other(wanted, wanted * torch.nan, torch.float32, "a")


def test_adapters_that_have_nothing_to_merge(tied, tmp_path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tied)
    get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)).save_pretrained(
        tmp_path / "a"
    )
    with pytest.raises(InputError, match="of the kind PROMPT_TUNING.*\n.*cannot be merged"):
        merge(tied, tmp_path / "merged", adapter=tmp_path / "a")
    assert not (tmp_path / "merged").exists()


def test_weights_that_are_no_numbers_are_refused(tied, tmp_path) -> None:
    adapter = make_adapter(tied, tmp_path / "adapter", target_modules=["q_proj"])
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({k: v * torch.nan for k, v in weights.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="PEFT does not merge"):
        merge(tied, tmp_path / "merged", adapter=adapter)
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]


@pytest.fixture
def run(tiny_model_dir, tmp_path) -> Callable[[str], Path]:
    """``chat -> folder`` of a run on a model with a chat template."""
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama")).save_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(base)

    def make(chat: str) -> Path:
        options: dict[str, Any] = {"num_train_epochs": 1, "learning_rate": 1e-2, "say": lambda text: None}
        prompts, folder = PromptSet.from_texts(TEMPLATES), tmp_path / f"run-{chat}"
        train(model=base, task=make_task(), prompts=prompts, output=folder, chat=chat, device="cpu", **options)
        return folder

    return make


@pytest.mark.parametrize("chat", ["off", "auto"])
def test_a_sweep_of_the_merged_model_is_that_of_the_run(chat: str, run, tmp_path) -> None:
    folder = run(chat)
    merged = merge(folder, tmp_path / "merged")
    assert resolve_model(merged).chat() == resolve_model(folder).chat() == chat
    task, unseen = make_task(), PromptSet.from_texts(UNSEEN)
    one, two = (sweep(m, task, unseen, "validation").loglik_pnk for m in (folder, merged))
    assert abs(one - two).max() < 1e-3
    other = sweep(merged, task, unseen, "validation", chat="on" if chat == "off" else "off").loglik_pnk
    assert abs(one - other).max() > 0.1  # the setting decides
    with pytest.raises(InputError, match="was trained on"):
        sweep(merged, task, PromptSet.from_texts(TEMPLATES), "validation")


def test_a_merged_folder_is_no_run_to_go_on_with(run, tmp_path) -> None:
    merged = merge(run("off"), tmp_path / "merged")
    options: dict[str, Any] = {"num_train_epochs": 1, "learning_rate": 1e-2, "chat": "off", "device": "cpu"}
    with pytest.raises(OutputError, match="holds a merged model, not a run"):
        train(
            model=tmp_path / "base", task=make_task(), prompts=PromptSet.from_texts(TEMPLATES), output=merged, **options
        )
