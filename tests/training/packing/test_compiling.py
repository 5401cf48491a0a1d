"""Compiled layers: the same training, plain where they will not do, and nothing of them outside of steps."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training.children import arguments
from training.helpers import make_task, settings
from training.test_resume import assert_same, start
from transformers import AutoConfig, AutoModelForCausalLM, TrainerCallback

from paft.errors import InputError
from paft.evaluation import SweepCallback, sweep
from paft.training import PaftTrainer, train
from paft.training.lora import lora_config

TRACED = {"torch_compile_backend": "eager"}  # traced as ever, and then run as it stands
COMPILED = {"torch_compile": True}


def run(
    folder: Path, model: Any, prompts: Any, callbacks: Any = (), processing_class: Any = None, **changes: Any
) -> dict[str, Any]:
    """Train; what environment.json says of the layers."""
    args, adapter = settings(folder, **{"max_steps": 3, **changes}), lora_config()
    more = {"callbacks": callbacks, "processing_class": processing_class}
    trainer = PaftTrainer(model, args, make_task(), prompts, adapter, **more)
    trainer.train()
    trainer.save_model()
    return json.loads((folder / "environment.json").read_text())["packing"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def graphs() -> int:
    """Pieces of code traced so far."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


class Onlooker(TrainerCallback):
    """Looks at the model between steps, and counts what the steps alone have traced."""

    def __init__(self) -> None:
        self.compiled: list[bool] = []
        self.traced: list[int] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        torch.compiler.reset()  # the check before has traced them all
        torch._dynamo.utils.counters.clear()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.compiled.append(any(m._compiled_call_impl is not None for m in model.modules()))
        self.traced.append(graphs())


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["on", "off"])
def test_layers_are_traced_in_steps_alone(packing, tiny_model_dir, tmp_path, prompts):
    plain = run(tmp_path / "plain", tiny_model_dir(), prompts, packing=packing)
    onlooker = Onlooker()
    found = run(tmp_path / "run", tiny_model_dir(), prompts, (onlooker,), packing=packing, **TRACED)
    assert onlooker.traced[0] > 0
    assert (plain["compiled"], found["compiled"]) == (False, True)
    assert found["check"]["gradient"] < 1e-5
    assert onlooker.compiled == [False] * 3
    ours, theirs = weights(tmp_path / "run"), weights(tmp_path / "plain")
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)


class Swept(SweepCallback):
    """Counts what its sweeps trace."""

    traced = 0

    def _sweep(self, *args: Any, **kwargs: Any) -> Any:
        before = graphs()
        try:
            return super()._sweep(*args, **kwargs)
        finally:
            self.traced += graphs() - before


@pytest.mark.slow
def test_sweeps_during_training(tiny_model_dir, tmp_path, prompts, unseen):
    """The trainer packs and compiles; sweeps see the plain model, and training is as without them."""
    task, watching = make_task(), Swept(make_task(), unseen, every_steps=3, limit=3)
    run(tmp_path / "plain", tiny_model_dir(), prompts, packing="on", **TRACED)
    found = run(tmp_path / "run", tiny_model_dir(), prompts, [watching], packing="on", **TRACED)
    assert (found["used"], found["compiled"], watching.traced) == (True, True, 0)
    ours, theirs = weights(tmp_path / "run"), weights(tmp_path / "plain")
    assert all(ours[name].equal(theirs[name]) for name in theirs)
    last = sweep(tiny_model_dir(), task, unseen, "validation", adapter=tmp_path / "run", limit=3)
    assert [step for step, _ in watching.results] == [3]
    assert np.allclose(watching.results[-1][1].loglik_pnk, last.loglik_pnk, atol=1e-4)


@pytest.mark.slow
def test_a_run_that_goes_on_otherwise_says_so(tiny_model_dir, tmp_path, prompts, caplog):
    changes = {"save_strategy": "steps", "save_steps": 2}
    run(tmp_path / "run", tiny_model_dir(), prompts, **changes)
    (tmp_path / "run/checkpoint-3/paft_complete.json").unlink()
    run(tmp_path / "run", tiny_model_dir(), prompts, **changes, **TRACED)
    assert "layers were plain before and are compiled now: the last bits of the result may differ" in caplog.text


