"""Validation on unseen prompts against one example at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training.helpers import UNSEEN, WORDS, make_task, settings
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import InputError
from paft.models import Encoder, TooLongError
from paft.prompts import PromptSet
from paft.training import PaftTrainer
from paft.training.validation import draw_cells, encode_cells


def test_cells_are_drawn_without_replacement_and_by_seed(unseen):
    task, prompts = make_task(), list(unseen)
    cells = draw_cells(task, prompts, 15, seed=0)
    keys = [(c.prompt.id, c.example.id) for c in cells]
    assert len(set(keys)) == 15
    assert keys == [(c.prompt.id, c.example.id) for c in draw_cells(task, prompts, 15, seed=0)]
    assert keys != [(c.prompt.id, c.example.id) for c in draw_cells(task, prompts, 15, seed=1)]
    assert len(draw_cells(task, prompts, 500, seed=0)) == 20


def plain_nll(model, tokenizer, prompt: str, answer: str, end: bool) -> tuple[float, int]:
    head = tokenizer(prompt)["input_ids"]
    ids = tokenizer(prompt + " " + answer)["input_ids"] + ([tokenizer.eos_token_id] if end else [])
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), -1)
    return -sum(float(logp[i - 1, ids[i]]) for i in range(len(head), len(ids))), len(ids) - len(head)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_loss_and_accuracy(family, tiny_model_dir, tmp_path, prompts, unseen):
    folder = tiny_model_dir(family)
    trainer = PaftTrainer(
        folder, settings(tmp_path / "run", batch_tokens=300), make_task(), prompts, None, None, unseen
    )
    found = trainer.evaluate()
    assert trainer.model.training is False
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    total, tokens, right = 0.0, 0, 0
    for text in UNSEEN:
        for example in make_task().examples("validation"):
            prompt = text.replace("{text}", example.slots["text"]).replace("{hint}", example.slots["hint"])
            nll, count = plain_nll(model, tokenizer, prompt, example.answer, True)
            total, tokens = total + nll, tokens + count
            scores = [plain_nll(model, tokenizer, prompt, word, False)[0] for word in WORDS]
            right += scores.index(min(scores)) == example.gold
    assert found["eval_loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert found["eval_accuracy"] == right / 20


def test_an_answer_that_several_tokens_end(tiny_model_dir, tmp_path, prompts, unseen):
    """The template writes a space and the end token behind an answer: neither counts between candidates."""
    folder = tiny_model_dir("llama")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }} </s>{% endfor %}"
    args = settings(tmp_path / "run", chat="on")
    trainer = PaftTrainer(model, args, make_task(), prompts, None, None, unseen, processing_class=tokenizer)
    right = 0
    for text in UNSEEN:
        for example in make_task().examples("validation"):
            asked = text.replace("{text}", example.slots["text"]).replace("{hint}", example.slots["hint"])
            prompt = f"user: {asked} </s>assistant:"
            scores = [plain_nll(model, tokenizer, prompt, word, False)[0] for word in WORDS]
            right += scores.index(min(scores)) == example.gold
    assert trainer.evaluate()["eval_accuracy"] == right / 20
    assert tokenizer.decode(trainer.encoder.end_ids) == " </s>"


def test_free_answers_have_a_loss_alone(tiny_model_dir, tmp_path, prompts, unseen):
    task = replace(make_task(), type="free", answers=())
    trainer = PaftTrainer(tiny_model_dir(), settings(tmp_path / "run"), task, prompts, None, None, unseen)
    assert set(trainer.evaluate()) == {"eval_loss", "epoch"}


def test_long_cells_are_named_or_left_out(tiny_tokenizer, unseen):
    task = make_task()
    cells = draw_cells(task, list(unseen), 20, seed=0)
    lengths = [len(i.encoding.input_ids) for i in encode_cells(cells, WORDS, Encoder(tiny_tokenizer), "error")]
    encoder = Encoder(tiny_tokenizer, max(lengths) - 1)
    with pytest.raises(TooLongError, match=r"validation example 'validation:\d+' under prompt"):
        encode_cells(cells, WORDS, encoder, "error")
    items = encode_cells(cells, WORDS, encoder, "drop")
    gone = [item.encoding is None for item in items]
    assert any(gone)
    assert not all(gone)
    assert all(len(set(gone[i : i + 4])) == 1 for i in range(0, len(gone), 4))  # a cell goes whole


def test_what_validation_needs(tiny_model_dir, tmp_path, prompts, unseen):
    empty = make_task(validation=0)
    with pytest.raises(InputError, match="validation during training needs that split"):
        PaftTrainer(tiny_model_dir(), settings(tmp_path), empty, prompts, None, None, unseen)
    with pytest.raises(InputError, match="needs unseen prompts; give eval_prompts"):
        PaftTrainer(tiny_model_dir(), settings(tmp_path, eval_strategy="epoch"), make_task(), prompts)
    trainer = PaftTrainer(tiny_model_dir(), settings(tmp_path), make_task(), prompts)
    with pytest.raises(InputError, match="nothing to validate on"):
        trainer.evaluate()


def test_prompts_that_are_trained_on_are_not_unseen(tiny_model_dir, tmp_path, prompts):
    shared = PromptSet.from_texts([UNSEEN[0], prompts[prompts.ids[3]].text])
    with pytest.raises(InputError, match=f"1 of the validation prompts are trained on, such as '{prompts.ids[3]}'"):
        PaftTrainer(tiny_model_dir(), settings(tmp_path), make_task(), prompts, None, None, shared)


def test_early_stopping_keeps_the_best_weights(tiny_model_dir, tmp_path, prompts):
    """A learning rate that soon wrecks the model."""
    unseen = PromptSet.from_texts(UNSEEN)
    changes = {"eval_strategy": "steps", "eval_steps": 1, "early_stopping_patience": 2, "load_best_model_at_end": True}
    args = settings(tmp_path / "run", learning_rate=0.3, warmup_steps=1, num_train_epochs=4, **changes)
    trainer = PaftTrainer(tiny_model_dir(), args, make_task(), prompts, None, None, unseen)
    trainer.train()
    losses = {row["step"]: row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row}
    best = min(losses, key=losses.__getitem__)
    assert trainer.state.best_global_step == best
    assert trainer.state.global_step == best + 2 < 24
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / f"checkpoint-{best}")
    assert all(p.equal(q) for p, q in zip(trainer.model.parameters(), kept.parameters(), strict=True))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses[best], rel=1e-6)


def test_accuracy_where_one_answer_begins_another_or_is_not_offered(tiny_model_dir, tmp_path, prompts, unseen):
    folder, words = tiny_model_dir("llama"), ("delivery", "delivery return", "repair", "payment")
    examples = [replace(e, answer=words[e.gold]) for e in make_task().examples("validation")]
    task = replace(make_task(), answers=words, read=lambda split: examples)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def accuracy(answers: tuple[str, ...], end: bool, offered: range) -> float:
        right = 0
        for text in UNSEEN:
            for e in examples:
                prompt = text.replace("{text}", e.slots["text"]).replace("{hint}", e.slots["hint"])
                scores = {i: plain_nll(model, tokenizer, prompt, answers[i], end)[0] for i in offered}
                right += min(scores, key=scores.__getitem__) == e.gold
        return right / (2 * len(examples))

    found = PaftTrainer(folder, settings(tmp_path / "a"), task, prompts, None, None, unseen).evaluate()
    assert found["eval_accuracy"] == accuracy(words, True, range(4))
    few = [replace(e, options=("x", "x", "x", "")) for e in examples]
    letters = replace(task, type="choice", answers=("A", "B", "C", "D"), read=lambda split: few)
    found = PaftTrainer(folder, settings(tmp_path / "b"), letters, prompts, None, None, unseen).evaluate()
    assert found["eval_accuracy"] == accuracy(letters.answers, False, range(3))
