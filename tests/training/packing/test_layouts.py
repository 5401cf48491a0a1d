"""How rows are padded, beside the same rows one by one in plain PyTorch; and models and rows that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from odd_models import odd_model
from training.helpers import make_task, settings
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BertConfig, BertLMHeadModel, TrainerCallback

from paft.errors import EncodingError, ModelError
from paft.training import PaftTrainer
from paft.training.lora import lora_config
from paft.training.packing.figures import CheckInput, FewRows
from paft.training.packing.micro import IGNORED, Item, pad_right

RIGHT = ("rwkv", "xlstm", "bart_decoder")


def make(run: Path, model: Any, tokenizer: Any, prompts: Any, **changes: Any) -> PaftTrainer:
    unseen = changes.pop("unseen", None)
    return PaftTrainer(
        model, settings(run, **changes), make_task(), prompts, None, None, unseen, processing_class=tokenizer
    )


def one_by_one(model: Any, items: Any) -> torch.Tensor:
    """Mean loss over all answer and end tokens, each row in a pass of its own."""
    losses = []
    for item in items:
        ids, start = torch.tensor([item.encoding.input_ids]), item.encoding.answer_start
        logits_tv = model(input_ids=ids, use_cache=False).logits[0, start - 1 : -1].float()
        losses.append(torch.nn.functional.cross_entropy(logits_tv, ids[0, start:], reduction="none"))
    return torch.cat(losses).mean()


class Kept(TrainerCallback):
    """The gradient of the last step."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def packing(run: Path) -> dict[str, Any]:
    return json.loads((run / "environment.json").read_text())["packing"]


@pytest.mark.parametrize("kind", [*RIGHT, "mamba", "gpt_neo", "bloom"])
def test_a_step_s_loss_and_gradient(kind, tiny_tokenizer, tmp_path, prompts, unseen, caplog):
    """Rows of unlike lengths, all in one micro-batch; and the validation on rows of unlike lengths."""
    model = odd_model(kind, len(tiny_tokenizer))
    changes = {"max_steps": 1, "learning_rate": 1e-30, "max_grad_norm": 0.0}
    trainer = make(tmp_path / "run", model, tiny_tokenizer, prompts, unseen=unseen, **changes)
    trainer.add_callback(kept := Kept())
    trainer.train()
    loss = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    wanted = one_by_one(model, trainer.train_dataset.encode(trainer.batches.rows(0, 4)))
    assert loss == pytest.approx(float(wanted.detach()), abs=1e-4)
    wanted.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    size = torch.stack([g.norm() for g in grads.values()]).norm()
    assert all((kept.grads[n] - grads[n]).norm() <= 1e-4 * size for n in grads)
    gold = [trainer.validation.items[i * 4 + cell.example.gold] for i, cell in enumerate(trainer.validation.cells)]
    with torch.no_grad():
        assert trainer.evaluate()["eval_loss"] == pytest.approx(float(one_by_one(model.eval(), gold)), abs=1e-4)
    found = packing(tmp_path / "run")
    assert found["padding"] == ("right" if kind in RIGHT else "left")
    assert ("rows that are not packed are run padded on the right" in caplog.text) == (kind in RIGHT)


def test_the_longest_row_of_a_run_is_among_those_checked(tiny_model_dir, tiny_tokenizer, tmp_path, prompts):
    """However late it comes; rows that do not fit one micro-batch together are cut, and two of them are padded."""
    trainer = make(tmp_path / "run", tiny_model_dir("llama"), tiny_tokenizer, prompts, packing="off")
    dataset, stream, longest = trainer.train_dataset, trainer.stream, trainer.longest
    every = dataset.encode(list(stream.known_rows()))
    assert longest.tokens == max(item.tokens for item in every)
    run = CheckInput(trainer.model, trainer.args, trainer.accelerator, trainer.accepted, every[:4], 0, longest, False)
    items = FewRows(run).items
    assert items[0] is longest
    assert items[-1].tokens == min(item.tokens for item in every[:4])
    assert [len(micro["positions"]) for micro in FewRows(run).micros(False, "left")] == [3]
    assert [len(micro["positions"]) for micro in FewRows(run).micros(False, "single")] == [1, 1, 1]
    trainer.args.batch_tokens = max(longest.tokens, 2 * items[1].tokens)
    assert [len(micro["positions"]) for micro in FewRows(run).micros(False, "left")] == [1, 2]


