"""Sweeps agree with plain transformers on every family, task type and way of scoring."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluation import sweep_oracle as oracle
from evaluation.sweep_tasks import make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.evaluation import sweep
from paft.prompts import PromptSet
from paft.tasks import load_task

FAMILIES = ("llama", "qwen3", "mistral", "gemma", "gpt2", "gpt_neox")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def check_candidates(result, model, tokenizer, task, prompts, candidates, split="test", chat=False, normalize="none"):
    """Every log-likelihood to 1e-4; every prediction, ties apart."""
    examples = {e.id: e for e in task.examples(split)}
    for prompt, row in zip(prompts, result.cells_pn, strict=True):
        for cell in row:
            example = examples[cell.example_id]
            text = oracle.prompt_string(tokenizer, prompt.render(example.slots), chat)
            answers = candidates(example)
            scored = [oracle.log_likelihood(model, tokenizer, text, a, chat) for a in answers]
            # float32, as it is stored, has steps of 1e-4 from a thousand on
            assert cell.loglik == pytest.approx([value for value, _ in scored], abs=1e-4, rel=2e-7)
            sizes = {
                "none": [1] * len(answers),
                "tokens": [n for _, n in scored],
                "bytes": [len(a.encode()) for a in answers],
            }
            values = np.array([value for value, _ in scored]) / sizes[normalize]
            assert values[cell.prediction] >= values.max() - 2e-4
            assert (cell.gold, cell.correct) == (example.gold, cell.prediction == example.gold)
            assert cell.prompt_tokens == len(oracle.token_ids(tokenizer, text, chat))


def check_generated(result, model, tokenizer, task, prompts, room, split="test", chat=False):
    examples = {e.id: e for e in task.examples(split)}
    for prompt, row in zip(prompts, result.cells_pn, strict=True):
        for cell in row:
            example = examples[cell.example_id]
            text = oracle.prompt_string(tokenizer, prompt.render(example.slots), chat)
            wanted, tokens = oracle.generate(model, tokenizer, task, example, text, room, chat)
            assert (cell.text, cell.generated_tokens) == (wanted, tokens)
            assert (cell.prediction, cell.correct) == task.judge(example, wanted)


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    made = {}

    def load(family):
        if family not in made:
            folder = tiny_model_dir(family)
            made[family] = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
        return made[family]

    return load


@pytest.mark.parametrize(("family", "kind"), [*((family, "label") for family in FAMILIES), ("llama", "choice")])
def test_likelihood(family, kind, loaded, tiny_model_dir, prompts):
    task = make_task(kind)
    result = sweep(tiny_model_dir(family), task, prompts, batch_tokens=300)
    check_candidates(result, *loaded(family), task, prompts, lambda e: task.answers)


@pytest.mark.parametrize("family", FAMILIES)
def test_continuation(family, loaded, tiny_model_dir, prompts):
    task = make_task("choice")
    result = sweep(tiny_model_dir(family), task, prompts, scoring="continuation", batch_tokens=300)
    check_candidates(result, *loaded(family), task, prompts, lambda e: e.options)


@pytest.mark.parametrize("normalize", ["tokens", "bytes"])
def test_normalized(normalize, loaded, tiny_model_dir, prompts):
    task = make_task("choice", 20)
    result = sweep(tiny_model_dir("llama"), task, prompts, scoring="continuation", normalize=normalize)
    plain = sweep(tiny_model_dir("llama"), task, prompts, scoring="continuation")
    check_candidates(result, *loaded("llama"), task, prompts, lambda e: e.options, normalize=normalize)
    assert (result.prediction_pn != plain.prediction_pn).any()  # the division changes some answers


@pytest.mark.parametrize(
    ("family", "kind"), [*((family, "label") for family in FAMILIES), ("llama", "choice"), ("gpt2", "free")]
)
def test_generate(family, kind, loaded, tiny_model_dir, prompts):
    task = make_task(kind, 5)
    result = sweep(tiny_model_dir(family), task, prompts, scoring="generate", batch_tokens=400, max_new_tokens=9)
    check_generated(result, *loaded(family), task, prompts, room=9)
    assert result.summary["tokens_generated"] == sum(c.generated_tokens for row in result.cells_pn for c in row)


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_chat_template_and_messages(scoring, loaded, tiny_model_dir, tmp_path):
    model, _ = loaded("llama")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    tokenizer.chat_template = CHAT_TEMPLATE
    task = make_task("label", 5)
    system = {"role": "system", "content": "Be brief. "}
    prompts = PromptSet.from_texts(
        ["{text} {one} {two}: ", [system, {"role": "user", "content": "{text}\n{one}\n{two}"}]],
        source={"kind": "human"},
    )
    for chat in ("on", "off", "auto"):
        result = sweep((model, tokenizer), task, prompts, scoring=scoring, chat=chat, max_new_tokens=6)
        if scoring == "generate":
            check_generated(result, model, tokenizer, task, prompts, room=6, chat=chat != "off")
        else:
            check_candidates(result, model, tokenizer, task, prompts, lambda e: task.answers, chat=chat != "off")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_adapter(family, tiny_model_dir, prompts, tmp_path):
    from peft import LoraConfig, get_peft_model

    folder = tiny_model_dir(family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).eval()
    model.save_pretrained(tmp_path)
    task = make_task("label")
    plain = sweep(folder, task, prompts)
    for result in (sweep(folder, task, prompts, adapter=tmp_path), sweep(tmp_path, task, prompts)):
        check_candidates(result, model, tokenizer, task, prompts, lambda e: task.answers)
        assert not np.allclose(result.loglik_pnk, plain.loglik_pnk, atol=1e-2)
        assert result.summary["adapter"] == str(tmp_path)


def test_sliding_window(tiny_tokenizer, prompts):
    """A window shorter than the prompts: cached keys are fewer than the positions."""
    from transformers import MistralConfig

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = MistralConfig(vocab_size=len(tiny_tokenizer), **size, num_key_value_heads=2, sliding_window=16)
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4 if p.ndim == 2 else 1)
    for kind, scoring in (("label", "likelihood"), ("choice", "continuation")):
        task = make_task(kind)
        result = sweep((model, tiny_tokenizer), task, prompts, scoring=scoring)
        check_candidates(result, model, tiny_tokenizer, task, prompts, lambda e, t=task: e.options or t.answers)
    task = make_task("label", 4)
    result = sweep((model, tiny_tokenizer), task, prompts, scoring="generate", max_new_tokens=20)
    check_generated(result, model, tiny_tokenizer, task, prompts, room=20)


@pytest.mark.parametrize("batch_tokens", [260, 1000, 100_000])
def test_batches_do_not_matter(batch_tokens, tiny_model_dir, prompts):
    task = make_task("label", 9)
    one = sweep(tiny_model_dir("llama"), task, prompts, batch_tokens=batch_tokens)
    two = sweep(tiny_model_dir("llama"), task, prompts, batch_tokens=700)
    assert np.allclose(one.loglik_pnk, two.loglik_pnk, atol=1e-4)


REAL = {
    "piqa": ("piqa", "validation", "{goal}\nA. {sol1}\nB. {sol2}\nAnswer:"),
    "hellaswag": ("hellaswag", "train", "{ctx}\nA: {A}\nB: {B}\nC: {C}\nD: {D}\nBest ending:"),
    "winogrande": ("winogrande", "validation", "{sentence}\n{option1} or {option2}?\n"),
    "race-middle": ("race/RACE", "validation", "{article}\n{question}\nA) {A}\nB) {B}\nC) {C}\nD) {D}\nAnswer:"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_rows(name, shared_data, tiny_model_dir, loaded):
    folder, split, text = REAL[name]
    task = load_task(name, shared_data / folder)
    prompts = PromptSet.from_texts([text, "Choose. " + text], source={"kind": "human"})
    model, tokenizer = loaded("llama")
    common = {"split": split, "limit": 3, "max_length": 2048, "batch_tokens": 8192}
    result = sweep(tiny_model_dir("llama"), task, prompts, **common)
    check_candidates(result, model, tokenizer, task, prompts, lambda e: task.answers, split)
    result = sweep(tiny_model_dir("llama"), task, prompts, scoring="continuation", **common)
    check_candidates(result, model, tokenizer, task, prompts, lambda e: e.options, split)
    result = sweep(tiny_model_dir("llama"), task, prompts, scoring="generate", max_new_tokens=4, **common)
    check_generated(result, model, tokenizer, task, prompts, 4, split)
