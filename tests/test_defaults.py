"""What is stated once is what every part says."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields

import pytest

from paft import defaults, select_prompt, sweep
from paft.cli import compare as compare_verb
from paft.cli import prompts_render, shared
from paft.cli import select as select_verb
from paft.cli.options import options_of
from paft.cli.train import Options as TrainOptions
from paft.evaluation import predict
from paft.evaluation.options import Options
from paft.experiments import METHODS, Grid
from paft.models import Encoder
from paft.models.embedding import hidden_state_embeddings
from paft.training import PaftConfig, train


def of_field(owner: type, name: str) -> object:
    """The default of a dataclass field."""
    [found] = [field.default for field in fields(owner) if field.name == name]
    return found


def of_argument(call: Callable, name: str) -> object:
    return inspect.signature(call).parameters[name].default


def test_the_longest_row() -> None:
    assert Options().longest == defaults.MAX_LENGTH == 1024
    assert Options(max_length=7).longest == 7
    assert Options(max_length=0).longest == 0  # to be refused, not taken for none
    stated = [of_field(owner, "max_length") for owner in (PaftConfig, prompts_render.Options)]
    stated += [of_argument(call, "max_length") for call in (Encoder, hidden_state_embeddings)]
    assert stated == [defaults.MAX_LENGTH] * 4
    left_open = [of_argument(call, "max_length") for call in (sweep, predict, select_prompt)]
    assert [*left_open, of_field(shared.ScoringOptions, "max_length")] == [None] * 4


def test_methods() -> None:
    assert compare_verb.Options(output="o").methods == of_field(Grid, "methods") == METHODS == defaults.METHODS
    assert set(defaults.TRAINING_METHODS) < set(METHODS)
    [flag] = [item for item in options_of(TrainOptions) if item.name == "method"]
    assert flag.choices == defaults.TRAINING_METHODS
    assert PaftConfig.__dataclass_fields__["method"].metadata["choices"] == list(defaults.TRAINING_METHODS)
    assert of_argument(train, "method") in defaults.TRAINING_METHODS


@pytest.mark.parametrize(("given", "said"), [(None, False), (1024, True), (64, True)])
def test_a_length_that_was_given_is_passed_on(given: int | None, said: bool, tmp_path) -> None:
    options = select_verb.Options(
        model="m", task="t", prompts="p.jsonl", output="o", method="top-accuracy", max_length=given
    )
    line = select_verb.train_command(options, tmp_path / "selection.json")
    assert ("--max-length" in line) is said


def test_nothing_is_imported_for_them() -> None:
    program = "import sys; before = set(sys.modules); import paft.defaults; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "numpy" not in done.stdout
    assert "torch" not in done.stdout
    assert "paft.errors" not in done.stdout