def test_tensors_of_rows_padded_at_the_end():
    from paft.models import Encoding

    micro = pad_right([Item(4, "", Encoding([1, 5, 6, 7, 2], 3)), Item(9, "", Encoding([1, 8, 2], 2))], 0)
    assert micro["input_ids"].tolist() == [[1, 5, 6, 7, 2], [1, 8, 2, 0, 0]]
    assert micro["keep"].tolist() == [2, 3, 6]
    assert micro["targets"].tolist() == [7, 2, 2]
    assert micro["labels"].tolist() == [[7, 2], [IGNORED, 2]]
    assert micro["positions"].tolist() == [4, 9]


def test_rows_that_see_their_neighbours_are_trained_on_one_by_one(tiny_model_dir, tiny_tokenizer, tmp_path, prompts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir())
    layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    layers[0].register_forward_hook(lambda module, args, out: out + 0.1 * out.roll(1, 0) * (len(out) > 1))
    trainer = make(tmp_path / "run", model, tiny_tokenizer, prompts, packing="off", max_steps=1, learning_rate=1e-30)
    trainer.train()
    wanted = one_by_one(model.eval(), trainer.train_dataset.encode(trainer.batches.rows(0, 4)))
    assert trainer.state.log_history[0]["loss"] == pytest.approx(float(wanted.detach()), abs=1e-4)
    assert packing(tmp_path / "run")["padding"] == "single"


@pytest.mark.parametrize("adapter", [False, True])
def test_models_that_see_later_tokens_are_refused_before_anything_is_written(
    adapter, tiny_tokenizer, tmp_path, prompts
):
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = BertLMHeadModel(BertConfig(vocab_size=512, **size, initializer_range=0.3))
    config = lora_config(targets="query,value") if adapter else None
    args = settings(tmp_path / "run")
    trainer = PaftTrainer(model, args, make_task(), prompts, config, processing_class=tiny_tokenizer)
    with pytest.raises(ModelError, match="sees tokens that come after"):
        trainer.train()
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_rows_longer_than_the_model_has_positions(tiny_model_dir, tiny_tokenizer, tmp_path, prompts):
    """GPT-2 has learned 40 positions here; --max-length is 1024 all the same."""
    config = AutoConfig.from_pretrained(tiny_model_dir("gpt2"), n_positions=40)
    trainer = make(tmp_path / "run", AutoModelForCausalLM.from_config(config), tiny_tokenizer, prompts)
    with pytest.raises(EncodingError, match=r"example .* under prompt .* more than the 40 positions of the model"):
        trainer.train()
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_pad_token_that_the_model_does_not_know(tiny_model_dir, tiny_tokenizer, tmp_path, prompts):
    """``[PAD]`` behind the vocabulary, the embedding never resized: another token pads, and what is saved loads."""
    folder = tiny_model_dir("llama")
    losses = []
    for name in ("plain", "outside"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if name == "outside":
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
            assert tokenizer.pad_token_id == len(tokenizer) - 1
        model = AutoModelForCausalLM.from_pretrained(folder)
        trainer = make(tmp_path / name, model, tokenizer, prompts, packing="off", max_steps=2)
        trainer.train()
        trainer.save_model()
        losses.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
        AutoModelForCausalLM.from_pretrained(tmp_path / name)
    assert losses[0] == losses[1]


def test_an_end_token_that_the_model_does_not_know(tiny_model_dir, tmp_path, prompts):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    tokenizer.add_special_tokens({"eos_token": "<|done|>"})
    known = len(tokenizer) - 1
    with pytest.raises(
        ModelError, match=rf"every row holds the token '<\|done\|>' \(id {known}\), but .* knows {known}\n"
    ):
        make(tmp_path / "run", tiny_model_dir("llama"), tokenizer, prompts)


def test_a_token_of_a_row_that_the_model_does_not_know(tiny_model_dir, tmp_path, prompts):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    tokenizer.add_tokens(["quick"])
    trainer = make(tmp_path / "run", tiny_model_dir("llama"), tokenizer, prompts)
    with pytest.raises(ModelError, match=r"a row \(.* holds the token 'quick' \(id .*\), but the model knows"):
        trainer.train()