def hooked(model_dir: Path, when_compiled: Callable[[Any], Any]) -> Any:
    """A model with something in it that happens in compiled code only."""
    model = AutoModelForCausalLM.from_pretrained(model_dir)

    def hook(module: Any, args: Any, output: Any) -> Any:
        return when_compiled(output) if torch.compiler.is_compiling() else output

    model.model.layers[0].mlp.register_forward_hook(hook)
    return model


@pytest.mark.parametrize(
    ("when_compiled", "said"),
    [
        (lambda x: x.view(7, 7919), "the model cannot run on compiled layers: .*"),
        pytest.param(
            lambda x: x * 1.01,
            "compiled and plain layers differ by .* in gradient, more than 1.0e-04",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_layers_stay_plain_where_the_compiled_ones_will_not_do(
    when_compiled, said, tiny_model_dir, tiny_tokenizer, tmp_path, prompts, caplog
):
    model = hooked(tiny_model_dir(), when_compiled)
    found = run(tmp_path / "run", model, prompts, processing_class=tiny_tokenizer, **TRACED)
    assert (found["used"], found["compiled"]) == (True, False)
    assert re.search(said, found["not_compiled"]), found["not_compiled"]
    assert f"layers are not compiled: {found['not_compiled']}" in caplog.text


def test_layers_stay_plain_where_the_backend_is_not_there(tiny_model_dir, tmp_path, prompts, caplog):
    assert run(tmp_path / "run", tiny_model_dir(), prompts, torch_compile_backend="onnxrt")["compiled"] is False
    assert "layers are not compiled: Invalid backend: 'onnxrt'" in caplog.text


def test_unknown_words(tmp_path):
    with pytest.raises(InputError, match="unknown torch_compile_backend 'fast'; expected one of eager, aot_eager"):
        settings(tmp_path, torch_compile_backend="fast")
    with pytest.raises(InputError, match="unknown torch_compile_mode 'fast'; expected one of default, reduce-overhead"):
        settings(tmp_path, torch_compile_mode="fast")


@pytest.mark.slow
def test_layers_that_train_in_part(tiny_model_dir, tiny_tokenizer, tmp_path, prompts):
    """Every second of ten: more variants of a layer than torch would compile by itself, all of them compiled."""
    torch._dynamo.utils.counters.clear()
    config = AutoConfig.from_pretrained(tiny_model_dir(), num_hidden_layers=10)
    adapter = lora_config()
    adapter.layers_to_transform = list(range(0, 10, 2))
    args = settings(tmp_path / "run", max_steps=3, packing="off", **TRACED)
    model = AutoModelForCausalLM.from_config(config)
    trainer = PaftTrainer(model, args, make_task(), prompts, adapter, processing_class=tiny_tokenizer)
    with torch._dynamo.config.patch(recompile_limit=3):
        trainer.train()
    assert trainer.packing.compiled is not None
    assert graphs() > 3


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"packing": "off"}, {"gradient_checkpointing": True}, {"dtype": "bfloat16"}])
def test_compiled_training_ends_as_a_plain_one(changes, tiny_model_dir, tmp_path, prompts):
    run(tmp_path / "plain", tiny_model_dir(), prompts, **changes)
    assert run(tmp_path / "run", tiny_model_dir(), prompts, **changes, **COMPILED)["compiled"]
    ours, theirs = weights(tmp_path / "run"), weights(tmp_path / "plain")
    bound = 0.1 if changes.get("dtype") else 1e-3
    for name in theirs:
        assert (ours[name] - theirs[name]).norm() <= bound * theirs[name].norm(), name


@pytest.mark.slow
def test_a_compiled_run_is_killed_and_resumed(tiny_model_dir, tmp_path):
    """With dropout, and the same bits."""
    model = tiny_model_dir("llama")
    train(**arguments(model, tmp_path / "whole", **COMPILED))
    process = start("saving, all but the marker", model, tmp_path / "run", COMPILED)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    train(**arguments(model, tmp_path / "run", **COMPILED))
    assert_same(tmp_path / "run", tmp_path / "whole")
