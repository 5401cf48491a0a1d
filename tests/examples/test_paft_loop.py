"""The flat script is the method: its plan, its losses and its accuracies are those of the library."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.evaluation import sweep
from paft.models import Encoder
from paft.prompts import PromptSet
from paft.schedule import UniformSchedule
from paft.tasks import Task
from paft.training import train
from paft.training.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "paft_loop.py"
WORDS = {"pay": "payment", "post": "delivery", "back": "return"}
TRAINED = (
    "Text: {text}\nAnswer:",
    "Read the text, then say what it is about. {text} Topic:",
    "{text}\nChoose.\nAnswer:\n",
    '{{"text": "{text}", "label": }} =',
)
UNSEEN = ("What is {text} about? It is", "The text is {text}. Option:", "{text}\n\n")


@pytest.fixture(scope="module")
def loop() -> ModuleType:
    spec = spec_from_file_location("paft_loop", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Rows and prompts as JSON lines, and a task YAML for the library."""
    kinds = list(WORDS)
    texts = ("the bill for {n} {{boxes}}", "a box of {n} that came late", "the coat, {n} sizes too large")
    rows = [{"text": texts[i % 3].format(n=i), "label": kinds[i % 3]} for i in range(40)]
    made = {"train": rows[:26], "test": rows[26:], "prompts-train": TRAINED, "prompts-test": UNSEEN}
    paths = {name: tmp_path / f"{name}.jsonl" for name in made}
    for name, items in made.items():
        lines = [json.dumps(item if isinstance(item, dict) else {"text": item}) for item in items]
        paths[name].write_text("\n".join(lines) + "\n", encoding="utf-8")
    paths["task"] = tmp_path / "task.yaml"
    paths["task"].write_text(
        "name: mail\ntype: label\nfiles: {train: train.jsonl, test: test.jsonl}\n"
        f"columns: {{slots: [text], answer: label}}\nlabels: {json.dumps(WORDS)}\n",
        encoding="utf-8",
    )
    return paths


def run(loop: ModuleType, files: dict[str, Path], model: Path, *more: str) -> tuple[list[float], list[float]]:
    call = [f"--{name}={files[name]}" for name in ("train", "test", "prompts-train", "prompts-test")]
    words = " ".join(f"{stored}={word}" for stored, word in WORDS.items())
    return loop.main([*call, f"--model={model}", "--words", words, "--batch-size=4", *more])


def test_the_script_is_short_and_uses_nothing_of_paft():
    text = SCRIPT.read_text(encoding="utf-8")
    assert text.count("\n") < 200
    assert not any(line.lstrip().startswith(("import paft", "from paft")) for line in text.splitlines())


@pytest.mark.parametrize("k", [1, 3, 4])
def test_plan_draws_a_prompt_after_every_k_examples(loop, k):
    ids, prompts = [f"e{i}" for i in range(50)], [f"p{i}" for i in range(9)]
    for epoch in range(3):
        plan = loop.plan_epoch(50, 9, epoch, k, seed=5)
        assert sorted(example for example, _ in plan) == list(range(50))
        drawn = [prompt for _, prompt in plan]
        changes = [at for at, (one, next_one) in enumerate(pairwise(drawn), start=1) if one != next_one]
        assert changes
        assert all(at % k == 0 for at in changes)
        wanted = make_plan(ids, UniformSchedule(prompts, k, seed=5), epoch, seed=5)
        assert [(ids[e], prompts[p]) for e, p in plan] == list(zip(wanted.example_ids, wanted.prompt_ids, strict=True))
    assert loop.plan_epoch(50, 9, 0, k, 5) != loop.plan_epoch(50, 9, 1, k, 5)


def test_fill_reads_no_braces_in_a_row(loop):
    assert loop.fill("{{{a}}} {b}: ", {"a": "{b}", "b": "}}"}) == "{{b}} }}:"


@torch.no_grad()
def test_loss_of_a_batch_is_that_of_one_row_at_a_time(loop, tiny_model_dir):
    folder = tiny_model_dir("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    pairs = [
        ("Text: a box\nAnswer:", "delivery"),
        ("It costs {3}. Topic:", "payment"),
        ("a long text, sent back\n", "return"),
    ]
    rows = [loop.encode(tokenizer, *pair, end=True) for pair in pairs]
    encoder = Encoder(tokenizer)
    total, count = 0.0, 0
    for (prompt, answer), (ids, labels) in zip(pairs, rows, strict=True):
        wanted = encoder.encode(prompt, answer, end=True)
        assert ids == wanted.input_ids
        assert labels == [-100] * wanted.answer_start + ids[wanted.answer_start :]
        logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
        total -= float(sum(logp[i - 1, ids[i]] for i in range(wanted.answer_start, len(ids))))
        count += len(ids) - wanted.answer_start
    loss = model(**loop.pad(rows, model.device)).loss.item()
    assert loss == pytest.approx(total / count, rel=1e-5)


def test_losses_and_accuracies_are_those_of_the_library(loop, files, tiny_model_dir, tmp_path, capsys):
    folder = tiny_model_dir("llama")
    options = ("--learning-rate=3e-3", "--epochs=3", "--seed=2", "--limit=9", f"--output={tmp_path / 'flat'}")
    losses, accuracies = run(loop, files, folder, *options)
    assert len(losses) == 3 * 7
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert "3 unseen prompts x 9 rows" in capsys.readouterr().out

    task, trained = Task.from_yaml(files["task"]), PromptSet.load(files["prompts-train"])
    settings = {"learning_rate": 3e-3, "num_train_epochs": 3, "seed": 2, "per_device_train_batch_size": 4}
    quiet = {"save_strategy": "no", "logging_steps": 1, "say": lambda line: None, "device": "cpu"}
    train(model=folder, task=task, prompts=trained, output=tmp_path / "run", full=True, **settings, **quiet)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert losses == pytest.approx([json.loads(line)["loss"] for line in lines], rel=1e-5)

    result = sweep(
        tmp_path / "flat", task, PromptSet.load(files["prompts-test"]), limit=9, progress=False, device="cpu"
    )
    assert accuracies == pytest.approx(list(result.per_prompt.values()))


def test_lora_trains_the_adapter_alone(loop, files, tiny_model_dir, tmp_path):
    losses, _ = run(loop, files, tiny_model_dir("llama"), "--lora", "--epochs=1", f"--output={tmp_path / 'adapter'}")
    assert len(losses) == 7
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
