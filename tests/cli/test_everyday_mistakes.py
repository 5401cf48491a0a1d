"""Mistakes that people make every day: exit code 2, the cause and what to do, before anything is trained."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import SchedulerType

from paft.errors import InputError, missing_package
from paft.training import PaftConfig, PaftTrainer
from paft.training.ranges import RANGES

TRAIN = "train --task task.yaml --prompts prompts-train.jsonl --output out --device cpu --max-steps 1"
SWEEP = "sweep --task task.yaml --prompts prompts-test.jsonl --output out --device cpu"
NOT_HERE = [  # a flag, a module that it needs, and what the message says
    ("--report-to tensorboard", "tensorboard", "tensorboard"),
    ("--report-to wandb", "wandb", "pip install wandb"),
    ("--report-to mlflow", "mlflow", "pip install mlflow"),
    ("--report-to neptune", "neptune", "pip install neptune"),
    ("--report-to none wandb", "wandb", "pip install wandb"),
    ("--optim adamw_8bit", "bitsandbytes", "bitsandbytes"),
    ("--optim adamw_torch_4bit", "torchao", "pip install torchao"),
    ("--optim lomo", "lomo_optim", "pip install lomo-optim"),
    ("--optim grokadamw", "grokadamw", "pip install grokadamw"),
    ("--optim schedule_free_adamw", "schedulefree", "pip install schedulefree"),
    ("--use-liger-kernel", "liger_kernel", "pip install liger-kernel"),
    ("--deepspeed ds.json", "deepspeed", "pip install deepspeed"),
]


@pytest.mark.parametrize(("flag", "module", "said"), NOT_HERE)
def test_a_package_that_is_missing(flag: str, module: str, said: str, refused: Callable) -> None:
    if module in sys.modules or _there(module):
        pytest.skip(f"{module} is installed here")
    message = refused(f"{TRAIN} {flag}")
    assert said in message
    assert flag.split()[0].strip("-").split("-")[0] in message


def _there(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def test_a_package_is_missed_before_the_model_is_loaded(refused: Callable) -> None:
    if _there("wandb"):
        pytest.skip("wandb is installed here")
    assert "wandb" in refused(f"{TRAIN} --report-to wandb", model="no/such-model")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lr-scheduler-type warmup_stable_decay", "num_decay_steps"),
        ("--lr-scheduler-type cosine_with_min_lr", "min_lr"),
        ("--lr-scheduler-type cosine_warmup_with_min_lr", "min_lr"),
        ("--lr-scheduler-type polynomial", "division by zero\nthe warm-up takes 1 steps"),
        ("--lr-scheduler-type reduce_lr_on_plateau", "--eval-prompts"),
        ("--lr-scheduler-type greedy", "--eval-prompts"),
        ("--lr-scheduler-type linaer", "expected one of linear, cosine"),
        ('--lr-scheduler-type linear --lr-scheduler-kwargs {"power":2}', "takes no --lr-scheduler-kwargs"),
        ('--lr-scheduler-type polynomial --lr-scheduler-kwargs {"lr_end":1}', "lr_end (1) must be smaller"),
        ("--lr-scheduler-kwargs warm", "--lr-scheduler-kwargs"),
        ("--optim adafactor --optim-args fast", "--optim adafactor cannot be used"),
    ],
)
def test_schedules_and_optimisers_that_want_other_arguments(words: str, said: str, refused: Callable) -> None:
    assert said in refused(f"{TRAIN} {words}")


ARGUMENTS = {
    "warmup_stable_decay": {"num_decay_steps": 1},
    "cosine_with_min_lr": {"min_lr": 1e-6},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [kind.value for kind in SchedulerType])
def test_every_schedule_trains_with_what_it_wants(
    name: str, case, paft: Callable, tiny_model_dir: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rates that were logged are those of the schedule: trying it out has not moved it."""
    monkeypatch.chdir(case.folder)
    words = [*TRAIN.split(), "--max-steps", 3, "--learning-rate", 0.01, "--warmup-steps", 1, "--logging-steps", 1]
    words += ["--lr-scheduler-kwargs", json.dumps(ARGUMENTS[name])] if name in ARGUMENTS else []
    words += ["--eval-prompts", "prompts-test.jsonl"] if name in ("reduce_lr_on_plateau", "greedy") else []
    done = paft(*words, "--model", tiny_model_dir(), "--lr-scheduler-type", name, "--save-strategy", "no")
    assert done.code == 0, done.err
    rates = [json.loads(line).get("learning_rate") for line in Path("out/metrics.jsonl").read_text().splitlines()]
    rates = [rate for rate in rates if rate is not None]
    expected = {"linear": [0, 0.01, 0.005], "cosine": [0, 0.01, 0.005], "polynomial": [0, 0.01, 0.005 + 0.5e-7]}
    expected |= {"constant": [0.01] * 3, "constant_with_warmup": [0, 0.01, 0.01]}
    if name in expected:
        assert rates == pytest.approx(expected[name], rel=1e-6)
    assert len(rates) == 3


