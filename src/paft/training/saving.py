"""Whether a run can be saved, tried before its first step: what fails only then would take all of it along."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, Trainer
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from paft.errors import ModelError, OutputError, PaftError

logger = logging.getLogger(__name__)
NAMED = re.compile(r"^- `(\w+)`", re.MULTILINE)  # the settings that transformers objects to


def try_saving(trainer: Trainer) -> None:
    """Save everything but the weights into a folder that is removed again; nothing is left behind.

    Generation settings that transformers would refuse to save, such as a temperature without sampling, are taken back
    to their defaults, and that is said.

    Raises:
        OutputError: nothing can be written into the run folder.
        ModelError: the model or the tokenizer cannot be saved.
    """
    with _beside(Path(str(trainer.args.output_dir))) as folder:
        _save(trainer, folder)


def require_writable(run: Path) -> None:
    """See that a run folder can be made, or written into.

    Raises:
        OutputError: it cannot.
    """
    with _beside(run):
        pass


@contextmanager
def _beside(run: Path) -> Iterator[Path]:
    """A folder in ``run``, or where ``run`` is to be, which is removed again."""
    place = next(folder for folder in (run.absolute(), *run.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".paft-saving-") as folder:
            yield Path(folder)
    except OSError as bad:
        if isinstance(bad, PaftError):
            raise
        raise OutputError(
            f"cannot write into {run}: {bad.strerror or bad}\ngive another output folder, or make room in this one"
        ) from bad


def _save(trainer: Trainer, folder: Path) -> None:
    model: Any = trainer.model
    tokenizer: Any = trainer.processing_class
    adapters = getattr(model, "peft_config", None)
    reset = [] if adapters else savable_generation(model)
    if reset:
        logger.warning("generation settings that greedy decoding does not use are not saved: %s", ", ".join(reset))
    try:
        tokenizer.save_pretrained(folder)
        torch.save(trainer.args, folder / "training_args.bin")
        for adapter in (adapters or {}).values():
            adapter.save_pretrained(folder)
        if not adapters:
            model.config.save_pretrained(folder)
            if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
                remove_tied_weights_from_state_dict(model.state_dict(), model)
    except OSError:
        raise
    except Exception as bad:
        raise ModelError(f"the model could not be saved after training: {' '.join(str(bad).split())[:300]}") from bad


def require_filled(model: Any, load_result: Any) -> None:
    """See that a checkpoint has filled the trained weights of ``model``.

    Args:
        load_result: what torch says of the names that did not fit.

    Raises:
        ModelError: it has not.
    """
    own = {name for name, weight in model.named_parameters() if weight.requires_grad}
    wrong = [*sorted(own & set(load_result.missing_keys)), *load_result.unexpected_keys]
    if wrong:
        raise ModelError(f"the checkpoint does not fit the model: {len(wrong)} weights differ, such as {wrong[0]}")


def savable_generation(model: Any) -> list[str]:
    """Take back to their defaults the generation settings of ``model`` that keep it from being saved.

    Published models have some: a temperature where nothing is sampled, or a padding id of -1. Greedy decoding does not
    read them.

    Returns:
        ``name value`` of each.

    Raises:
        ModelError: settings that contradict each other otherwise.
    """
    settings, plain, reset = getattr(model, "generation_config", None), GenerationConfig(), []
    while settings is not None:
        try:
            settings.validate(strict=True)
            break
        except ValueError as bad:
            named = [name for name in NAMED.findall(str(bad)) if getattr(settings, name, None) != getattr(plain, name)]
            if not named:
                reason = " ".join(str(bad).split())[:300]
                raise ModelError(
                    f"the generation settings of the model cannot be saved: {reason}\nmend its generation_config.json"
                ) from bad
            for name in named:
                reset.append(f"{name} {getattr(settings, name)}")
                setattr(settings, name, getattr(plain, name))
    return reset