NUMBERS = {
    "--learning-rate": "nan inf -1",
    "--weight-decay": "nan inf -1",
    "--num-train-epochs": "nan inf -1 0",
    "--warmup-steps": "nan inf -1",
    "--lora-dropout": "nan inf -0.1 1",
    "--lora-alpha": "nan 0 -1",
    "--lora-r": "nan 0 -1",
    "--label-smoothing-factor": "nan inf -0.1 1",
    "--max-grad-norm": "nan -1",
    "--adam-beta1": "nan -1 1",
    "--adam-beta2": "inf 1.5",
    "--adam-epsilon": "nan -1",
    "--neftune-noise-alpha": "nan inf -1",
    "--seed": "nan -1 4294967296 1e3",
    "--data-seed": "-1 4294967296",
    "--save-steps": "nan inf 0 -5",
    "--logging-steps": "nan inf 0 -5",
    "--eval-steps": "nan inf 0 -5",
    "--max-steps": "0 -2 nan",
    "--batch-tokens": "0 -1 nan",
    "--max-length": "0 1 -1",
    "--limit": "0 -1 nan",
    "--examples-per-prompt": "0 -1",
    "--eval-examples": "0 -1",
    "--per-device-train-batch-size": "0 -1",
    "--gradient-accumulation-steps": "0 -1",
    "--dataloader-num-workers": "-1",
    "--early-stopping-patience": "-1",
    "--ddp-timeout": "0 -1",
}


@pytest.mark.parametrize(("flag", "values"), NUMBERS.items())
def test_numbers_out_of_range(flag: str, values: str, refused: Callable) -> None:
    for value in values.split():
        message = refused(f"{TRAIN} {flag} {value}", model="no/such-model")
        assert value.lstrip("-").split(".")[0] in message
        assert flag.strip("-").split("-")[-1] in message.replace("max-examples", "limit")


@pytest.mark.parametrize("name", RANGES)
def test_the_lowest_value_that_is_allowed_is_taken(name: str, tmp_path: Path) -> None:
    lowest, itself, _ = RANGES[name]
    value = lowest if itself else 1
    kind = int if name in ("seed", "data_seed", "dataloader_num_workers", "ddp_timeout") else float
    assert getattr(PaftConfig(output_dir=str(tmp_path), **{name: kind(value)}), name) == value
    with pytest.raises(InputError, match=name.replace("_", "-")):
        PaftConfig(output_dir=str(tmp_path), **{name: kind(lowest - 1)})


def test_an_infinite_norm_still_clips_nothing(tmp_path: Path) -> None:
    assert PaftConfig(output_dir=str(tmp_path), max_grad_norm=float("inf")).max_grad_norm == float("inf")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--device 0", "give cuda:0"),
        ("--device gpu", "expected auto, cpu, cuda, cuda:1 or mps"),
        ("--device meta", "cannot be used here"),
        ("--dtype float64", "unknown dtype"),
        ("--output prompts-train.jsonl", "is"),
        ("--output prompts-train.jsonl/x", "is no folder"),
        ("--data nowhere", "no file or folder here"),
    ],
)
@pytest.mark.parametrize("verb", [TRAIN, SWEEP], ids=["train", "sweep"])
def test_places_and_kinds_of_numbers(verb: str, words: str, said: str, refused: Callable) -> None:
    assert said in refused(f"{verb} {words}", model=None if "type" in words or "device" in words else "no/such-model")


def test_two_precisions(refused: Callable) -> None:
    assert "contradict" in refused(f"{TRAIN} --bf16 --fp16")


@pytest.mark.parametrize("flag", ["--model", "--task", "--prompts", "--output", "--data"])
def test_an_empty_text_is_no_place(flag: str, case, paft: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a shell's variable is not set: the working directory was taken."""
    monkeypatch.chdir(case.folder)
    found = paft(*TRAIN.split(), "--model", "m", flag, "")
    assert found.code == 2
    assert found.err.startswith(f"error: {flag}: expected text, found nothing")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "conversations"),
        ({"key": "1", "kind": "c", "text": [{"role": "user", "content": "a"}]}, "text"),
    ],
)
def test_a_table_of_chats(row: dict, column: str, refused: Callable, case) -> None:
    for split in ("train", "test"):
        (case.folder / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    for verb in (TRAIN, SWEEP):
        assert f"'{column}' holds conversations; write what is asked" in refused(verb)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nseed: 2\n", "line 2: the key 'seed' stands twice"),
        ("learning-rate: 1\nlearning_rate: 2\n", "line 2: the key 'learning_rate' stands twice"),
        ("- a\n", "expected 'flag: value' lines"),
        ("seed: {a: 1}\n", "expected a whole number, found a mapping"),
        ("learning_rate: .nan\n", "expected a number, found '.nan'"),
        ("learning_rate: nan\n", "expected a number, found 'nan'"),
        ("learning_rat: 1\n", "did you mean learning_rate?"),
        ("task: ''\n", "expected text, found nothing"),
    ],
)
def test_config_files(text: str, said: str, refused: Callable, case) -> None:
    (case.folder / "c.yaml").write_text(text)
    assert said in refused(f"{TRAIN} --config c.yaml")


def test_what_a_finished_run_wrote_and_somebody_changed(
    case, paft: Callable, tiny_model_dir: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case.folder)
    words = [*TRAIN.split(), "--model", tiny_model_dir(), "--save-strategy", "no"]
    assert paft(*words).code == 0
    for text in ("[]", "5", "{}", "{"):
        (case.folder / "out" / "result.json").write_text(text)
        found = paft(*words)
        assert found.code == 2
        assert "result.json" in found.err


@pytest.mark.parametrize("train", ["{learning_rate: .nan}", "{lora_r: 0}", "{lr_scheduler_type: warmup_stable_decay}"])
def test_a_comparison_refuses_its_training_before_the_first_cell(train: str, refused: Callable, case) -> None:
    (case.folder / "c.yaml").write_text(f"train: {train}\n")
    words = "compare --task task.yaml --prompts prompts-train.jsonl --unseen prompts-test.jsonl --methods base paft"
    refused(f"{words} --config c.yaml --output out")


def test_an_optimiser_that_was_tried_is_the_one_that_trains(case, tiny_model_dir: Callable, tmp_path: Path) -> None:
    """The same weights as with an optimiser and a schedule handed over, which nothing tries out."""
    from paft.prompts import PromptSet
    from paft.tasks import load_task

    def trained(name: str) -> dict[str, torch.Tensor]:
        args = PaftConfig(
            output_dir=str(tmp_path / name),
            use_cpu=True,
            max_steps=3,
            learning_rate=0.01,
            warmup_steps=0,
            lr_scheduler_type="constant",
            save_strategy="no",
        )
        prompts = PromptSet.load(case.train_prompts)
        trainer = PaftTrainer(tiny_model_dir(), args, load_task(str(case.task)), prompts)
        if name == "by-hand":
            weights = [p for p in trainer.model.parameters() if p.requires_grad]
            trainer.optimizer = torch.optim.AdamW(weights, lr=0.01, weight_decay=0)
            trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, lambda step: 1.0)
        trainer.train()
        return {n: p.detach().clone() for n, p in trainer.model.named_parameters()}

    tried, by_hand = trained("tried"), trained("by-hand")
    for name, weight in tried.items():
        torch.testing.assert_close(weight, by_hand[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (ModuleNotFoundError("No module named 'bitsandbytes'", name="bitsandbytes"), "pip install 'paft[qlora]'"),
        (ModuleNotFoundError("No module named 'a.b'", name="a.b"), "the package a is needed for this"),
        (ImportError("You need `x`: `pip install x-y`"), "You need `x`: `pip install x-y`"),
        (ImportError("cannot import name 'q' from 'z'"), "cannot import name 'q' from 'z'; see paft env"),
    ],
)
def test_what_to_install(bad: ImportError, said: str) -> None:
    assert said in missing_package(bad)
    assert "\n" not in missing_package(bad)
